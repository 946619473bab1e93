# SPDX-License-Identifier: Apache-2.0
"""After each epoch: metrics, curves and checkpoints, each written whole or not at all."""

from __future__ import annotations

import json
import logging
import time
from typing import TYPE_CHECKING, Any

import lightning.pytorch as lightning

from offroad_seg.resources import write_text
from offroad_seg_train.training.checkpoint_files import BEST
from offroad_seg_train.training.curves import draw_curves
from offroad_seg_train.training.monitor import Monitor

if TYPE_CHECKING:
    from pathlib import Path

    from offroad_seg_train.training.module import SegmentationModule
    from offroad_seg_train.training.monitor import EarlyStoppingConfig
    from offroad_seg_train.training.phases import Phase

log = logging.getLogger(__name__)

# Drawing takes half a second: a run of short epochs does not do it after each.
_SECONDS_BETWEEN_CURVES = 20.0


class Recorder(lightning.Callback):
    """Keeps the history of a run, and lets it go on from ``last.ckpt`` after any kill.

    Its history travels inside the checkpoint, and ``metrics.jsonl`` is written anew from it: after a kill between two
    writes, resuming leaves no line twice and none out. A run goes on at an epoch's end; an epoch that was cut short is
    done again, from the same random numbers.

    Of several processes, only the first writes.

    Args:
        run: The run's folder.
        monitor: The figure that makes an epoch the best.
        stopping: When a phase that gets no better ends.
        epochs: Of the whole run.

    Attributes:
        rows: One plain dict an epoch, as in ``metrics.jsonl``.
        best: The best figure so far, or None.
        phase: The phase that is running.
        steps_before: Optimiser steps of the phases before it.
    """

    phase: Phase

    def __init__(self, run: Path, monitor: Monitor, stopping: EarlyStoppingConfig, epochs: int) -> None:
        self.run = run
        self.monitor = monitor
        self.stopping = stopping
        self.epochs = epochs
        self.rows: list[dict[str, Any]] = []
        self.best: float | None = None
        self.steps_before = 0
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

    def begin(self, phase: Phase, steps_per_epoch: int) -> None:
        """Let the epochs that follow be those of a phase."""
        self.phase = phase
        self.steps_before = self.epochs_before(phase) * steps_per_epoch

    def epochs_before(self, phase: Phase) -> int:
        """Epochs that the phases before it really had."""
        return sum(row.get("phase", 1) <= phase.index for row in self.rows)

    def rows_of(self, phase: Phase) -> list[dict[str, Any]]:
        """The epochs of a phase so far."""
        return [row for row in self.rows if row.get("phase", 1) == phase.index + 1]

    def is_done(self, phase: Phase) -> bool:
        """Whether a phase has had all its epochs, or has been stopped early."""
        rows = self.rows_of(phase)
        return len(rows) >= phase.epochs or self.monitor.should_stop(rows, self.stopping)

    def on_train_epoch_start(self, *_: Any) -> None:
        """Start the epoch's clock."""
        self._epoch_start = time.monotonic()

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: SegmentationModule) -> None:  # type: ignore[override]
        """Write everything that belongs to the epoch."""
        row = {
            "epoch": self.epochs_before(self.phase) + trainer.current_epoch + 1,
            "phase": self.phase.index + 1,
            **pl_module.take_metrics(),
            "lr": pl_module.learning_rates,
            "seconds": round(time.monotonic() - self._epoch_start, 3),
        }
        self.rows.append(row)
        if len(self.rows) == 1:
            _say_what_validation_lacks(row)
        value = self.monitor.value(row)
        is_best = self.monitor.is_better(value, self.best)
        if is_best:
            self.best = value
        # Every process takes part in gathering a checkpoint; the first writes it.
        trainer.save_checkpoint(self.last_path, storage_options={BEST: self.best_path} if is_best else None)
        if trainer.is_global_zero:
            self.write(curves=time.monotonic() - self._last_curves > _SECONDS_BETWEEN_CURVES)
        log.info(
            "%s%s", describe(row, self.rows, self.epochs, self.monitor.name), "  best" if is_best else ""
        )
        if len(self.rows_of(self.phase)) < self.phase.epochs and self.is_done(self.phase):
            log.info("stopped: no better %s in %d epochs", self.monitor.name, self.stopping.patience)
            trainer.should_stop = True

    def write(self, *, curves: bool) -> None:
        """Write ``metrics.jsonl`` from the history, and the pictures."""
        write_text(
            self.run / "metrics.jsonl", "".join(json.dumps(row, allow_nan=False) + "\n" for row in self.rows)
        )
        if curves and self.rows:
            draw_curves(self.rows, self.run / "curves.png")
            self._last_curves = time.monotonic()


def describe(row: dict[str, Any], rows: list[dict[str, Any]], epochs: int, monitor: str = "miou") -> str:
    """One line for the log: where the run is, its figures, and how long the rest will take."""
    train, val = row["train"], row["val"]
    recent = [r["seconds"] for r in rows[-5:]]
    left = (epochs - row["epoch"]) * sum(recent) / len(recent)
    other = "" if monitor in ("miou", "loss") else f"  {monitor} {_short(Monitor(monitor).value(row))}"
    return (
        f"epoch {row['epoch']:>{len(str(epochs))}}/{epochs}"
        f"  loss {_short(train['loss'])} val {_short(val['loss'])}"
        f"  val miou {_short(val['miou'])} (batch mean {_short(val['miou_batch_mean'])})"
        f"  accuracy {_short(val['pixel_accuracy'])}{other}"
        f"  {row['seconds']:.1f} s, {left / 60:.1f} min left"
    )


def _say_what_validation_lacks(row: dict[str, Any]) -> None:
    """A class that validation never shows makes ``miou`` mean something else: said once, after the first epoch."""
    classes = row["val"]["per_class"]
    if absent := [name for name, figures in classes.items() if figures["pixels"] == 0]:
        log.warning(
            "validation has no pixel of %s: n_classes_present is %d of %d. miou counts such a class as 0 where it is "
            "predicted; miou_present leaves it out",
            ", ".join(absent),
            row["val"]["n_classes_present"],
            len(classes),
        )


def _short(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"
