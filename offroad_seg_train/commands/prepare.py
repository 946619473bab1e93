# SPDX-License-Identifier: Apache-2.0
"""``offroad-seg prepare``: a data set as it was downloaded in, a folder that ``train`` reads out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from offroad_seg.cli.command import Command

if TYPE_CHECKING:
    import argparse

_EXAMPLES = """examples:
  offroad-seg prepare downloads/yamaha_v0.zip --out data/ycor
  offroad-seg prepare RUGD_frames-with-annotations.zip RUGD_annotations.zip --out data/rugd --split official
  offroad-seg prepare 2_Ortho_RGB.zip 5_Labels_all.zip --out data/potsdam --tile 512 512 --overlap 64
  offroad-seg prepare my_drives/ --ontology my_classes.yaml --split groups --group-by '^[^/]+' --out data/mine
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "sources", nargs="+", type=Path, metavar="SOURCE", help="a data folder, or zip and tar archives"
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder to write")
    data = parser.add_argument_group("what it is")
    data.add_argument(
        "--layout", default="auto", metavar="L", help="docs/data.md lists them (auto: look at it)"
    )
    data.add_argument("--ontology", metavar="O", help="label set, by name or YAML file (the data set's own)")
    data.add_argument(
        "--snap-colors", type=int, default=0, metavar="N",
        help="mask colours that differ by at most N in each channel from one of the ontology become it (0)",
    )  # fmt: skip
    data.add_argument(
        "--max-dropped", type=float, default=0.1, metavar="F",
        help="part of the frames that may be left out because something is wrong with them (0.1)",
    )  # fmt: skip
    data.add_argument(
        "--max-unpacked",
        type=float,
        default=200.0,
        metavar="GIB",
        help="most that may come out of archives (200)",
    )
    parts = parser.add_argument_group("how it is split")
    parts.add_argument(
        "--split", default="auto", metavar="S",
        help="official, blocks of consecutive frames, groups (drives, scenes), random; auto: official, else blocks",
    )  # fmt: skip
    parts.add_argument("--val", type=float, default=0.2, metavar="F", help="part to validate on (0.2)")
    parts.add_argument("--test", type=float, default=0.0, metavar="F", help="part to keep for a test (0)")
    parts.add_argument(
        "--block", type=int, default=12, metavar="N", help="longest run of held-out frames (12)"
    )
    parts.add_argument(
        "--group-by", metavar="REGEX", help="with groups: what it finds in a frame's name is its group"
    )
    parts.add_argument("--seed", type=int, default=0, metavar="K", help="of the split (0)")
    tiles = parser.add_argument_group("how it is cut")
    tiles.add_argument(
        "--tile", type=int, nargs=2, metavar=("H", "W"), help="cut larger images into tiles of this size"
    )
    tiles.add_argument(
        "--overlap", type=int, default=0, metavar="N", help="pixels that tiles share at least (0)"
    )
    parser.add_argument("--dry-run", action="store_true", help="say what would be written, and write nothing")
    parser.add_argument("--overwrite", action="store_true", help="replace what is in DIR")


def run(args: argparse.Namespace) -> int:
    """Prepare, and print what came of it."""
    from offroad_seg_train.data.prepare import RECORD_FILE, PrepareOptions, prepare, summary

    options = PrepareOptions(
        sources=tuple(args.sources),
        out=args.out,
        layout=args.layout,
        ontology=args.ontology,
        split=args.split,
        val=args.val,
        test=args.test,
        block=args.block,
        group_by=args.group_by,
        seed=args.seed,
        tile=tuple(args.tile) if args.tile else None,
        overlap=args.overlap,
        snap=args.snap_colors,
        max_dropped=args.max_dropped,
        max_unpacked=int(args.max_unpacked * (1 << 30)),
    )
    plan = prepare(options, dry_run=args.dry_run, overwrite=args.overwrite)
    print("\n".join(summary(plan)))
    if args.dry_run:
        print("nothing was written (--dry-run)")
        return 0
    print(f"written: {args.out} ({RECORD_FILE} says what came from where)")
    print(f"next: offroad-seg train --config tiny --data {args.out}")
    return 0


COMMAND = Command(
    "prepare", "unpack, check, split and cut a data set for training", add_arguments, run, _EXAMPLES
)
