# SPDX-License-Identifier: Apache-2.0
"""The words that every command about a recipe takes: ``--config``, ``--data``, and ``key=value``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import argparse

    from offroad_seg_train.training.config import TrainConfig


def add_recipe_arguments(parser: argparse.ArgumentParser, *, settings_help: str) -> None:
    """Declare ``--config``, ``--data`` and the settings."""
    parser.add_argument(
        "--config", metavar="FILE", help="recipe: a YAML file, or a name in config/train/ (tiny …)"
    )
    parser.add_argument(
        "--data", metavar="DIR", type=Path, help="images and masks; the same as data.root=DIR"
    )
    parser.add_argument("settings", nargs="*", metavar="key=value", help=settings_help)
    _accept_settings_anywhere(parser)


def _accept_settings_anywhere(parser: argparse.ArgumentParser) -> None:
    """Let ``key=value`` words stand before, between and after options; argparse takes only the first run of them."""
    parse = parser.parse_known_args

    def parse_known_args(args: Any = None, namespace: Any = None) -> Any:
        found, rest = parse(args, namespace)
        found.settings = [*found.settings, *(w for w in rest if "=" in w and not w.startswith("-"))]
        return found, [w for w in rest if "=" not in w or w.startswith("-")]

    parser.parse_known_args = parse_known_args  # type: ignore[method-assign]


def load_named_recipe(args: argparse.Namespace) -> TrainConfig:
    """The recipe that the words name.

    Raises:
        InputError: None is named, or it is wrong.
    """
    from offroad_seg.errors import InputError
    from offroad_seg_train.training.recipe import load_recipe, recipe_names

    if args.config is None:
        raise InputError(
            "no recipe", where="--config", mend=f"give a YAML file, or one of: {', '.join(recipe_names())}"
        )
    return load_recipe(args.config, args.settings, args.data)
