# SPDX-License-Identifier: Apache-2.0
"""Float16 written into an ONNX graph, operator by operator, so that no builder has to be believed.

Weak typing (``BuilderFlag.FP16``) lets TensorRT choose, and newer versions have none. Here every tensor of the network
gets its type in the graph, and a strongly typed engine must keep to it.

Float32 stays where float16 would be wrong:

- what comes before the first convolution: the normalisation of the pixels;
- sums and means over many pixels, whose intermediate values pass 65504 although the result does not;
- nodes with a constant that float16 cannot hold (too large, or a small epsilon that would become 0), and what reads
  their results;
- everything behind the logits: softmax, mean, and the out-of-distribution score.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from offroad_seg.compile.onnx_graph import EXPORT_AGAIN, OnnxGraph, called
from offroad_seg.errors import EngineError

if TYPE_CHECKING:
    from numpy.typing import NDArray

HEAVY = frozenset({"Conv", "ConvTranspose", "MatMul", "Gemm", "Einsum"})
"""Operators that hold nearly all weights and take nearly all time."""

_SUMS = frozenset(
    {
        "ReduceMean",
        "ReduceSum",
        "ReduceL1",
        "ReduceL2",
        "ReduceProd",
        "ReduceSumSquare",
        "ReduceLogSum",
        "ReduceLogSumExp",
        "GlobalAveragePool",
        "InstanceNormalization",
        "GroupNormalization",
        "CumSum",
        "Pow",
    }
)
# Through these a magnitude that float16 cannot hold goes on to the next node.
_CARRIERS = frozenset(
    {"Relu", "Abs", "Neg", "Sqrt", "Clip", "Max", "Min", "Add", "Sub", "Concat", "Slice", "Where", "Identity"}
    | {"Reshape", "Transpose", "Squeeze", "Unsqueeze", "Expand", "Resize", "MaxPool", "AveragePool"}
)
# Operator → inputs that ONNX wants in float32 whatever the others are.
_ALWAYS_FLOAT = {"Resize": (1, 2), "Upsample": (1,)}
_HALF_MAX = float(np.finfo(np.float16).max)
_HALF_TINY = 2.0**-25  # half the smallest subnormal; numpy 1.21 has no finfo.smallest_subnormal


def to_half(graph: OnnxGraph, logits: str) -> tuple[str, ...]:
    """Let the network from its first convolution to the logits compute in float16.

    Args:
        graph: Changed in place; all floating-point tensors are float32.
        logits: What the network ends in; it comes back in float32.

    Returns:
        Nodes of the network that stayed in float32, without those in front.

    Raises:
        EngineError: There is no convolution or matrix product in it, or types do not fit afterwards.
    """
    tensor = graph.onnx.TensorProto
    chosen, kept = _choose(graph, logits)
    if not chosen:
        raise EngineError(
            "there is nothing to compute in fp16: no convolution or matrix product whose weights float16 can hold",
            mend="--precision fp32",
        )
    rebuilt: list[Any] = []
    halves: dict[str, str] = {}  # float32 tensor → its float16 copy
    needed = _read_as_float(graph, chosen)
    for node in graph.nodes:
        if node.output[0] not in chosen:
            rebuilt.append(node)
            continue
        for position, name in enumerate(node.input):
            if graph.types.get(name) == tensor.FLOAT and position not in _ALWAYS_FLOAT.get(node.op_type, ()):
                node.input[position] = _half_of(graph, name, halves, rebuilt)
        _retype_attributes(graph, node)
        rebuilt.append(node)
        for position, name in enumerate(node.output):
            if graph.types.get(name) == tensor.FLOAT:
                half = f"{name}_half"
                node.output[position] = half
                halves[name] = half
                if name in needed:
                    rebuilt.append(graph.make("Cast", [half], name, to=tensor.FLOAT))
    graph.nodes = rebuilt
    graph.infer_types(strict=True)
    _require_half(graph, logits)
    return tuple(kept)


def heavy_types(graph: OnnxGraph, logits: str) -> dict[str, int]:
    """Each convolution and matrix product before the logits → the type of its result."""
    inside = graph.ancestors(logits)
    return {
        called(node): graph.types[node.output[0]]
        for node in graph.nodes
        if node.op_type in HEAVY and node.output[0] in inside
    }


def _choose(graph: OnnxGraph, logits: str) -> tuple[set[str], list[str]]:
    """First outputs of the nodes that compute in float16, and names of those inside that do not."""
    floating = graph.onnx.TensorProto.FLOAT
    inside = graph.ancestors(logits)
    behind_first: set[str] = set()
    out_of_range: set[str] = set()
    chosen: set[str] = set()
    kept = []
    for node in graph.nodes:
        if node.output[0] not in inside:
            continue
        if node.op_type in HEAVY or any(name in behind_first for name in node.input):
            behind_first.update(node.output)
        else:
            continue
        if not any(graph.types.get(name) == floating for name in (*node.input, *node.output)):
            continue
        reads_out_of_range = any(name in out_of_range for name in node.input)
        if _unfit(graph, node) or (reads_out_of_range and node.op_type in _CARRIERS):
            out_of_range.update(node.output)
        elif node.op_type not in _SUMS and not reads_out_of_range:
            chosen.add(node.output[0])
            continue
        kept.append(called(node))
    return chosen, kept


def _unfit(graph: OnnxGraph, node: Any) -> bool:
    """Whether a constant of the node cannot be held in float16."""
    for position, name in enumerate(node.input):
        array = graph.constants.get(name)
        if array is None or array.dtype != np.float32 or position in _ALWAYS_FLOAT.get(node.op_type, ()):
            continue
        magnitude = np.abs(array)
        finite = magnitude[np.isfinite(magnitude)]
        if finite.size and float(finite.max()) > _HALF_MAX:
            return True
        # A weight that becomes 0 changes nothing; an epsilon that does divides by it.
        if array.size == 1 and 0.0 < float(magnitude.max()) < _HALF_TINY:
            return True
    return False


def _half_of(graph: OnnxGraph, name: str, halves: dict[str, str], rebuilt: list[Any]) -> str:
    """The float16 form of a float32 tensor: a converted constant, or a cast in front of the reader."""
    if name not in halves:
        halves[name] = f"{name}_half"
        if name in graph.constants:
            graph.constants[halves[name]] = _halved(graph.constants[name])
        else:
            rebuilt.append(graph.make("Cast", [name], halves[name], to=graph.onnx.TensorProto.FLOAT16))
    return halves[name]


def _halved(array: NDArray[Any]) -> NDArray[np.float16]:
    with np.errstate(over="ignore"):  # infinities are meant where they are: as masks and bounds
        half: NDArray[np.float16] = array.astype(np.float16)
    return half


def _retype_attributes(graph: OnnxGraph, node: Any) -> None:
    """Types that a node names itself: the aim of a cast, and the value that fills a tensor."""
    tensor, helper = graph.onnx.TensorProto, graph.onnx.numpy_helper
    for attribute in node.attribute:
        if attribute.name in ("to", "dtype") and attribute.i == tensor.FLOAT:
            attribute.i = tensor.FLOAT16
        elif attribute.name == "value" and attribute.HasField("t") and attribute.t.data_type == tensor.FLOAT:
            attribute.t.CopyFrom(helper.from_array(_halved(helper.to_array(attribute.t))))


def _read_as_float(graph: OnnxGraph, chosen: set[str]) -> set[str]:
    """Tensors that something outside the float16 part reads."""
    found = set(graph.outputs)
    for node in graph.nodes:
        always = _ALWAYS_FLOAT.get(node.op_type, ())
        outside = node.output[0] not in chosen
        found.update(name for i, name in enumerate(node.input) if outside or i in always)
    return found


def _require_half(graph: OnnxGraph, logits: str) -> None:
    """Refuse a graph that is fp16 in name only.

    Raises:
        EngineError: Convolutions or matrix products stayed in float32.
    """
    half = graph.onnx.TensorProto.FLOAT16
    types = heavy_types(graph, logits)
    wrong = [name for name, kind in types.items() if kind != half]
    # A few with a constant out of range are kept on purpose.
    if len(wrong) > max(1, len(types) // 10):
        raise EngineError(
            f"{len(wrong)} of {len(types)} convolutions and matrix products stay in fp32, first {wrong[0]}",
            mend=f"--precision fp32; or {EXPORT_AGAIN}",
        )
