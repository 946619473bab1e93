# SPDX-License-Identifier: Apache-2.0
"""One training run from a recipe to ``best.ckpt``; the whole story reads from top to bottom in ``train``.

The run's folder::

    config.yaml               the recipe with every setting; `train --resume --out RUN` reads it
    metrics.jsonl             one line an epoch
    curves.png                loss, IoU, Dice, accuracy
    checkpoints/best.ckpt     highest validation miou
    checkpoints/last.ckpt     to go on from
"""

from __future__ import annotations

import logging
import signal
import sys
import warnings
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import lightning.pytorch as lightning
import torch
from lightning.pytorch.callbacks import TQDMProgressBar

from offroad_seg.errors import InputError
from offroad_seg.image import Normalization
from offroad_seg.resources import check_output, prepare_output, write_text
from offroad_seg_train.checkpoint import make_record, read_checkpoint
from offroad_seg_train.data.augment import Augment
from offroad_seg_train.losses import SegmentationLoss, class_weights
from offroad_seg_train.models import NormalizedModel, build_model
from offroad_seg_train.training.ema import EmaWeights
from offroad_seg_train.training.loading import build_loader, plan_sampling
from offroad_seg_train.training.module import SegmentationModule
from offroad_seg_train.training.opening import open_data
from offroad_seg_train.training.recipe import dump, load_recipe
from offroad_seg_train.training.recorder import Recorder

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from offroad_seg.ontology import Ontology
    from offroad_seg_train.training.config import TrainConfig
    from offroad_seg_train.training.frames import Frames

log = logging.getLogger(__name__)

# Settings that do not change what is learned: a resumed run may differ in them.
_FREE_SETTINGS = {
    ("data", "root"),
    ("data", "val_root"),
    ("data", "workers"),
    ("data", "cache_gib"),
    ("device",),
}


@dataclass(frozen=True)
class TrainResult:
    """What a run left.

    Attributes:
        best_checkpoint: The weights with the highest validation ``miou``.
        best_miou: That figure; None where no validation pixel was labelled.
        rows: The lines of ``metrics.jsonl``.
    """

    best_checkpoint: Path
    best_miou: float | None
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
        OffroadSegError: The loss became infinite or NaN.
    """
    _quiet_lightning()
    start = _start_epoch(config, run) if resume else 0
    if not resume:
        check_output(run, overwrite=overwrite)
    lightning.seed_everything(config.seed, verbose=False)
    gpu = _use_gpu(config.device)

    ontology, letterbox, train_frames, val_frames = open_data(config.data, config.seed, show=show)
    log.info("%d images to train on, %d to validate on", len(train_frames), len(val_frames))
    weights_N, focus = plan_sampling(train_frames, ontology.n_classes, config.sampling, show=show)
    train_loader = build_loader(
        train_frames,
        batch_size=config.batch_size,
        workers=config.data.workers,
        seed=config.seed,
        augment=Augment(config.augment, letterbox, focus),
        epoch=start,
        pin=gpu,
        weights_N=weights_N,
        epoch_images=config.sampling.epoch_images,
    )
    val_loader = build_loader(
        val_frames, batch_size=config.batch_size, workers=min(config.data.workers, 2), pin=gpu
    )

    normalization = Normalization()
    # A resumed run takes every weight from its checkpoint.
    source = config.model if start == 0 else replace(config.model, backbone_weights="none")
    network = NormalizedModel(build_model(source, ontology.n_classes), normalization)
    # A tenth faster on a CPU, and what tensor cores want.
    network.to(memory_format=torch.channels_last)
    module = SegmentationModule(
        network,
        _build_loss(config, train_frames, ontology, show=show),
        config,
        ontology.names,
        make_record(
            name=config.name,
            model=config.model,
            ontology=ontology,
            letterbox=letterbox,
            normalization=normalization,
            config=asdict(config),
        ),
        steps_per_epoch=len(train_loader),
    )

    # Everything that can be wrong has been tried: only now is an old run replaced.
    if not resume:
        prepare_output(run, overwrite=overwrite)
        write_text(run / "config.yaml", dump(config))
    recorder = Recorder(run)
    trainer = _build_trainer(config, [recorder, *callbacks], gpu=gpu, show=show)
    _log_plan(network.model, config, gpu=gpu, start=start)
    try:
        trainer.fit(
            module,
            train_loader,
            val_loader,
            ckpt_path=str(recorder.last_path) if start else None,
            weights_only=True if start else None,
        )
    except SystemExit:
        # Lightning's answer to Ctrl-C; it also switches further ones off.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        raise KeyboardInterrupt from None
    recorder.write(curves=True)
    return TrainResult(recorder.best_path, recorder.best, recorder.rows)


def _build_loss(config: TrainConfig, frames: Frames, ontology: Ontology, *, show: bool) -> SegmentationLoss:
    weights = torch.ones(ontology.n_classes)
    if config.loss.class_weights != "none":
        pixels = frames.count_pixels(ontology.n_classes, show=show)
        weights = class_weights(pixels, config.loss)
        listed = ", ".join(
            f"{name} {w:.2f}" for name, w in zip(ontology.names, weights.tolist(), strict=True)
        )
        log.info("class weights: %s", listed)
    return SegmentationLoss(config.loss, weights)


def _build_trainer(
    config: TrainConfig, callbacks: list[lightning.Callback], *, gpu: bool, show: bool
) -> lightning.Trainer:
    if config.ema.decay:
        callbacks.append(EmaWeights(config.ema))
    # A bar that moves makes no sense in a log: the recorder's line for each epoch does.
    bar = show and sys.stderr.isatty()
    if bar:
        callbacks.append(TQDMProgressBar(refresh_rate=5, leave=False))
    return lightning.Trainer(
        accelerator="gpu" if gpu else "cpu",
        devices=1,
        max_epochs=config.epochs,
        precision=config.precision,  # type: ignore[arg-type]
        gradient_clip_val=config.clip or None,
        callbacks=callbacks,
        # Checkpoints, metrics and curves are the recorder's.
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=bar,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
        benchmark=gpu,
    )


def _start_epoch(config: TrainConfig, run: Path) -> int:
    """The epoch to go on with; 0 where no epoch was finished."""
    recorded = run / "config.yaml"
    if not recorded.is_file():
        raise InputError(
            "there is no run to resume",
            where=str(run),
            mend="give the folder of a run, or leave --resume out",
        )
    old, new = _flatten(asdict(load_recipe(recorded))), _flatten(asdict(config))
    changed = [key for key in new if key not in _FREE_SETTINGS and new[key] != old.get(key)]
    if changed:
        listed = "; ".join(f"{'.'.join(key)} was {old.get(key)!r}, is {new[key]!r}" for key in changed)
        raise InputError(
            f"a resumed run goes on with its own settings, but: {listed}",
            where=str(recorded),
            mend="leave these out, or start a new run in another folder",
        )
    last = run / "checkpoints" / "last.ckpt"
    if not last.exists():
        log.info("the run was ended before its first epoch was done: it starts from the beginning")
        return 0
    # A file that cannot be read is found here, before anything else is done.
    return int(read_checkpoint(last)["epoch"]) + 1


def _flatten(settings: dict[str, Any], above: tuple[str, ...] = ()) -> dict[tuple[str, ...], Any]:
    flat: dict[tuple[str, ...], Any] = {}
    for key, value in settings.items():
        if isinstance(value, dict):
            flat |= _flatten(value, (*above, key))
        else:
            flat[(*above, key)] = value
    return flat


def _use_gpu(device: str) -> bool:
    if device == "cuda" and not torch.cuda.is_available():
        raise InputError("torch finds no CUDA device", where="device", mend="device=cpu, or mend the driver")
    return device != "cpu" and torch.cuda.is_available()


def _log_plan(model: torch.nn.Module, config: TrainConfig, *, gpu: bool, start: int) -> None:
    total = sum(p.numel() for p in model.parameters())
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    where = torch.cuda.get_device_name() if gpu else f"CPU ({torch.get_num_threads()} threads)"
    log.info(
        "%s: %.2f M parameters, %.2f M of them trained; %s, %s",
        config.model.name,
        total / 1e6,
        trained / 1e6,
        where,
        config.precision,
    )
    if start:
        log.info("going on after epoch %d of %d", start, config.epochs)


def _quiet_lightning() -> None:
    """Keep Lightning's tips and advice about defaults out of the user's log; its errors still raise."""
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    # It deprecates its own calls, and advises workers where the frames are in memory.
    warnings.filterwarnings("ignore", module=r"lightning\..*")
    warnings.filterwarnings(
        "ignore", message=".*(does not have many workers|in eval mode at the start of training).*"
    )
