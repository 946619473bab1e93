# SPDX-License-Identifier: Apache-2.0
"""What a run reports while it goes: TensorBoard always, Weights & Biases and MLflow where they are asked for."""

from __future__ import annotations

import importlib.util
import json
import logging
import os
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import lightning.pytorch as lightning
from lightning.pytorch.loggers import Logger, MLFlowLogger, TensorBoardLogger, WandbLogger

from offroad_seg.errors import InputError
from offroad_seg.resources import write_text
from offroad_seg_train.training.resume import flatten

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from offroad_seg.ontology import Ontology
    from offroad_seg_train.training.config import TrainConfig
    from offroad_seg_train.training.module import SegmentationModule
    from offroad_seg_train.training.recorder import Recorder

log = logging.getLogger(__name__)

_PROJECT = "offroad_seg"
# Where a resumed run finds what its trackers call it.
_IDENTITY = "tracking.json"
_FIGURES = ("loss", "miou", "miou_present", "miou_batch_mean", "mean_dice", "pixel_accuracy")
_STEPS_BETWEEN_LOSSES = 20


def require_trackers(names: Sequence[str]) -> None:
    """Check that the trackers are installed, before anything is written.

    Raises:
        InputError: One is not; the message names the extra.
    """
    for name in names:
        if importlib.util.find_spec(name) is None:
            raise InputError(
                f"{name} is not installed",
                where=f"loggers: {name}",
                mend="pip install 'offroad-seg[tracking]', or leave it out of loggers",
            )


def build_loggers(config: TrainConfig, run: Path) -> list[Logger]:
    """TensorBoard's files in ``RUN/tensorboard``, and the trackers of ``config.loggers``.

    W&B follows its own environment (``WANDB_MODE=offline``, ``WANDB_PROJECT``); MLflow takes ``MLFLOW_TRACKING_URI``,
    or a local store in ``RUN/mlflow.db``.
    """
    identity = _read_identity(run)
    loggers: list[Logger] = [
        TensorBoardLogger(save_dir=run, name="", version="tensorboard", default_hp_metric=False)
    ]
    if "wandb" in config.loggers:
        loggers.append(_wandb(run, identity))
    if "mlflow" in config.loggers:
        loggers.append(_mlflow(run, identity))
    return loggers


def _wandb(run: Path, identity: dict[str, str]) -> Logger:
    return WandbLogger(
        name=run.name,
        save_dir=run,
        project=os.environ.get("WANDB_PROJECT", _PROJECT),
        id=identity.get("wandb"),
        resume="allow",
    )


def _mlflow(run: Path, identity: dict[str, str]) -> Logger:
    # Lightning's own default, a folder of small files, is no longer kept by MLflow.
    # It tells of each table that it makes.
    logging.getLogger("mlflow").setLevel(logging.WARNING)
    uri = os.environ.get("MLFLOW_TRACKING_URI", f"sqlite:///{(run / 'mlflow.db').resolve()}")
    return MLFlowLogger(
        experiment_name=_PROJECT,
        run_name=run.name,
        tracking_uri=uri,
        artifact_location=None
        if "MLFLOW_TRACKING_URI" in os.environ
        else (run / "mlflow").resolve().as_uri(),
        run_id=identity.get("mlflow"),
    )


def _read_identity(run: Path) -> dict[str, str]:
    path = run / _IDENTITY
    if not path.is_file():
        return {}
    found: dict[str, str] = json.loads(path.read_text(encoding="utf-8"))
    return found


class Tracking(lightning.Callback):
    """Sends the recorder's figures, learning rates and some pictures to every logger of the trainer.

    Args:
        recorder: Its last row is the epoch that ended.
        config: The run's settings, which are logged with it.
        ontology: For the pictures' colours.
    """

    def __init__(self, recorder: Recorder, config: TrainConfig, ontology: Ontology) -> None:
        self._recorder = recorder
        self._config = config
        self._ontology = ontology

    def on_train_start(self, trainer: lightning.Trainer, *_: Any) -> None:
        """Say what is trained, and remember what the trackers call it."""
        if not trainer.is_global_zero:
            return
        settings = {".".join(k): _plain(v) for k, v in flatten(asdict(self._config)).items()}
        identity = {}
        for logger in trainer.loggers:
            # Once: MLflow refuses a setting that has changed, as a resumed run's data folder may.
            if not self._recorder.rows:
                logger.log_hyperparams(settings)
            if isinstance(logger, WandbLogger):
                identity["wandb"] = str(logger.experiment.id)
            elif isinstance(logger, MLFlowLogger):
                identity["mlflow"] = str(logger.run_id)
        if identity:
            write_text(self._recorder.run / _IDENTITY, json.dumps(identity, indent=2) + "\n")

    def on_train_batch_end(
        self, trainer: lightning.Trainer, _module: lightning.LightningModule, outputs: Any, *_: Any
    ) -> None:
        """Log the loss inside the epoch, which may be hours long."""
        step = self._recorder.steps_before + trainer.global_step
        if trainer.global_step % _STEPS_BETWEEN_LOSSES == 0 and trainer.is_global_zero:
            for logger in trainer.loggers:
                logger.log_metrics({"step/loss": float(outputs["loss"])}, step=step)

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: SegmentationModule) -> None:  # type: ignore[override]
        """Log the epoch."""
        if not trainer.is_global_zero:
            return
        row = self._recorder.rows[-1]
        step = self._recorder.steps_before + trainer.global_step
        for logger in trainer.loggers:
            logger.log_metrics(_scalars(row), step=step)
        for number, (image, truth, labels) in enumerate(pl_module.take_pictures(), start=1):
            self._show(trainer, f"validation {number}", image, truth, labels, row["epoch"], step)

    def _show(
        self,
        trainer: lightning.Trainer,
        title: str,
        image_HWC: NDArray[np.uint8],
        truth_HW: NDArray[np.uint8],
        labels_HW: NDArray[np.uint8],
        epoch: int,
        step: int,
    ) -> None:
        from offroad_seg_train.evaluation.pictures import comparison

        picture = comparison(image_HWC, truth_HW, labels_HW, self._ontology, f"{title}, epoch {epoch}")
        for logger in trainer.loggers:
            if isinstance(logger, TensorBoardLogger):
                logger.experiment.add_image(title, picture, step, dataformats="HWC")
            elif isinstance(logger, WandbLogger):
                logger.log_image(title, [picture], step=step)


def finish(loggers: list[Logger]) -> None:
    """End the run in W&B, whose process serves one at a time; a sweep starts many."""
    for logger in loggers:
        if isinstance(logger, WandbLogger):
            import wandb

            if wandb.run is not None:
                wandb.finish()


def _scalars(row: dict[str, Any]) -> dict[str, float]:
    """An epoch's figures under the names that the trackers show; what is not defined is left out."""
    found = {f"{part}/{name}": row[part][name] for part in ("train", "val") for name in _FIGURES}
    found |= {f"val iou/{name}": figures["iou"] for name, figures in row["val"]["per_class"].items()}
    found |= {f"lr/{name}": rate for name, rate in row["lr"].items()}
    found |= {"seconds": row["seconds"], "epoch": row["epoch"]}
    return {name: float(value) for name, value in found.items() if value is not None}


def _plain(value: Any) -> Any:
    return value if isinstance(value, (int, float, str, bool)) else json.dumps(value)
