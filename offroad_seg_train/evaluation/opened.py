# SPDX-License-Identifier: Apache-2.0
"""A checkpoint or a bundle, opened to label images by the very path that the vehicle takes."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import torch

from offroad_seg.bundle import MANIFEST_NAME, Bundle
from offroad_seg.engines.base import EngineInfo, EngineOutput, check_input
from offroad_seg.engines.registry import load_engine
from offroad_seg.errors import InputError
from offroad_seg.segmenter import Segmenter
from offroad_seg.types import Frame
from offroad_seg_train.checkpoint import load_checkpoint
from offroad_seg_train.export.exporter import checkpoint_manifest
from offroad_seg_train.export.graph import DeployedModel

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from offroad_seg.ontology import Ontology

    U8 = NDArray[np.uint8]


class CheckpointEngine:
    """``InferenceEngine`` that runs a checkpoint eagerly, with the same head that ``export`` puts into the graph.

    Args:
        module: uint8 RGB (B, 3, H, W) → logits (B, C, H, W).
        height: Network input rows.
        width: Network input columns.
        device: ``auto``, ``cpu`` or ``cuda``.

    Attributes:
        module: The network, on ``device``.
        device: Where it runs.
    """

    name = "checkpoint"

    def __init__(self, module: torch.nn.Module, height: int, width: int, device: str = "auto") -> None:
        if device == "auto":
            device = "cuda" if torch.cuda.is_available() else "cpu"
        if device == "cuda" and not torch.cuda.is_available():
            raise InputError("torch finds no CUDA device", where="--device", mend="--device cpu")
        self.module = module.to(device)
        self.device = device
        self._model = DeployedModel(self.module)
        self._shape = (1, height, width, 3)
        self.info = EngineInfo("checkpoint", str(torch.__version__), device, "fp32")

    def infer(self, image_BHWC: U8) -> EngineOutput:
        """See ``InferenceEngine.infer``."""
        pixels = check_input(image_BHWC, self._shape)
        with torch.inference_mode():
            labels, confidence, mean = self._model(torch.from_numpy(pixels).to(self.device))
        return EngineOutput(labels.cpu().numpy(), confidence.cpu().numpy(), mean.cpu().numpy())

    def close(self) -> None:
        """Nothing to free beside the object itself."""


@dataclass(frozen=True)
class OpenedModel:
    """A model that labels images.

    Attributes:
        path: The checkpoint or bundle.
        segmenter: Labels images at their own size.
        recipe: The training configuration; empty where a bundle does not say.
        checkpoint: What runs a checkpoint; None for a bundle, which gives no logits.
    """

    path: Path
    segmenter: Segmenter
    recipe: dict[str, Any]
    checkpoint: CheckpointEngine | None = None

    @property
    def ontology(self) -> Ontology:
        """Its classes."""
        return self.segmenter.bundle.ontology

    def predict(self, image_HWC: U8) -> tuple[U8, U8]:
        """Labels and confidence of an image of any size, uint8 (H, W); kept until the next but one call.

        Raises:
            ImageError: The image is not uint8 RGB.
            EngineError: The logits are not finite.
        """
        result = self.segmenter.segment(Frame(image_HWC, 0, ""))
        return result.labels_HW, result.confidence_HW

    def describe(self) -> dict[str, Any]:
        """What it is, for ``metrics.json``."""
        manifest = self.segmenter.bundle.manifest
        return {
            "name": manifest.name,
            "path": str(self.path),
            "checkpoint_sha256": manifest.source.get("checkpoint_sha256"),
            "ontology": self.ontology.name,
            "input": [manifest.input_height, manifest.input_width],
            "engine": asdict(self.segmenter.engine.info),
            "temperature": manifest.temperature,
        }

    def close(self) -> None:
        """Free the engine."""
        self.segmenter.engine.close()


def open_model(
    path: Path, *, backend: str | None = None, device: str = "auto", threads: int = 0
) -> OpenedModel:
    """Open a checkpoint (a file) or a bundle (a folder).

    Args:
        path: Where it is.
        backend: For bundles, see ``load_engine``.
        device: ``auto``, ``cpu`` or ``cuda``.
        threads: Threads inside one operator; 0 = the run time chooses.

    Raises:
        InputError: It is neither, damaged, or a back end was asked for a checkpoint.
        EngineError: The bundle does not run here.
    """
    if path.is_dir() or path.name == MANIFEST_NAME:
        bundle = Bundle.load(path if path.is_dir() else path.parent)
        engine = load_engine(bundle, backend, device, threads)
        return OpenedModel(path, Segmenter(bundle, engine), dict(bundle.manifest.source.get("recipe", {})))
    if backend is not None:
        raise InputError(
            "a checkpoint is run by torch as it is; --backend is for bundles",
            where=str(path),
            mend="leave --backend out, or export the checkpoint first",
        )
    model = load_checkpoint(path)
    if threads:
        torch.set_num_threads(threads)
    box = model.letterbox
    engine_ = CheckpointEngine(model.module, box.height, box.width, device)
    bundle = Bundle(path, checkpoint_manifest(model, box), model.ontology, box, model.normalization)
    return OpenedModel(path, Segmenter(bundle, engine_), dict(model.config), engine_)
