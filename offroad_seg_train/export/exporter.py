# SPDX-License-Identifier: Apache-2.0
"""From a checkpoint to a portable bundle that was shown to say the same as the checkpoint."""

from __future__ import annotations

import logging
import platform
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import onnx
import onnxruntime
import torch

from offroad_seg import __version__, resources
from offroad_seg.bundle import Bundle, write_bundle
from offroad_seg.compile.gate import require
from offroad_seg.compile.gate_images import MAX_IMAGES, gate_images
from offroad_seg.compile.parity import Parity, compare
from offroad_seg.engines.registry import load_engine
from offroad_seg.errors import GateError, InputError
from offroad_seg.image import Letterbox
from offroad_seg.manifest import PORTABLE, Manifest
from offroad_seg.progress import progress
from offroad_seg_train.checkpoint import LoadedModel, load_checkpoint
from offroad_seg_train.evaluation.frames import FrameSource, choose_frames, has_split, is_training_folder
from offroad_seg_train.export.calibrate import PERCENTILE, Fitted, calibrate
from offroad_seg_train.export.graph import (
    ONNX_NAME,
    PROGRAM_NAME,
    DeployedModel,
    export_program,
    onnx_bytes,
    program_bytes,
)
from offroad_seg_train.export.reference import Reference

if TYPE_CHECKING:
    from offroad_seg.compile.gate_images import GateImages

_LOG = logging.getLogger(__name__)
_MIN_SIZE, _MAX_SIZE = 32, 8192
BACKENDS = ("onnxruntime", "torch")


@dataclass(frozen=True)
class CalibrateOptions:
    """What to fit confidence and the OOD threshold on.

    Attributes:
        root: Folder of labelled images.
        layout: A name from ``LAYOUTS``, or ``auto``.
        ontology: What the mask values mean, by name or file; None takes the model's own.
        part: ``all`` frames, ``val`` or ``test``; None takes ``val`` of the folder that was trained on, else all.
        ood: A name from ``OOD_SCORES``, or None for a graph without that output.
        percentile: Of the score over labelled pixels, above which a pixel is out of distribution.
    """

    root: Path
    layout: str = "auto"
    ontology: str | None = None
    part: str | None = None
    ood: str | None = "energy"
    percentile: float = PERCENTILE


@dataclass(frozen=True)
class ExportOptions:
    """What to export.

    Attributes:
        height: Rows of the network's input; None takes the size of training.
        width: Columns.
        images: Real images for the gate; None draws a synthetic set.
        gate_count: At most so many images in the gate.
        calibrate: Labelled images that confidence is fitted on; None leaves it as the network gives it.
        overwrite: Replace an existing bundle.
    """

    height: int | None = None
    width: int | None = None
    images: Path | None = None
    gate_count: int = MAX_IMAGES
    calibrate: CalibrateOptions | None = None
    overwrite: bool = False


def export_checkpoint(checkpoint: Path, out: Path, options: ExportOptions) -> Bundle:
    """Export a checkpoint file. See ``export_model``."""
    resources.check_output(out, overwrite=options.overwrite)
    calibrate = options.calibrate and options.calibrate.root
    resources.keep_sources(out, checkpoint, options.images, calibrate)
    return export_model(load_checkpoint(checkpoint), out, options)


def export_model(model: LoadedModel, out: Path, options: ExportOptions) -> Bundle:
    """Write a portable bundle, if every back end says what the checkpoint says.

    Raises:
        InputError: ``out`` is not empty, the size is out of bounds, or images cannot be read.
        EngineError: The logits are not finite on an image to calibrate on.
        GateError: Labels agree on too few pixels, something was not finite, or the labels to calibrate on do not
            determine a temperature. Nothing is written.
    """
    resources.check_output(out, overwrite=options.overwrite)
    letterbox = _letterbox(model, options)
    images = gate_images(options.images, letterbox, options.gate_count)
    if images.source != "real":
        _LOG.warning("no --images: the parity gate runs on synthetic pictures, which says less")
    _LOG.info("exporting %s at %d×%d (width × height)", model.name, letterbox.width, letterbox.height)
    fitted = Fitted() if options.calibrate is None else _fit(model, letterbox, options.calibrate)
    program = export_program(
        DeployedModel(model.module, fitted.temperature, fitted.ood), letterbox.height, letterbox.width
    )
    files = {ONNX_NAME: onnx_bytes(program), PROGRAM_NAME: program_bytes(program)}
    manifest = checkpoint_manifest(model, letterbox, fitted)
    out.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=".offroad-seg-export-", dir=out.parent) as work:
        # The engines load the very bytes that will be shipped, through the checks that the vehicle makes.
        candidate = write_bundle(Path(work) / "candidate", manifest, files)
        parities = gate(Reference(model.module, fitted), candidate, images, where=str(out))
    record = {"reference": "the checkpoint, run eagerly", **{p.candidate: p.to_dict() for p in parities}}
    return write_bundle(out, replace(manifest, parity=record), files, overwrite=options.overwrite)


def gate(reference: Reference, candidate: Bundle, images: GateImages, *, where: str) -> list[Parity]:
    """Compare a bundle's back ends with the checkpoint.

    Raises:
        GateError: Labels agree on too few pixels, or something was not finite.
    """
    names = candidate.ontology.names
    parities = []
    for backend in candidate.manifest.backends:
        engine = load_engine(candidate, backend, device="cpu")
        try:
            parities.append(
                compare(
                    backend,
                    reference,
                    engine.infer,
                    images,
                    lambda items, name=backend: progress(
                        items, what=f"parity {name}", total=len(images.images), unit="image"
                    ),
                    names=names,
                )
            )
        finally:
            engine.close()
    # A network that is not finite by itself is the training's fault, not the export's: say so.
    if parities and set(parities[0].not_finite) >= {image.name for image in images.images}:
        raise GateError(
            "the checkpoint gives logits that are not finite on every image",
            where=where,
            mend="train again with a lower learning rate, or export an earlier checkpoint",
        )
    require(
        parities,
        candidate.manifest.precision,
        where=where,
        mend="report this with the checkpoint; no bundle was written",
    )
    return parities


def _fit(model: LoadedModel, letterbox: Letterbox, options: CalibrateOptions) -> Fitted:
    if not 50 < options.percentile < 100:
        raise InputError(
            f"the percentile is {options.percentile}",
            where="--ood-percentile",
            mend="above 50 and below 100; 99 is usual",
        )
    part = options.part
    if part is None:
        own = is_training_folder(options.root, model.config) and has_split(model.config)
        part = "val" if own else "all"
    source = FrameSource(options.root, options.layout, options.ontology, part)
    frames = choose_frames(source, model.ontology, model.config, where=model.name)
    _LOG.info("calibrating on %d labelled images (%s)", len(frames.pairs), part)
    module = model.module.to("cuda" if torch.cuda.is_available() else "cpu")
    try:
        return calibrate(module, letterbox, frames, ood=options.ood, percentile=options.percentile)
    finally:
        module.to("cpu")  # what the graph is traced from


def _letterbox(model: LoadedModel, options: ExportOptions) -> Letterbox:
    height = model.letterbox.height if options.height is None else options.height
    width = model.letterbox.width if options.width is None else options.width
    for name, value in (("height", height), ("width", width)):
        if not _MIN_SIZE <= value <= _MAX_SIZE:
            raise InputError(
                f"{name} is {value}", where=f"--{name}", mend=f"give {_MIN_SIZE} to {_MAX_SIZE} pixels"
            )
    return Letterbox(height, width, model.letterbox.pad_value)


def checkpoint_manifest(model: LoadedModel, letterbox: Letterbox, fitted: Fitted | None = None) -> Manifest:
    """The manifest of what is made from a checkpoint, before it was judged."""
    fitted = fitted or Fitted()
    return Manifest(
        name=model.name,
        ontology=model.ontology.to_dict(),
        input_height=letterbox.height,
        input_width=letterbox.width,
        mean=model.normalization.mean,
        std=model.normalization.std,
        pad_value=letterbox.pad_value,
        precision="fp32",
        backend=PORTABLE,
        backends=BACKENDS,
        temperature=fitted.temperature,
        calibration=fitted.calibration,
        ood=fitted.ood_record,
        n_classes=model.ontology.n_classes,
        versions={
            "offroad_seg": __version__,
            "python": platform.python_version(),
            "torch": str(torch.__version__),
            "onnx": onnx.__version__,
            "onnxruntime": onnxruntime.__version__,
        },
        source={
            "checkpoint_sha256": model.sha256,
            "model": model.model_config.name,
            "epoch": model.epoch,
            "recipe": _recipe(model),
        },
    )


def _recipe(model: LoadedModel) -> dict[str, object]:
    """The training configuration without the folders of the machine that trained."""
    data = {k: v for k, v in model.config.get("data", {}).items() if k not in ("root", "val_root")}
    data["has_val_root"] = model.config.get("data", {}).get("val_root") is not None
    return {**model.config, "data": data}
