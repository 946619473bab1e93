# SPDX-License-Identifier: Apache-2.0
"""From what was downloaded to a folder that ``train`` reads: unpacked, checked, split, cut into tiles, recorded.

The whole story reads from top to bottom in ``prepare``. Nothing half-written is ever left: results are made in a
temporary folder beside the output, which takes its place at the end.
"""

from __future__ import annotations

import json
import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING

from offroad_seg.errors import DataError
from offroad_seg.resources import check_output, replacing_folder, write_text
from offroad_seg.scratch import scratch_folder
from offroad_seg_train.data.prepare.archives import unpack
from offroad_seg_train.data.prepare.options import PrepareOptions
from offroad_seg_train.data.prepare.plan import Dropped, Plan, PlannedFrame, make_plan
from offroad_seg_train.data.prepare.record import RECORD_FILE, make_record, summary
from offroad_seg_train.data.prepare.writing import write_frames

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = [
    "RECORD_FILE",
    "Dropped",
    "Plan",
    "PlannedFrame",
    "PrepareOptions",
    "make_plan",
    "prepare",
    "summary",
]

_LOG = logging.getLogger(__name__)


def prepare(
    options: PrepareOptions, *, dry_run: bool = False, overwrite: bool = False, show: bool = True
) -> Plan:
    """Make a generic folder of a data set.

    Args:
        options: From where to where, and how.
        dry_run: Look and plan, but write nothing. Archives are unpacked for it, and thrown away.
        overwrite: Replace an output folder that is not empty.
        show: Show progress.

    Returns:
        What was (or would be) written and left out.

    Raises:
        InputError: The options are wrong, or the output is not empty.
        DataError: The data cannot be used.
    """
    if not dry_run:
        check_output(options.out, overwrite=overwrite)
    try:
        with _opened(options, show=show) as root:
            plan = make_plan(root, options, show=show)
            if not dry_run:
                _write(plan, options, overwrite=overwrite, show=show)
    except OSError as error:
        place = error.filename or options.out
        raise DataError(
            f"cannot read or write: {error.strerror or error}",
            where=str(place),
            mend="see that it may be read, or that there is room; nothing was left half-written",
        ) from None
    return plan


def _write(plan: Plan, options: PrepareOptions, *, overwrite: bool, show: bool) -> None:
    is_unpacked = plan.root not in options.sources
    record = make_record(plan, options)
    with replacing_folder(options.out, overwrite=overwrite) as folder:
        written = write_frames(plan, folder, snap=options.snap, move=is_unpacked, show=show)
        text = json.dumps(record.finish(written), indent=1, allow_nan=False, ensure_ascii=False)
        write_text(folder / RECORD_FILE, text + "\n")


@contextmanager
def _opened(options: PrepareOptions, *, show: bool) -> Iterator[Path]:
    """The data folder: the one given, or one with what was unpacked, which goes when the block ends."""
    if options.sources[0].is_dir():
        yield options.sources[0]
        return
    # Beside the output, so that pictures are moved there instead of copied.
    place = next(folder for folder in options.out.resolve().parents if folder.is_dir())
    with scratch_folder(place, f".{options.out.name}.", ".unpacked") as root:
        for number, archive in enumerate(options.sources):
            # A folder each: two archives may hold files of one name.
            folder = root / (archive.name.partition(".")[0] or str(number))
            folder = folder if not folder.exists() else root / f"{folder.name}_{number}"
            folder.mkdir()
            result = unpack(archive, folder, limit=options.max_unpacked, show=show)
            _LOG.info("%s: %d files, %.2f GiB", archive.name, result.files, result.bytes / (1 << 30))
            if result.left_packed:
                kinds = ", ".join(f"{n} × {suffix}" for suffix, n in sorted(result.left_packed.items())[:8])
                _LOG.info("%s: left packed, since no layout reads them: %s", archive.name, kinds)
            if result.links:
                _LOG.warning("%s: %d links were left out", archive.name, result.links)
        yield root
