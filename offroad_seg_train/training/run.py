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
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import lightning.pytorch as lightning
from lightning.pytorch.callbacks import TQDMProgressBar

from offroad_seg.resources import check_output, keep_sources, prepare_output, write_text
from offroad_seg_train.checkpoint import network_state, read_checkpoint
from offroad_seg_train.training.checkpoint_files import CheckpointFiles
from offroad_seg_train.training.ema import EmaWeights
from offroad_seg_train.training.fitting import fit, quiet_lightning
from offroad_seg_train.training.hardware import build_trainer, choose_hardware
from offroad_seg_train.training.ingredients import gather
from offroad_seg_train.training.module import SegmentationModule
from offroad_seg_train.training.monitor import Monitor
from offroad_seg_train.training.network import build_network
from offroad_seg_train.training.phases import phases_of
from offroad_seg_train.training.recipe import dump
from offroad_seg_train.training.recorder import Recorder
from offroad_seg_train.training.resume import Progress, check_same, find_progress
from offroad_seg_train.training.tracking import Tracking, build_loggers, finish, require_trackers
from offroad_seg_train.training.warm_start import load_initial

if TYPE_CHECKING:
    from collections.abc import Sequence

    from offroad_seg_train.models import NormalizedModel
    from offroad_seg_train.training.config import TrainConfig
    from offroad_seg_train.training.hardware import Hardware
    from offroad_seg_train.training.ingredients import Ingredients
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
        keep_sources(run, *config.sources)
    lightning.seed_everything(config.seed, verbose=False)

    require_trackers(config.loggers)
    shared = gather(config, hardware, show=show)
    monitor = Monitor(config.monitor)
    monitor.check_classes(shared.ontology.names)
    recorder = Recorder(run, monitor, config.early_stopping, config.epochs)
    if progress.epochs:
        check_same(progress.checkpoint, config.model, shared.ontology, recorder.last_path)
        recorder.load_state_dict(progress.checkpoint["callbacks"][recorder.state_key])
    # Phases that are done are the first ones; a finished run has none left.
    phases = [phase for phase in phases_of(config) if not recorder.is_done(phase)]
    network = _first_network(shared, recorder, phases[0], progress) if phases else None
    # Everything that can be wrong has been tried: only now is an old run replaced.
    if not resume and hardware.is_first:
        prepare_output(run, overwrite=overwrite)
        write_text(run / "config.yaml", dump(config))
    loggers = build_loggers(config, run)
    try:
        for phase in phases:
            network = network or _next_network(shared, recorder, phase)
            tracking = Tracking(recorder, config, shared.ontology)
            _run_phase(shared, recorder, phase, network, [tracking, *callbacks], loggers, show=show)
            network = None
    finally:
        finish(loggers)
    if hardware.is_first:
        recorder.write(curves=True)
    return TrainResult(recorder.best_path, config.monitor, recorder.best, recorder.rows)


def _first_network(
    shared: Ingredients, recorder: Recorder, phase: Phase, progress: Progress
) -> NormalizedModel:
    """The network of the phase that a run begins or goes on with."""
    config = shared.config
    if phase.index and not recorder.rows_of(phase):
        return _next_network(shared, recorder, phase)
    # A resumed run takes every weight from its checkpoint.
    given = not progress.epochs and config.init_from is None
    network = build_network(config, phase.model, shared.ontology, shared.hardware, fetch=given)
    if not progress.epochs and config.init_from is not None:
        load_initial(network, config.model, shared.ontology, Path(config.init_from))
    return network


def _next_network(shared: Ingredients, recorder: Recorder, phase: Phase) -> NormalizedModel:
    """The network of a later phase, with the weights of the best or last epoch before it."""
    network = build_network(shared.config, phase.model, shared.ontology, shared.hardware, fetch=False)
    path = recorder.best_path if phase.start == "best" else recorder.last_path
    network.load_state_dict(network_state(read_checkpoint(path)))
    log.info("phase %d of %d begins with %s", phase.index + 1, phase.count, path.name)
    return network


def _run_phase(
    shared: Ingredients,
    recorder: Recorder,
    phase: Phase,
    network: NormalizedModel,
    callbacks: list[lightning.Callback],
    loggers: list[lightning.loggers.Logger],
    *,
    show: bool,
) -> None:
    config, hardware = shared.config, shared.hardware
    done, before = len(recorder.rows_of(phase)), recorder.epochs_before(phase)
    train_loader = shared.training_loader(before + done, show=show)
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
        shared.record(),
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
    _log_plan(network, config, phase, hardware, before, done)
    checkpoint = recorder.last_path if done else None
    fit(trainer, module, train_loader, shared.validation_loader(), checkpoint)


def _log_plan(
    network: NormalizedModel, config: TrainConfig, phase: Phase, hardware: Hardware, before: int, done: int
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
        log.info("going on after epoch %d of %d", before + done, config.epochs)
