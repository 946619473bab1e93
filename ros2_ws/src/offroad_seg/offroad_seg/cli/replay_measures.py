# SPDX-License-Identifier: Apache-2.0
"""Options of what a replay measures beside labels."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from offroad_seg.errors import InputError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator

    from offroad_seg.cli.replay_source import Opened
    from offroad_seg.replay.evaluation import Measures
    from offroad_seg.replay.runner import Replay


def add_measure_arguments(parser: argparse.ArgumentParser) -> None:
    """The options."""
    add = parser.add_argument
    add(
        "--footprint",
        metavar="L,W[,A]",
        help="the vehicle: length and width in metres, and how far its middle is ahead of the base frame (2.5,1.6,0)",
    )
    add("--compare-with", type=Path, metavar="BUNDLE", help="another bundle: where do the two disagree")


def measures_of(args: argparse.Namespace, opened: Opened) -> Measures:
    """What the options say.

    Raises:
        InputError: The footprint is not one.
    """
    from offroad_seg.replay.driven_path import Footprint
    from offroad_seg.replay.evaluation import Measures

    footprint = Footprint()
    if args.footprint is not None:
        try:
            numbers = [float(word) for word in args.footprint.split(",")]
            footprint = Footprint(*numbers) if len(numbers) in (2, 3) else Footprint(0.0, 0.0)
        except ValueError:
            raise InputError(
                f"'{args.footprint}' is not a footprint",
                where="--footprint",
                mend="give LENGTH,WIDTH as 2.5,1.6",
            ) from None
    return Measures(odom_frame=opened.source.odom_frame, footprint=footprint)


@contextmanager
def second_bundle(
    args: argparse.Namespace, opened: Opened, replay: Replay
) -> Iterator[Callable[[Any, Any], Any]]:
    """A function that lets results pass and adds the labels of ``--compare-with``, where that is given.

    Raises:
        InputError: The other bundle cannot be compared.
    """
    if args.compare_with is None:
        yield lambda results, _spool: results
        return
    from offroad_seg.bundle import Bundle
    from offroad_seg.replay.second import SecondBundle

    other = Bundle.load(args.compare_with)
    device, rotation = opened.values.get("device", "auto"), opened.values.get("camera_rotation", 0)
    with SecondBundle(other, opened.bundle.ontology, device=device, rotation=rotation) as second:
        replay.told["agreement"] = second.told
        yield second.beside
