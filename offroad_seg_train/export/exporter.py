# SPDX-License-Identifier: Apache-2.0
"""From a checkpoint to a portable bundle that was shown to say the same as the checkpoint."""

from __future__ import annotations

import logging
import platform
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np
import onnx
import onnxruntime
import torch

from offroad_seg import __version__, resources
from offroad_seg.bundle import Bundle, write_bundle
from offroad_seg.compile.gate import require
from offroad_seg.compile.gate_images import MAX_IMAGES, gate_images
from offroad_seg.compile.parity import Parity, compare
from offroad_seg.engines.base import EngineOutput
from offroad_seg.engines.registry import load_engine
from offroad_seg.errors import GateError, InputError
from offroad_seg.image import Letterbox
from offroad_seg.manifest import PORTABLE, Manifest
from offroad_seg.progress import progress
from offroad_seg_train.checkpoint import LoadedModel, load_checkpoint
from offroad_seg_train.export.graph import (
    ONNX_NAME,
    PROGRAM_NAME,
    DeployedModel,
    export_program,
    onnx_bytes,
    program_bytes,
)

if TYPE_CHECKING:
    from offroad_seg.compile.gate_images import GateImages

_LOG = logging.getLogger(__name__)
_MIN_SIZE, _MAX_SIZE = 32, 8192
BACKENDS = ("onnxruntime", "torch")


@dataclass(frozen=True)
class ExportOptions:
    """What to export.

    Attributes:
        height: Rows of the network's input; None takes the size of training.
        width: Columns.
        images: Real images for the gate; None draws a synthetic set.
        gate_count: At most so many images in the gate.
        temperature: Divides the logits before the softmax.
        overwrite: Replace an existing bundle.
    """

    height: int | None = None
    width: int | None = None
    images: Path | None = None
    gate_count: int = MAX_IMAGES
    temperature: float = 1.0
    overwrite: bool = False


def export_checkpoint(checkpoint: Path, out: Path, options: ExportOptions) -> Bundle:
    """Export a checkpoint file. See ``export_model``."""
    resources.check_output(out, overwrite=options.overwrite)
    return export_model(load_checkpoint(checkpoint), out, options)


def export_model(model: LoadedModel, out: Path, options: ExportOptions) -> Bundle:
    """Write a portable bundle, if every back end says what the checkpoint says.

    Raises:
        InputError: ``out`` is not empty, the size is out of bounds, or the images cannot be read.
        GateError: Labels agree on too few pixels, or something was not finite. Nothing is written.
    """
    resources.check_output(out, overwrite=options.overwrite)
    letterbox = _letterbox(model, options)
    images = gate_images(options.images, letterbox, options.gate_count)
    if images.source != "real":
        _LOG.warning("no --images: the parity gate runs on synthetic pictures, which says less")
    _LOG.info("exporting %s at %d×%d (width × height)", model.name, letterbox.width, letterbox.height)
    program = export_program(
        DeployedModel(model.module, options.temperature), letterbox.height, letterbox.width
    )
    files = {ONNX_NAME: onnx_bytes(program), PROGRAM_NAME: program_bytes(program)}
    manifest = checkpoint_manifest(model, letterbox, options.temperature)
    out.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=".offroad-seg-export-", dir=out.parent) as work:
        # The engines load the very bytes that will be shipped, through the checks that the vehicle makes.
        candidate = write_bundle(Path(work) / "candidate", manifest, files)
        parities = gate(model, candidate, images, options.temperature, where=str(out))
    record = {"reference": "the checkpoint, run eagerly", **{p.candidate: p.to_dict() for p in parities}}
    return write_bundle(out, replace(manifest, parity=record), files, overwrite=options.overwrite)


def gate(
    model: LoadedModel, candidate: Bundle, images: GateImages, temperature: float, *, where: str
) -> list[Parity]:
    """Compare a bundle's back ends with the checkpoint.

    Raises:
        GateError: Labels agree on too few pixels, or something was not finite.
    """
    reference = Reference(model, temperature)
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
                    names=model.ontology.names,
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


class Reference:
    """The checkpoint run eagerly, each image once: it is the same for every back end.

    Written apart from the exported graph, so that a mistake there shows.
    """

    def __init__(self, model: LoadedModel, temperature: float) -> None:
        self._module = model.module
        self._temperature = temperature
        self._known: dict[bytes, EngineOutput] = {}

    def __call__(self, image_BHWC: np.ndarray) -> EngineOutput:
        """Letterboxed uint8 (1, H, W, 3) → labels and confidence."""
        key = image_BHWC.tobytes()
        if key not in self._known:
            self._known[key] = self._run(image_BHWC)
        return self._known[key]

    def _run(self, image_BHWC: np.ndarray) -> EngineOutput:
        with torch.inference_mode():
            pixels_BCHW = torch.from_numpy(np.ascontiguousarray(image_BHWC.transpose(0, 3, 1, 2)))
            logits_BCHW = self._module(pixels_BCHW).numpy().astype(np.float64)
        with np.errstate(invalid="ignore"):  # what is not finite is reported by the gate
            shifted = (logits_BCHW - logits_BCHW.max(axis=1, keepdims=True)) / self._temperature
            best_BHW = 1.0 / np.exp(shifted).sum(axis=1)
        finite = np.isfinite(logits_BCHW).all()
        return EngineOutput(
            labels_BHW=logits_BCHW.argmax(axis=1).astype(np.uint8),
            confidence_BHW=np.nan_to_num(best_BHW * 255).round().astype(np.uint8),
            mean_confidence_B=np.array([best_BHW.mean() if finite else np.nan], np.float32),
        )


def _letterbox(model: LoadedModel, options: ExportOptions) -> Letterbox:
    height = model.letterbox.height if options.height is None else options.height
    width = model.letterbox.width if options.width is None else options.width
    for name, value in (("height", height), ("width", width)):
        if not _MIN_SIZE <= value <= _MAX_SIZE:
            raise InputError(
                f"{name} is {value}", where=f"--{name}", mend=f"give {_MIN_SIZE} to {_MAX_SIZE} pixels"
            )
    return Letterbox(height, width, model.letterbox.pad_value)


def checkpoint_manifest(model: LoadedModel, letterbox: Letterbox, temperature: float = 1.0) -> Manifest:
    """The manifest of what is made from a checkpoint, before it was judged."""
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
        temperature=temperature,
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
