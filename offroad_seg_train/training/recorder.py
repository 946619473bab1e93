# SPDX-License-Identifier: Apache-2.0
"""After each epoch: metrics, curves and checkpoints, each written whole or not at all."""

from __future__ import annotations

import json
import logging
import shutil
import time
from typing import TYPE_CHECKING, Any

import lightning.pytorch as lightning

from offroad_seg.resources import replacing_file, write_text
from offroad_seg_train.training.curves import draw_curves

if TYPE_CHECKING:
    from pathlib import Path

    from offroad_seg_train.training.module import SegmentationModule

log = logging.getLogger(__name__)

# Drawing takes half a second: a run of short epochs does not do it after each.
_SECONDS_BETWEEN_CURVES = 20.0


class Recorder(lightning.Callback):
    """Keeps the history of a run, and lets it go on from ``last.ckpt`` after any kill.

    Its history travels inside the checkpoint, and ``metrics.jsonl`` is written anew from it: after a kill between two
    writes, resuming leaves no line twice and none out. A run goes on at an epoch's end; an epoch that was cut short is
    done again, from the same random numbers.

    Args:
        run: The run's folder.

    Attributes:
        rows: One plain dict an epoch, as in ``metrics.jsonl``.
        best: Highest validation ``miou`` so far, or None.
    """

    def __init__(self, run: Path) -> None:
        self.run = run
        self.rows: list[dict[str, Any]] = []
        self.best: float | None = None
        self._epoch_start = time.monotonic()
        self._last_curves = float("-inf")

    @property
    def last_path(self) -> Path:
        """The checkpoint to go on from."""
        return self.run / "checkpoints" / "last.ckpt"

    @property
    def best_path(self) -> Path:
        """The checkpoint to use."""
        return self.run / "checkpoints" / "best.ckpt"

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint keeps of this object."""
        return {"rows": self.rows, "best": self.best}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """The inverse of ``state_dict``."""
        self.rows = list(state_dict["rows"])
        self.best = state_dict["best"]

    def on_train_epoch_start(self, *_: Any) -> None:
        """Start the epoch's clock."""
        self._epoch_start = time.monotonic()

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: SegmentationModule) -> None:  # type: ignore[override]
        """Write everything that belongs to the epoch."""
        row = {
            "epoch": trainer.current_epoch + 1,
            **pl_module.take_metrics(),
            "lr": pl_module.learning_rates,
            "seconds": round(time.monotonic() - self._epoch_start, 3),
        }
        self.rows.append(row)
        miou = row["val"]["miou"]
        is_best = self.best is None or (miou is not None and miou > self.best)
        if is_best:
            self.best = miou
        with replacing_file(self.last_path) as temporary:
            trainer.save_checkpoint(temporary, weights_only=False)
            if is_best:
                # best first: after a kill between the two, the epoch is done again and gives the same best.
                with replacing_file(self.best_path) as best:
                    shutil.copyfile(temporary, best)
        self.write(curves=time.monotonic() - self._last_curves > _SECONDS_BETWEEN_CURVES)
        log.info("%s%s", describe(row, self.rows, trainer.max_epochs or 0), "  best" if is_best else "")

    def on_train_end(self, *_: Any) -> None:
        """Draw the whole history."""
        self.write(curves=True)

    def write(self, *, curves: bool) -> None:
        """Write ``metrics.jsonl`` from the history, and the pictures."""
        write_text(
            self.run / "metrics.jsonl", "".join(json.dumps(row, allow_nan=False) + "\n" for row in self.rows)
        )
        if curves and self.rows:
            draw_curves(self.rows, self.run / "curves.png")
            self._last_curves = time.monotonic()


def describe(row: dict[str, Any], rows: list[dict[str, Any]], epochs: int) -> str:
    """One line for the log: where the run is, its figures, and how long the rest will take."""
    train, val = row["train"], row["val"]
    recent = [r["seconds"] for r in rows[-5:]]
    left = (epochs - row["epoch"]) * sum(recent) / len(recent)
    return (
        f"epoch {row['epoch']:>{len(str(epochs))}}/{epochs}"
        f"  loss {_short(train['loss'])} val {_short(val['loss'])}"
        f"  val miou {_short(val['miou'])} (batch mean {_short(val['miou_batch_mean'])})"
        f"  accuracy {_short(val['pixel_accuracy'])}"
        f"  {row['seconds']:.1f} s, {left / 60:.1f} min left"
    )


def _short(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"
