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


def override(config: TrainConfig, words: Sequence[str]) -> TrainConfig:
    """A recipe with some settings changed.

    Args:
        config: Is left as it is.
        words: ``key=value``, as for ``load_recipe``.

    Raises:
        InputError: A key is unknown, or a value does not fit; the message names it.
    """
    settings = asdict(config)
    for word in words:
        _apply(settings, word)
    return parse(settings, where=" ".join(words))


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
    value = parse_value(text, word)
    *sections, last = key.split(".")
    place: Any = settings
    for section in sections:
        place = _step_into(place, section, word)
    if isinstance(place, list):
        place[_index(place, last, word)] = value
    else:
        place[last] = value


def parse_value(text: str, word: str) -> Any:
    """A value as YAML reads it, but 1e-3 is a number.

    Raises:
        InputError: It is not valid YAML; the message names ``word``.
    """
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError:
        raise InputError(f"the value of '{word}' is not valid YAML") from None
    return _with_numbers(value)


def _with_numbers(value: Any) -> Any:
    if isinstance(value, list):
        return [_with_numbers(item) for item in value]
    if isinstance(value, str):
        # YAML 1.1 reads 1e-3 as text; people and torch mean a number.
        with contextlib.suppress(ValueError):
            return float(value)
    return value


def _step_into(place: Any, section: str, word: str) -> Any:
    inner = place[_index(place, section, word)] if isinstance(place, list) else place.setdefault(section, {})
    if not isinstance(inner, (dict, list)):
        raise InputError(f"'{section}' in '{word}' is a value, not a section")
    return inner


def _index(items: list[Any], text: str, word: str) -> int:
    """A place in a list, such as the 0 of ``phases.0.epochs``."""
    if not text.isdigit() or int(text) >= len(items):
        raise InputError(
            f"no entry '{text}' in '{word}': the list has {len(items)}",
            mend="count from 0, as phases.0.epochs",
        )
    return int(text)
