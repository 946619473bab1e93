# SPDX-License-Identifier: Apache-2.0
"""Exact changes to a graph: what TensorRT asks of its borders, and folding of norms."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from offroad_seg.compile.onnx_graph import EXPORT_AGAIN, OnnxGraph, called
from offroad_seg.errors import EngineError

if TYPE_CHECKING:
    from numpy.typing import NDArray

LOGIT_SUM = "logit_sum"
_IMAGE_FLOAT = "image_float32"


def find_logits(graph: OnnxGraph, labels: str) -> str:
    """The tensor whose largest channel is the label.

    Raises:
        EngineError: The labels do not come from an ArgMax.
    """
    made_by = graph.producers()
    node = made_by.get(labels)
    while node is not None and node.op_type in ("Cast", "Squeeze", "Reshape", "Identity"):
        node = made_by.get(node.input[0])
    if node is None or node.op_type != "ArgMax":
        found = "nothing" if node is None else called(node)
        raise EngineError(f"the labels come from {found}, not from an ArgMax over logits", mend=EXPORT_AGAIN)
    logits: str = node.input[0]
    return logits


def cast_image_first(graph: OnnxGraph, image: str) -> None:
    """Cast the image to float32 as soon as it comes in.

    TensorRT takes uint8 at its borders only: nothing but a cast may touch it there.
    """
    floating = graph.onnx.TensorProto.FLOAT
    for node in graph.nodes:
        node.input[:] = [_IMAGE_FLOAT if name == image else name for name in node.input]
    graph.nodes.insert(0, graph.make("Cast", [image], _IMAGE_FLOAT, to=floating))
    graph.infer_types()
    # The cast that was there before is now without effect.
    same: dict[str, str] = {}
    kept = []
    for node in graph.nodes:
        node.input[:] = [same.get(name, name) for name in node.input]
        to = next((a.i for a in node.attribute if a.name == "to"), None)
        idle = node.op_type == "Cast" and graph.types.get(node.input[0]) == to
        if idle and node.output[0] not in graph.outputs:
            same[node.output[0]] = node.input[0]
        else:
            kept.append(node)
    graph.nodes = kept
    graph.infer_types()


def cast_bytes_from_float(graph: OnnxGraph) -> None:
    """Let outputs of bytes come from float32: TensorRT 10 casts to uint8 from floating point only.

    Raises:
        EngineError: Such an output is not the result of a cast.
    """
    tensor = graph.onnx.TensorProto
    made_by = graph.producers()
    before: dict[str, Any] = {}
    for name in graph.outputs:
        if graph.types[name] != tensor.UINT8:
            continue
        node = made_by.get(name)
        if node is None or node.op_type != "Cast":
            raise EngineError(f"output '{name}' is uint8 and does not come from a cast", mend=EXPORT_AGAIN)
        if graph.types[node.input[0]] not in (tensor.FLOAT, tensor.FLOAT16):
            before[name] = graph.make("Cast", [node.input[0]], f"{name}_float32", to=tensor.FLOAT)
            node.input[0] = f"{name}_float32"
    graph.nodes = [n for node in graph.nodes for n in (before.get(node.output[0]), node) if n is not None]
    graph.infer_types()


def add_logit_sum(graph: OnnxGraph, logits: str) -> None:
    """Give out the sum of all logits: it is finite only if each of them is.

    The graph says so itself, by a NaN in ``mean_confidence``. But TensorRT may reckon as if there were no NaN, so the
    engine looks at this sum on the host as well.

    Raises:
        EngineError: The shape of the logits is not fixed.
    """
    if logits not in graph.shapes:
        raise EngineError("the shape of the logits is not fixed", mend=EXPORT_AGAIN)
    shape = graph.shapes[logits]
    axes = f"{LOGIT_SUM}_axes"
    graph.constants[axes] = np.arange(1, len(shape), dtype=np.int64)
    graph.nodes.append(graph.make("ReduceSum", [logits, axes], LOGIT_SUM, keepdims=0))
    graph.add_output(LOGIT_SUM, graph.onnx.TensorProto.FLOAT, [shape[0]])
    graph.infer_types()


def fold_batch_norms(graph: OnnxGraph) -> int:
    """Fold BatchNormalization into the convolution before it, else into a multiplication and an addition.

    Variances range over more magnitudes than float16 has; folded in float64, nothing of them is left in the graph.

    Returns:
        How many there were.
    """
    made_by, read_by = graph.producers(), graph.consumers()
    kept: list[Any] = []
    count = 0
    for node in graph.nodes:
        if node.op_type != "BatchNormalization" or any(n not in graph.constants for n in node.input[1:]):
            kept.append(node)
            continue
        count += 1
        gamma, beta, mean, variance = (graph.constants[n].astype(np.float64) for n in node.input[1:])
        epsilon = next((a.f for a in node.attribute if a.name == "epsilon"), 1e-5)
        scale = gamma / np.sqrt(variance + epsilon)
        shift = beta - mean * scale
        source = node.input[0]
        before = made_by.get(source)
        alone = len(read_by.get(source, ())) == 1 and source not in graph.outputs
        if before is not None and alone and _fold_into(graph, before, scale, shift):
            before.output[0] = node.output[0]
            made_by[node.output[0]] = before
        else:
            kept += _affine(graph, node, scale, shift)
    graph.nodes = kept
    graph.infer_types()
    return count


def _fold_into(graph: OnnxGraph, before: Any, scale: NDArray[Any], shift: NDArray[Any]) -> bool:
    """Scale a convolution's weights; false where it is none, or its weights are not constants."""
    names = [name for name in before.input[1:] if name]
    if before.op_type not in ("Conv", "ConvTranspose") or any(n not in graph.constants for n in names):
        return False
    weight = graph.constants[names[0]].astype(np.float64)
    rest = [1] * (weight.ndim - 2)
    if before.op_type == "Conv":  # (out, in / groups, …)
        weight = weight * scale.reshape(-1, 1, *rest)
    else:  # (in, out / groups, …)
        groups = next((a.i for a in before.attribute if a.name == "group"), 1)
        by_group = weight.reshape(groups, -1, *weight.shape[1:])
        weight = (by_group * scale.reshape(groups, 1, -1, *rest)).reshape(weight.shape)
    bias = graph.constants[names[1]].astype(np.float64) if len(names) > 1 else 0.0
    out = before.output[0]
    graph.constants[f"{out}_weight"] = weight.astype(np.float32)
    graph.constants[f"{out}_bias"] = np.asarray(bias * scale + shift, np.float32)
    before.input[:] = [before.input[0], f"{out}_weight", f"{out}_bias"]
    return True


def _affine(graph: OnnxGraph, node: Any, scale: NDArray[Any], shift: NDArray[Any]) -> list[Any]:
    """Multiplication and addition in a norm's place."""
    source, out = node.input[0], node.output[0]
    shape = (1, -1, *([1] * (len(graph.shapes[source]) - 2)))
    graph.constants[f"{out}_scale"] = scale.astype(np.float32).reshape(shape)
    graph.constants[f"{out}_shift"] = shift.astype(np.float32).reshape(shape)
    return [
        graph.make("Mul", [source, f"{out}_scale"], f"{out}_scaled"),
        graph.make("Add", [f"{out}_scaled", f"{out}_shift"], out),
    ]
