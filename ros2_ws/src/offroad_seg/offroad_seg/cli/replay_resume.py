# SPDX-License-Identifier: Apache-2.0
"""What ``replay --resume`` compares, and what it says."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from offroad_seg import __version__
from offroad_seg.bundle import read_manifest

if TYPE_CHECKING:
    import argparse
    from pathlib import Path

    from offroad_seg.cli.replay_source import Opened


def identity_of(args: argparse.Namespace, opened: Opened, engine: dict[str, Any]) -> dict[str, Any]:
    """What must be the same for the engine to say the same of each frame.

    Parameters of the costmap do not count: what follows the engine is worked out anew.
    """
    source = opened.source
    return {
        "version": __version__,
        "bundle": opened.bundle.manifest.digest,
        "compare_with": None if args.compare_with is None else read_manifest(args.compare_with).digest,
        "engine": engine,
        "bag": [
            [file.name, file.stat().st_size, file.stat().st_mtime_ns] for file in _files(source.bag.path)
        ],
        "topics": [camera.image.name for camera in source.topics.cameras],
        "camera_rotation": opened.values.get("camera_rotation", 0),
    }


def say_resumed(args: argparse.Namespace, frames: int) -> None:
    """Where a replay begins that shall go on."""
    if args.resume:
        print(
            f"{frames} frames are known to the engine already"
            if frames
            else "nothing to go on with: beginning anew",
            file=sys.stderr,
        )


def say_kept(args: argparse.Namespace) -> None:
    """What an interruption leaves."""
    from offroad_seg.replay.resume import saved_frames

    if frames := saved_frames(args.out):
        print(
            f"{frames} frames are kept: the same command with --resume goes on, with --overwrite begins anew",
            file=sys.stderr,
        )


def _files(path: Path) -> list[Path]:
    return [path] if path.is_file() else sorted(file for file in path.iterdir() if file.is_file())
