# SPDX-License-Identifier: Apache-2.0
"""What a subcommand of ``offroad-seg`` is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable


@dataclass(frozen=True)
class Command:
    """One subcommand, found through the entry-point group ``offroad_seg.commands``.

    The module that holds it must import nothing heavy at its top: ``offroad-seg --help`` loads every command.

    Attributes:
        name: The word on the command line.
        help: One line for ``offroad-seg --help``.
        add_arguments: Declares the arguments, each with a help text.
        run: Does the work and returns the exit status.
        epilog: Examples, shown below the arguments.
    """

    name: str
    help: str
    add_arguments: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], int]
    epilog: str = ""
