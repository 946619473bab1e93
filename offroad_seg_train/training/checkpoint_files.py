# SPDX-License-Identifier: Apache-2.0
"""How Lightning's checkpoints reach the disk: each whole or not at all, whatever fails in between."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.plugins import TorchCheckpointIO

from offroad_seg.errors import OffroadSegError
from offroad_seg.resources import replacing_file
from offroad_seg_train.checkpoint import BEST_KEYS

# Option of ``save_checkpoint`` that names a second file, for the weights alone.
BEST = "best"


class CheckpointFiles(TorchCheckpointIO):
    """Writes a checkpoint to a temporary file, forces it to the disk, and renames it."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Write ``path`` and, where ``storage_options`` names one, the best checkpoint, which only holds the network.

        Raises:
            OffroadSegError: The disk is full or the folder cannot be written; the files of the epoch before are whole.
        """
        if best := (storage_options or {}).get(BEST):
            # Best first: after a kill between the two, the epoch is done again and gives the same best.
            write_checkpoint({key: checkpoint[key] for key in BEST_KEYS if key in checkpoint}, Path(best))
        write_checkpoint(checkpoint, Path(path))


def write_checkpoint(content: dict[str, Any], path: Path) -> None:
    """Write a checkpoint whole or not at all.

    Raises:
        OffroadSegError: It cannot be written; the file that was there is as it was.
    """
    try:
        with replacing_file(path) as temporary, temporary.open("wb") as file:
            torch.save(content, file)
            file.flush()
            # Renaming before the bytes are on the disk would leave an empty file after a power cut.
            os.fsync(file.fileno())
    except (OSError, RuntimeError) as error:
        raise OffroadSegError(
            f"the checkpoint cannot be written: {_reason(error)}",
            where=str(path),
            mend="make room on the disk, then go on with `offroad-seg train --resume`: the checkpoint of the epoch "
            "before is whole",
        ) from error


def _reason(error: BaseException) -> str:
    """What the system said; torch hides it behind an error about its archive."""
    inner: BaseException | None = error
    while inner is not None:
        if isinstance(inner, OSError) and inner.strerror:
            return inner.strerror
        inner = inner.__context__
    return str(error).splitlines()[0]
