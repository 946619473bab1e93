# SPDX-License-Identifier: Apache-2.0
"""The graph that a strongly typed engine is built from: a bundle's ONNX graph with every type written out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from offroad_seg.compile.onnx_fold import fold_constants
from offroad_seg.compile.onnx_graph import EXPORT_AGAIN, OnnxGraph
from offroad_seg.compile.onnx_half import heavy_types, to_half
from offroad_seg.compile.onnx_rewrite import (
    add_logit_sum,
    cast_bytes_from_float,
    cast_image_first,
    find_logits,
    fold_batch_norms,
)
from offroad_seg.engines.base import INPUT, OUTPUTS
from offroad_seg.errors import EngineError, InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

PRECISIONS = ("fp32", "fp16")


@dataclass(frozen=True)
class TypedGraph:
    """A graph for a strongly typed network.

    Attributes:
        data: The serialised ONNX model.
        precision: ``fp32`` or ``fp16``.
        outputs: Names, in order; the graph contract's and ``logit_sum``.
        heavy: Convolutions and matrix products in it.
        kept_fp32: Nodes of an fp16 network that compute in float32, because float16 would be wrong there.
        weight_count: Floating-point numbers in its constants.
        weight_bytes: Their bytes.
    """

    data: bytes
    precision: str
    outputs: tuple[str, ...]
    heavy: int
    kept_fp32: tuple[str, ...]
    weight_count: int
    weight_bytes: int


def typed_graph(data: bytes, precision: str, outputs: Sequence[str] = OUTPUTS) -> TypedGraph:
    """Write the precision into a bundle's graph.

    Args:
        data: ``model.onnx`` of a portable bundle, in float32.
        precision: ``fp32`` or ``fp16``.
        outputs: What the bundle's graph gives, see ``engines.base.output_names``.

    Raises:
        InputError: There is no such precision.
        EngineError: The graph is not what the contract says, or float16 cannot be written into it.
    """
    check_precision(precision, "a typed graph")
    graph = OnnxGraph(data)
    if graph.inputs != [INPUT] or graph.outputs != list(outputs):
        raise EngineError(
            f"the graph takes {graph.inputs} and gives {graph.outputs}, not ['{INPUT}'] and {list(outputs)}",
            mend=EXPORT_AGAIN,
        )
    fold_constants(graph)
    cast_image_first(graph, INPUT)
    logits = find_logits(graph, OUTPUTS[0])
    if graph.types.get(logits) != graph.onnx.TensorProto.FLOAT:
        raise EngineError("the logits of the graph are not float32", mend=EXPORT_AGAIN)
    kept: tuple[str, ...] = ()
    if precision == "fp16":
        fold_batch_norms(graph)
        kept = to_half(graph, logits)
    add_logit_sum(graph, logits)
    cast_bytes_from_float(graph)
    graph.infer_types(strict=True)
    serialized = graph.serialize()
    floating = [a for a in graph.constants.values() if np.issubdtype(a.dtype, np.floating)]
    return TypedGraph(
        data=serialized,
        precision=precision,
        outputs=tuple(graph.outputs),
        heavy=len(heavy_types(graph, logits)),
        kept_fp32=kept,
        weight_count=sum(a.size for a in floating),
        weight_bytes=sum(a.nbytes for a in floating),
    )


def check_precision(precision: str, backend: str) -> None:
    """Refuse a precision that cannot be written into the graph.

    Raises:
        InputError: It is neither fp16 nor fp32.
    """
    if precision not in PRECISIONS:
        raise InputError(
            f"{backend} is built in {' or '.join(PRECISIONS)}, not {precision}",
            where="--precision",
            mend=f"--precision {PRECISIONS[-1]}",
        )
