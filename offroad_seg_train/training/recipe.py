# SPDX-License-Identifier: Apache-2.0
"""From a YAML recipe and ``key=value`` words to a checked ``TrainConfig``, and back."""

from __future__ import annotations

import contextlib
import io
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jsonargparse
import yaml

from offroad_seg import resources
from offroad_seg.errors import InputError
from offroad_seg_train.training.config import TrainConfig

if TYPE_CHECKING:
    from collections.abc import Sequence


def load_recipe(
    name_or_path: str | Path, overrides: Sequence[str] = (), data: Path | None = None
) -> TrainConfig:
    """Read a recipe, apply overrides, and check the whole.

    Args:
        name_or_path: A YAML file, or the name of one in ``config/train/``.
        overrides: ``key=value`` words with dotted keys, such as ``optimizer.lr=1e-3``; values are YAML.
        data: Takes the place of ``data.root``.

    Raises:
        InputError: There is no such recipe, a key is unknown, or a value does not fit; the message names it.
    """
    path = _find(name_or_path)
    settings = _read(path)
    if "name" not in settings:
        settings["name"] = path.stem
    for word in overrides:
        _apply(settings, word)
    if data is not None:
        # Absolute, so that a run can be resumed from another folder.
        settings.setdefault("data", {})["root"] = str(data.resolve())
    return parse(settings, where=f"{path} and the command line" if overrides else str(path))


def parse(settings: dict[str, Any], *, where: str) -> TrainConfig:
    """Check plain nested settings and build a ``TrainConfig``.

    Raises:
        InputError: A key is unknown, or a value does not fit; the message names it.
    """
    parser = jsonargparse.ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(TrainConfig)
    try:
        # jsonargparse prints its usage on stderr before it raises.
        with contextlib.redirect_stderr(io.StringIO()):
            config = parser.instantiate_classes(parser.parse_object(settings))
    except (jsonargparse.ArgumentError, TypeError, ValueError) as error:
        raise InputError(
            " ".join(str(error).split()), where=where, mend="docs/train.md lists every setting"
        ) from None
    return TrainConfig(**vars(config))


def dump(config: TrainConfig) -> str:
    """The configuration as YAML that ``load_recipe`` reads back."""
    return yaml.safe_dump(asdict(config), sort_keys=False, allow_unicode=True)


def recipe_names() -> list[str]:
    """Names of the recipes that ship with the project."""
    return sorted(path.stem for path in resources.find("config/train").glob("*.yaml"))


def _find(name_or_path: str | Path) -> Path:
    path = Path(name_or_path)
    if path.suffix in (".yaml", ".yml"):
        return path
    try:
        return resources.find(f"config/train/{name_or_path}.yaml")
    except InputError:
        raise InputError(
            f"no recipe '{name_or_path}'",
            where="--config",
            mend=f"give a YAML file, or one of: {', '.join(recipe_names())}",
        ) from None


def _read(path: Path) -> dict[str, Any]:
    try:
        settings = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"the recipe cannot be read: {error.strerror}", where=str(path)) from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"not valid YAML: {' '.join(str(error).split())}", where=str(path)) from None
    if not isinstance(settings, dict):
        raise InputError("a recipe is a mapping of settings", where=str(path))
    return settings


def _apply(settings: dict[str, Any], word: str) -> None:
    key, equals, text = word.partition("=")
    if not equals or not key:
        raise InputError(f"'{word}' is not key=value", mend="for example optimizer.lr=1e-3")
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError:
        raise InputError(f"the value of '{word}' is not valid YAML") from None
    if isinstance(value, str):
        # YAML 1.1 reads 1e-3 as text; people and torch mean a number.
        with contextlib.suppress(ValueError):
            value = float(value)
    *sections, last = key.split(".")
    for section in sections:
        inner = settings.setdefault(section, {})
        if not isinstance(inner, dict):
            raise InputError(f"'{section}' in '{word}' is a value, not a section")
        settings = inner
    settings[last] = value
