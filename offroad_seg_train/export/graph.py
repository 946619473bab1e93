# SPDX-License-Identifier: Apache-2.0
"""The graph that a bundle carries: letterboxed pixels in, labels and confidence out.

The contract is written in ``offroad_seg.engines.base``. Everything after the network is inside the graph, so that the
host copies two small images instead of the logits of every class.
"""

from __future__ import annotations

import io
import logging
import warnings
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import onnx
import torch
from torch import Tensor, nn

from offroad_seg.engines.base import INPUT, OOD_OUTPUT, OUTPUTS
from offroad_seg.engines.torch import check_no_pickle
from offroad_seg.types import OOD_THRESHOLD

if TYPE_CHECKING:
    from collections.abc import Iterator

ONNX_NAME = "model.onnx"
PROGRAM_NAME = "model.pt2"
_OPSET = 18
_IR_VERSION = 8
# Steps of the OOD output between the median of validation pixels and the threshold.
_OOD_STEPS = 64


@dataclass(frozen=True)
class OodScore:
    """How the ``ood`` output is made; the manifest's ``ood`` says what each means.

    Attributes:
        score: A name from ``OOD_SCORES``.
        threshold: Score from which a pixel is out of distribution.
        scale: Score between the median of validation pixels and the threshold; above 0.
    """

    score: str
    threshold: float
    scale: float


def ood_score(logits: Tensor, score: str, dim: int = 1) -> Tensor:
    """How unlike the training data each pixel is, from the logits over ``dim``; larger is less alike.

    ``max_logit`` (Hendrycks et al., "Scaling Out-of-Distribution Detection for Real-World Settings", ICML 2022) is
    −max z; ``energy`` (Liu et al., "Energy-based Out-of-distribution Detection", NeurIPS 2020) is −log Σ exp z, at
    temperature 1, whatever the confidence was calibrated with.
    """
    top = logits.amax(dim=dim, keepdim=True)
    if score == "max_logit":
        return -top.squeeze(dim)
    if score == "energy":
        return -(top.squeeze(dim) + (logits - top).exp().sum(dim=dim).log())
    raise ValueError(f"there is no OOD score '{score}'")


class DeployedModel(nn.Module):
    """A network with argmax, softmax and layout inside.

    Args:
        module: uint8 RGB (B, 3, H, W) → logits (B, C, H, W), in evaluation mode.
        temperature: Divides the logits before the softmax.
        ood: Adds the ``ood`` output.
    """

    def __init__(self, module: nn.Module, temperature: float = 1.0, ood: OodScore | None = None) -> None:
        super().__init__()
        self.module = module
        self.temperature = temperature
        self.ood = ood

    def forward(self, image_BHWC: Tensor) -> tuple[Tensor, ...]:
        """Letterboxed uint8 RGB (1, H, W, 3) → labels and confidence, uint8 (1, H, W), and mean confidence (1,).

        With ``ood`` a fourth, uint8 (1, H, W).
        """
        logits_BCHW = self.module(image_BHWC.permute(0, 3, 1, 2)).float()
        labels_BHW = logits_BCHW.argmax(dim=1).to(torch.uint8)
        scaled_BCHW = logits_BCHW if self.temperature == 1.0 else logits_BCHW / self.temperature
        # The largest softmax is 1 / Σ exp(x − max). ONNX Runtime's Softmax over channels takes ten times as long.
        best_BHW = 1.0 / (scaled_BCHW - scaled_BCHW.amax(dim=1, keepdim=True)).exp().sum(dim=1)
        confidence_BHW = (best_BHW * 255.0).round().clamp(0.0, 255.0).to(torch.uint8)
        # A maximum may drop a NaN, and exp swallows −inf. A sum keeps both: it is finite only if all logits are.
        total_B = logits_BCHW.sum(dim=(1, 2, 3))
        mean_B = best_BHW.mean(dim=(1, 2))
        mean_B = torch.where(torch.isfinite(total_B), mean_B, torch.full_like(mean_B, float("nan")))
        if self.ood is None:
            return labels_BHW, confidence_BHW, mean_B
        above_BHW = (ood_score(logits_BCHW, self.ood.score) - self.ood.threshold) * (
            _OOD_STEPS / self.ood.scale
        )
        ood_BHW = (above_BHW + OOD_THRESHOLD).floor().clamp(0.0, 255.0).to(torch.uint8)
        return labels_BHW, confidence_BHW, mean_B, ood_BHW


def export_program(model: DeployedModel, height: int, width: int) -> torch.export.ExportedProgram:
    """Trace the graph at one input size."""
    example = torch.zeros((1, height, width, 3), dtype=torch.uint8)
    with torch.no_grad(), _quiet():
        program = torch.export.export(model.eval(), (example,), strict=False)
    for node in program.graph.nodes:
        node.meta.pop("stack_trace", None)  # it holds the paths of the machine that exported
    return program


def program_bytes(program: torch.export.ExportedProgram) -> bytes:
    """The ``.pt2`` archive: JSON and raw tensors, no pickle.

    ``torch.export.save`` would pickle the example inputs; without them nothing in the archive is pickled, and
    ``torch.export.load`` unpickles nothing. The result is checked.
    """
    program.example_inputs = None
    stream = io.BytesIO()
    torch.export.save(program, stream)
    with TemporaryDirectory() as folder:
        path = Path(folder) / PROGRAM_NAME
        path.write_bytes(stream.getvalue())
        check_no_pickle(path)
    return stream.getvalue()


def onnx_bytes(program: torch.export.ExportedProgram) -> bytes:
    """The ONNX graph with the weights inside, named as the contract says."""
    names = (*OUTPUTS, OOD_OUTPUT)[: len(program.graph_signature.user_outputs)]
    with _quiet():
        exported = torch.onnx.export(
            program,
            input_names=[INPUT],
            output_names=list(names),
            opset_version=_OPSET,
            dynamo=True,
            external_data=False,
            verbose=False,
        )
    proto = exported.model_proto
    del proto.metadata_props[:], proto.graph.metadata_props[:]
    for item in (*proto.graph.node, *proto.graph.value_info, *proto.graph.input, *proto.graph.output):
        del item.metadata_props[:]
        item.doc_string = ""
    # The exporter stamps its newest format; opset 18 needs no more than this, which ONNX Runtime reads since 1.14.
    proto.ir_version = _IR_VERSION
    onnx.checker.check_model(proto)
    data: bytes = proto.SerializeToString()
    return data


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the exporters' own chatter out of the user's terminal; errors still raise."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir", "torch.export")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
