# SPDX-License-Identifier: Apache-2.0
"""The list of files that a data set is better without: one path a line, the reason in a comment above it.

Lines that begin with ``#`` are comments; every other line is a path as the user gave the data folder, so that it works
from the same working directory. Where a person must look first, the paths stand in comments too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from offroad_seg_train.audit.finding import Finding

_HEAD = """\
# Files that this data set is better without, by offroad-seg audit.
# Lines that begin with # are comments: reasons, and files that a person should look at first.
# To take them out of the data set and into an archive, from the folder in which the audit was run:
#   grep -v -e '^#' -e '^$' THIS_FILE | tar -cf dropped.tar --remove-files --verbatim-files-from -T -
# To bring them back:  tar -xf dropped.tar
"""


def fix_list(findings: Iterable[Finding]) -> str:
    """The text of the list; each file once, with every reason there is."""
    sure: dict[tuple[Path, ...], list[str]] = {}
    doubt: dict[tuple[Path, ...], list[str]] = {}
    for finding in findings:
        for drop in finding.drops:
            reasons = (sure if drop.sure else doubt).setdefault(drop.paths, [])
            if drop.reason not in reasons:
                reasons.append(drop.reason)
    lines = [f"# {len(sure)} to drop, {len(doubt.keys() - sure.keys())} to look at"]
    for paths, reasons in sure.items():
        lines += ["", f"# {'; '.join(_one_line(r) for r in reasons)}", *(_path(p) for p in paths)]
    for paths, reasons in doubt.items():
        if paths not in sure:
            said = "; ".join(_one_line(r) for r in reasons)
            lines += ["", f"# look at: {said}", *(f"# {_one_line(str(p))}" for p in paths)]
    return _HEAD + "\n".join(lines) + "\n"


def read_fix_list(text: str) -> list[str]:
    """The paths of a list."""
    return [line for line in text.splitlines() if line and not line.startswith("#")]


def to_drop(findings: Iterable[Finding]) -> int:
    """How many entries of the list are sure."""
    return len({drop.paths for finding in findings for drop in finding.drops if drop.sure})


def _path(path: Path) -> str:
    text = str(path)
    # A name that begins with # or holds a line break cannot stand on a line of its own.
    return f"# (name cannot be listed) {_one_line(text)}" if _unlistable(text) else text


def _unlistable(text: str) -> bool:
    return text.startswith("#") or text.splitlines() != [text]


def _one_line(text: str) -> str:
    return " ".join(text.split("\n")).replace("\r", " ")
