# SPDX-License-Identifier: Apache-2.0
"""The ``offroad-seg`` command: finds its subcommands, runs one, and turns errors into words and exit codes.

Exit status: 0 done, 1 failure, 2 bad usage or input, 130 interrupted.
"""

from __future__ import annotations

import argparse
import errno
import logging
import os
import sys
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING

from offroad_seg import __version__
from offroad_seg.errors import OffroadSegError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from offroad_seg.cli.command import Command

GROUP = "offroad_seg.commands"
EXIT_INTERRUPTED = 130


def find_commands() -> dict[str, EntryPoint]:
    """The entry points of the subcommands that are installed, by name."""
    return {point.name: point for point in sorted(entry_points(group=GROUP), key=lambda p: p.name)}


def load_command(point: EntryPoint) -> Command | None:
    """The command, or None where what it needs is not installed; ``doctor`` says how to get it."""
    try:
        command: Command = point.load()
    except ImportError as error:
        logging.getLogger(__name__).debug("command %s is not available: %s", point.name, error)
        return None
    return command


def build_parser(only: str | None = None) -> argparse.ArgumentParser:
    """The whole parser; with ``only``, the one subcommand that will run, so that others are not imported."""
    parser = argparse.ArgumentParser(
        prog="offroad-seg",
        description="Off-road perception for ROS 2: train, compile, launch, replay, and steer by the costmap.",
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    parser.add_argument("--verbose", action="store_true", help="show debug messages and stack traces")
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, point in find_commands().items():
        if only is not None and name != only:
            continue
        command = load_command(point)
        if command is None:
            continue
        sub = subparsers.add_parser(
            name,
            help=command.help,
            description=command.help,
            epilog=command.epilog,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        command.add_arguments(sub)
        sub.set_defaults(run=command.run)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one subcommand and return its exit status."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    word = next((a for a in arguments if not a.startswith("-")), None)
    known = find_commands()
    parser = build_parser(only=word if word in known else None)
    args = parser.parse_args(arguments)
    logging.basicConfig(
        level=logging.DEBUG if args.verbose else logging.INFO, format="%(message)s", stream=sys.stderr
    )
    try:
        return int(args.run(args))
    except OffroadSegError as error:
        if args.verbose:
            logging.getLogger(__name__).exception("stack trace")
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        # The reader of our output has gone (offroad-seg … | head): that is not an error.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise
        where = f"\n  where: {error.filename}" if error.filename else ""
        print(
            f"error: {error.strerror}: nothing more can be written{where}\n  mend: free some space (df -h), or give "
            "another folder",
            file=sys.stderr,
        )
        return 1


if __name__ == "__main__":
    sys.exit(main())
