# SPDX-License-Identifier: Apache-2.0
"""``offroad-seg synth``: pictures and a drive from a synthetic desert."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from offroad_seg.cli.command import Command

if TYPE_CHECKING:
    import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="folder for pictures and masks (Duality layout)"
    )
    parser.add_argument(
        "--images", type=int, default=200, metavar="N", help="number of pictures (default 200)"
    )
    parser.add_argument(
        "--bag", type=Path, metavar="FILE", help="also record a drive: a rosbag2 folder, or FILE.mcap"
    )
    parser.add_argument(
        "--seconds", type=float, default=20.0, metavar="S", help="length of the drive (default 20)"
    )
    parser.add_argument(
        "--rate", type=float, default=10.0, metavar="HZ", help="images per second (default 10)"
    )
    parser.add_argument("--seed", type=int, default=0, metavar="K", help="which deserts (default 0)")
    parser.add_argument(
        "--bag-seed", type=int, metavar="K", help="which desert the drive is in (default: --seed)"
    )
    parser.add_argument("--width", type=int, default=480, help="pixels (default 480)")
    parser.add_argument("--height", type=int, default=270, help="pixels (default 270)")
    parser.add_argument("--depth", action="store_true", help="also write 16-bit depth in millimetres")
    parser.add_argument("--workers", type=int, default=2, help="processes that render (default 2)")
    parser.add_argument("--overwrite", action="store_true", help="replace what is there")


def run(args: argparse.Namespace) -> int:
    """Write the pictures, then the bag."""
    from offroad_seg.errors import InputError
    from offroad_seg_train.synthetic import write_bag, write_dataset
    from offroad_seg_train.synthetic.bag import check_bag_path

    if args.out is None and args.bag is None:
        raise InputError(
            "nothing to write", mend="give --out DIR for pictures, --bag FILE for a drive, or both"
        )
    if args.bag is not None:
        # Before the pictures, which take longer.
        check_bag_path(args.bag, overwrite=args.overwrite)
    size = {"width": args.width, "height": args.height, "workers": args.workers}
    if args.out is not None:
        write_dataset(args.out, args.images, args.seed, overwrite=args.overwrite, depth=args.depth, **size)
        print(f"{args.images} pictures with masks: {args.out}")
    if args.bag is not None:
        bag_seed = args.seed if args.bag_seed is None else args.bag_seed
        write_bag(args.bag, args.seconds, args.rate, bag_seed, overwrite=args.overwrite, **size)
        print(f"a drive of {args.seconds:g} s: {args.bag}")
    return 0


COMMAND = Command(
    name="synth",
    help="make a synthetic desert: pictures with exact masks, and a drive with its true costmap",
    add_arguments=add_arguments,
    run=run,
    epilog=(
        "examples:\n"
        "  offroad-seg synth --out desert --images 2000 --seed 1\n"
        "  offroad-seg synth --bag drive --seconds 30 --seed 7\n"
    ),
)
