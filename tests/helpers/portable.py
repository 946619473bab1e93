# SPDX-License-Identifier: Apache-2.0
"""A real portable bundle of an untrained ``tiny``: what ``export`` writes, made once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from offroad_seg_train.export.exporter import ExportOptions, export_checkpoint
from tests.helpers.checkpoints import write_checkpoint

if TYPE_CHECKING:
    from pathlib import Path

    from offroad_seg.bundle import Bundle

# Neither square nor a multiple of any stride.
HEIGHT, WIDTH = 67, 119


def make_portable(folder: Path, *, ontology: str = "duality_desert") -> tuple[Path, Bundle]:
    """Write ``folder/best.ckpt`` and ``folder/portable``."""
    checkpoint = write_checkpoint(folder / "best.ckpt", ontology=ontology, height=HEIGHT, width=WIDTH)
    return checkpoint, export_checkpoint(checkpoint, folder / "portable", ExportOptions(gate_count=3))
