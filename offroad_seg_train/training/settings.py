# SPDX-License-Identifier: Apache-2.0
"""Every setting of a recipe with its default and its meaning, read from the dataclasses that check them.

``python -m offroad_seg_train.training.settings docs/train.md`` writes the list into the page that shows it.
"""

from __future__ import annotations

import inspect
import json
import re
import sys
import textwrap
from dataclasses import MISSING, dataclass, fields, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from offroad_seg.resources import write_text
from offroad_seg_train.training.config import TrainConfig
from offroad_seg_train.training.phase_config import PhaseConfig

if TYPE_CHECKING:
    from collections.abc import Iterator

BEGIN, END = (
    "<!-- settings: written by offroad_seg_train/training/settings.py -->",
    "<!-- end of settings -->",
)
_WIDTH = 120


@dataclass(frozen=True)
class Setting:
    """One setting.

    Attributes:
        key: Its dotted name.
        default: As YAML; empty where it must be given.
        meaning: What its docstring says.
    """

    key: str
    default: str
    meaning: str


def settings_of(cls: type, above: str = "") -> Iterator[Setting]:
    """The settings of a dataclass and of those in it, in their order.

    Args:
        cls: A dataclass whose docstring has ``Attributes``.
        above: Put in front of every key.
    """
    meanings = _meanings(cls)
    for one in fields(cls):
        default = _default(one)
        if is_dataclass(default):
            yield from settings_of(type(default), f"{above}{one.name}.")
            continue
        yield Setting(f"{above}{one.name}", json.dumps(default, ensure_ascii=False), meanings[one.name])
        if one.name == "phases":
            yield from settings_of(PhaseConfig, f"{above}phases.N.")


def sections() -> dict[str, list[Setting]]:
    """All settings, the run's own first, then section by section."""
    found: dict[str, list[Setting]] = {}
    for setting in settings_of(TrainConfig):
        section = setting.key.split(".")[0] if "." in setting.key else ""
        found.setdefault(section, []).append(setting)
    return {"": found.pop(""), **found}


def markdown() -> str:
    """The list as Markdown."""
    meanings = _meanings(TrainConfig)
    lines: list[str] = []
    for section, settings in sections().items():
        title = f"### `{section}`: {_plain(meanings[section]).rstrip('.')}" if section else "### The run"
        lines += [title, ""]
        for one in settings:
            text = f"- `{one.key}` ({one.default}): {_plain(one.meaning)}"
            lines += textwrap.wrap(
                text, _WIDTH, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False
            )
        lines.append("")
    return "\n".join(lines)


def insert(page: str) -> str:
    """A page with the list between its marks.

    Raises:
        ValueError: The page has no marks.
    """
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"the page has no {BEGIN} … {END}")
    return f"{before}{BEGIN}\n\n{markdown()}\n{END}{after}"


def _meanings(cls: type) -> dict[str, str]:
    _, _, listed = inspect.getdoc(cls).partition("Attributes:\n")  # type: ignore[union-attr]
    entries = re.findall(r"^    (\w+): (.*(?:\n        .*)*)", listed, re.MULTILINE)
    return {name: " ".join(text.split()) for name, text in entries}


def _default(one: Any) -> Any:
    return one.default_factory() if one.default is MISSING else one.default


def _plain(text: str) -> str:
    return text.replace("``", "`")


def main(paths: list[str]) -> None:
    """Write the list into pages."""
    for path in map(Path, paths):
        write_text(path, insert(path.read_text(encoding="utf-8")))


if __name__ == "__main__":
    main(sys.argv[1:])
