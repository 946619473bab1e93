# SPDX-License-Identifier: Apache-2.0
"""One training run from a recipe to ``best.ckpt``; the whole story reads from top to bottom in ``train``.

The run's folder::

    config.yaml               the recipe with every setting; `train --resume --out RUN` reads it
    metrics.jsonl             one line an epoch
    curves.png                loss, IoU, Dice, accuracy
    tensorboard/              the same as it comes, with pictures
    checkpoints/best.ckpt     the weights with the best figure (`monitor`, as a rule validation miou)
    checkpoints/last.ckpt     to go on from
"""

from __future__ import annotations

import logging
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import lightning.pytorch as lightning
import torch
from lightning.pytorch.callbacks import TQDMProgressBar

from offroad_seg.image import Normalization
from offroad_seg.resources import check_output, prepare_output, write_text
from offroad_seg_train.checkpoint import make_record, network_state, read_checkpoint
from offroad_seg_train.losses import SegmentationLoss, class_weights
from offroad_seg_train.training.checkpoint_files import CheckpointFiles
from offroad_seg_train.training.ema import EmaWeights
from offroad_seg_train.training.fitting import fit, quiet_lightning
from offroad_seg_train.training.hardware import build_trainer, choose_hardware
from offroad_seg_train.training.loading import build_loader, build_training_loader
from offroad_seg_train.training.module import SegmentationModule
from offroad_seg_train.training.monitor import Monitor
from offroad_seg_train.training.network import build_network
from offroad_seg_train.training.opening import open_data
from offroad_seg_train.training.phases import phases_of
from offroad_seg_train.training.recipe import dump
from offroad_seg_train.training.recorder import Recorder
from offroad_seg_train.training.resume import Progress, check_same, find_progress
from offroad_seg_train.training.tracking import Tracking, build_loggers, finish
from offroad_seg_train.training.warm_start import load_initial

if TYPE_CHECKING:
    from collections.abc import Sequence

    from offroad_seg.image import Letterbox
    from offroad_seg.ontology import Ontology
    from offroad_seg_train.models import NormalizedModel
    from offroad_seg_train.training.config import TrainConfig
    from offroad_seg_train.training.frames import Frames
    from offroad_seg_train.training.hardware import Hardware
    from offroad_seg_train.training.phases import Phase

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainResult:
    """What a run left.

    Attributes:
        best_checkpoint: The weights with the best figure.
        monitor: Which figure that is.
        best: Its value; None where no validation pixel was labelled.
        rows: The lines of ``metrics.jsonl``.
    """

    best_checkpoint: Path
    monitor: str
    best: float | None
    rows: list[dict[str, Any]]


@dataclass(frozen=True)
class Ingredients:
    """What all phases of a run share."""

    config: TrainConfig
    hardware: Hardware
    ontology: Ontology
    letterbox: Letterbox
    train_frames: Frames
    val_frames: Frames
    loss: SegmentationLoss
    recorder: Recorder


def train(
    config: TrainConfig,
    run: Path,
    *,
    resume: bool = False,
    overwrite: bool = False,
    show: bool = True,
    callbacks: Sequence[lightning.Callback] = (),
) -> TrainResult:
    """Train one recipe.

    Args:
        config: The recipe.
        run: The run's folder.
        resume: Go on from ``checkpoints/last.ckpt``; from the start where the run was ended before its first epoch was.
        overwrite: Replace a folder that is not empty.
        show: Show progress.
        callbacks: More of Lightning's; they see the recorder's rows of the epoch that ended.

    Raises:
        InputError: The folder is not empty, the data cannot be used, or a resumed run's settings differ.
        OffroadSegError: The loss became infinite or NaN, or a checkpoint could not be written.
    """
    quiet_lightning()
    hardware = choose_hardware(config)
    # Of several processes, the first speaks and writes.
    show = show and hardware.is_first
    if not hardware.is_first:
        logging.getLogger().setLevel(logging.ERROR)
    progress = find_progress(config, run) if resume else Progress()
    if not resume and hardware.is_first:
        check_output(run, overwrite=overwrite)
    lightning.seed_everything(config.seed, verbose=False)

    monitor = Monitor(config.monitor)
    ontology, letterbox, train_frames, val_frames = open_data(config.data, config.seed, show=show)
    log.info("%d images to train on, %d to validate on", len(train_frames), len(val_frames))
    monitor.check_classes(ontology.names)
    recorder = Recorder(run, monitor, config.early_stopping, config.epochs)
    if progress.epochs:
        check_same(progress.checkpoint, config.model, ontology, recorder.last_path)
        recorder.load_state_dict(progress.checkpoint["callbacks"][recorder.state_key])
    loss = _build_loss(config, train_frames, ontology, show=show)
    shared = Ingredients(config, hardware, ontology, letterbox, train_frames, val_frames, loss, recorder)

    # Phases that are done are the first ones; a finished run has none left.
    phases = [phase for phase in phases_of(config) if not recorder.is_done(phase)]
    network = _first_network(shared, phases[0], progress) if phases else None
    loggers = build_loggers(config, run)

    # Everything that can be wrong has been tried: only now is an old run replaced.
    if not resume and hardware.is_first:
        prepare_output(run, overwrite=overwrite)
        write_text(run / "config.yaml", dump(config))
    try:
        for phase in phases:
            network = network or _next_network(shared, phase)
            tracking = Tracking(recorder, config, ontology)
            _run_phase(shared, phase, network, [tracking, *callbacks], loggers, show=show)
            network = None
    finally:
        finish(loggers)
    if hardware.is_first:
        recorder.write(curves=True)
    return TrainResult(recorder.best_path, config.monitor, recorder.best, recorder.rows)


def _first_network(shared: Ingredients, phase: Phase, progress: Progress) -> NormalizedModel:
    """The network of the phase that a run begins or goes on with."""
    config, recorder = shared.config, shared.recorder
    if phase.index and not recorder.rows_of(phase):
        return _next_network(shared, phase)
    # A resumed run takes every weight from its checkpoint.
    given = not progress.epochs and config.init_from is None
    network = build_network(config, phase.model, shared.ontology, shared.hardware, fetch=given)
    if not progress.epochs and config.init_from is not None:
        load_initial(network, config.model, shared.ontology, Path(config.init_from))
    return network


def _next_network(shared: Ingredients, phase: Phase) -> NormalizedModel:
    """The network of a later phase, with the weights of the best or last epoch before it."""
    network = build_network(shared.config, phase.model, shared.ontology, shared.hardware, fetch=False)
    recorder = shared.recorder
    path = recorder.best_path if phase.start == "best" else recorder.last_path
    network.load_state_dict(network_state(read_checkpoint(path)))
    log.info("phase %d of %d begins with %s", phase.index + 1, phase.count, path.name)
    return network


def _run_phase(
    shared: Ingredients,
    phase: Phase,
    network: NormalizedModel,
    callbacks: list[lightning.Callback],
    loggers: list[lightning.loggers.Logger],
    *,
    show: bool,
) -> None:
    config, hardware, recorder = shared.config, shared.hardware, shared.recorder
    done, before = len(recorder.rows_of(phase)), recorder.epochs_before(phase)
    train_loader = build_training_loader(
        shared.train_frames,
        config,
        shared.ontology.n_classes,
        epoch=before + done,
        pin=hardware.gpu,
        rank=hardware.rank,
        world_size=hardware.world,
        show=show,
    )
    val_loader = build_loader(
        shared.val_frames,
        batch_size=config.batch_size,
        workers=min(config.data.workers, 2),
        pin=hardware.gpu,
        rank=hardware.rank,
        world_size=hardware.world,
    )
    # Lightning also steps at an epoch's end, where fewer batches are left.
    steps_per_epoch = -(-len(train_loader) // config.accumulate)
    recorder.begin(phase, steps_per_epoch)
    module = SegmentationModule(
        network,
        shared.loss,
        config,
        phase,
        before,
        shared.ontology.names,
        make_record(
            name=config.name,
            model=config.model,
            ontology=shared.ontology,
            letterbox=shared.letterbox,
            normalization=Normalization(),
            config=asdict(config),
        ),
        steps_per_epoch,
        recorder.monitor,
        lambda: recorder.monitor.values(recorder.rows_of(phase)),
    )
    # A bar that moves makes no sense in a log: the recorder's line for each epoch does.
    bar = show and sys.stderr.isatty()
    trainer = build_trainer(
        config,
        hardware,
        [
            *([EmaWeights(config.ema)] if config.ema.decay else []),
            recorder,
            *callbacks,
            *([TQDMProgressBar(refresh_rate=5, leave=False)] if bar else []),
        ],
        epochs=phase.epochs,
        bar=bar,
        loggers=loggers,
        plugins=[CheckpointFiles()],
    )
    _log_plan(network, config, phase, hardware, before + done)
    fit(trainer, module, train_loader, val_loader, recorder.last_path if done else None)


def _build_loss(config: TrainConfig, frames: Frames, ontology: Ontology, *, show: bool) -> SegmentationLoss:
    weights = torch.ones(ontology.n_classes)
    if config.loss.class_weights != "none":
        pixels = frames.count_pixels(ontology.n_classes, show=show)
        weights = class_weights(pixels, config.loss)
        listed = ", ".join(
            f"{name} {w:.2f}" for name, w in zip(ontology.names, weights.tolist(), strict=True)
        )
        log.info("class weights: %s", listed)
        if absent := [name for name, count in zip(ontology.names, pixels, strict=True) if not count]:
            log.warning(
                "no training pixel of %s: their class weight is 1, and the network cannot learn them",
                ", ".join(absent),
            )
    return SegmentationLoss(config.loss, weights)


def _log_plan(
    network: NormalizedModel, config: TrainConfig, phase: Phase, hardware: Hardware, done: int
) -> None:
    total = sum(p.numel() for p in network.parameters())
    trained = sum(p.numel() for p in network.parameters() if p.requires_grad)
    part = f"phase {phase.index + 1} of {phase.count}: " if phase.count > 1 else ""
    log.info(
        "%s%s: %.2f M parameters, %.2f M of them trained; %s, %s",
        part,
        config.model.name,
        total / 1e6,
        trained / 1e6,
        hardware.describe(),
        hardware.precision,
    )
    if done:
        log.info("going on after epoch %d of %d", done, config.epochs)
