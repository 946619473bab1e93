# SPDX-License-Identifier: Apache-2.0
"""From a typed ONNX graph to a strongly typed TensorRT network, checked before minutes are spent on building it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from offroad_seg.engines.base import INPUT
from offroad_seg.engines.trt_layers import FLOAT, HALF
from offroad_seg.errors import EngineError

if TYPE_CHECKING:
    from types import ModuleType

    from offroad_seg.compile.onnx_typed import TypedGraph
    from offroad_seg.engines.trt_log import LogBook

_HEAVY = ("CONVOLUTION", "DECONVOLUTION", "MATRIX_MULTIPLY", "EINSUM")
_SHOWN = 5


def create_network(trt: ModuleType, builder: Any) -> Any:
    """An empty, strongly typed network.

    TensorRT 8.6 to 10 and TensorRT-RTX want a flag for it; a version without the flag has nothing but strong types
    (TensorRT 11: "All networks are strongly typed").
    """
    module: Any = trt
    flag = getattr(module.NetworkDefinitionCreationFlag, "STRONGLY_TYPED", None)
    return builder.create_network(0 if flag is None else 1 << int(flag))


def parse(
    trt: ModuleType, network: Any, logger: Any, graph: TypedGraph, book: LogBook, *, called: str, where: str
) -> Any:
    """Read the graph into the network.

    Returns:
        The parser, which must live as long as the network: it holds the weights.

    Raises:
        EngineError: An operator is not supported; the message names every node that is not.
    """
    module: Any = trt
    parser = module.OnnxParser(network, logger)
    if parser.parse(graph.data) and parser.num_errors == 0:
        return parser
    faults = [_fault(parser.get_error(i)) for i in range(parser.num_errors)]
    listed = "\n    ".join(dict.fromkeys(faults[:_SHOWN])) or book.cause()
    more = f"\n    and {len(faults) - _SHOWN} more" if len(faults) > _SHOWN else ""
    raise EngineError(
        f"{called} cannot take the network:\n    {listed}{more}",
        where=where,
        mend="use another model, or compile for onnxruntime; a newer TensorRT may have the operator",
    )


def check_network(
    trt: ModuleType, network: Any, graph: TypedGraph, shape: tuple[int, int, int, int], *, where: str
) -> None:
    """Hold names, types and shapes of the network against the graph contract, and its layers against the precision.

    Args:
        trt: ``tensorrt`` or ``tensorrt_rtx``.
        network: After ``parse``.
        graph: What was parsed.
        shape: Of the image, (1, H, W, 3).
        where: For messages.

    Raises:
        EngineError: Something differs: the parser has changed a type.
    """
    module: Any = trt
    kinds = module.DataType
    batch, height, width, _ = shape
    wanted: dict[str, tuple[Any, tuple[int, ...]]] = {INPUT: (kinds.UINT8, shape)}
    for name in graph.outputs:
        wanted[name] = (
            (kinds.FLOAT, (batch,))
            if name in ("mean_confidence", "logit_sum")
            else (kinds.UINT8, (batch, height, width))
        )
    tensors = [network.get_input(i) for i in range(network.num_inputs)]
    tensors += [network.get_output(i) for i in range(network.num_outputs)]
    found = {t.name: (t.dtype, tuple(t.shape)) for t in tensors}
    if found != wanted:
        listed = ", ".join(f"{n} {k.name} {list(s)}" for n, (k, s) in found.items())
        raise EngineError(
            f"the network's inputs and outputs are not what the bundle says: {listed}", where=where
        )
    if graph.precision != "fp16":
        return
    wrong = [name for name, kind in heavy_layers(network) if kind != HALF]
    if len(wrong) > max(1, graph.heavy // 10):
        raise EngineError(
            f"{len(wrong)} of {graph.heavy} convolutions and matrix products would run in fp32, first '{wrong[0]}'",
            where=where,
        )


def heavy_layers(network: Any) -> list[tuple[str, str]]:
    """Name and type of each convolution and matrix product in a network."""
    found = []
    for i in range(network.num_layers):
        layer = network.get_layer(i)
        if layer.type.name in _HEAVY:
            kind = layer.get_output(0).dtype.name
            found.append((layer.name, {"HALF": HALF, "FLOAT": FLOAT}.get(kind, kind.lower())))
    return found


def _fault(error: Any) -> str:
    """What the parser says of one node, without the conditions and files of its own sources."""
    lines = [line.strip() for line in error.desc().splitlines() if line.strip()]
    quoted = re.search(r'"([^"]+)"', lines[0]) if lines else None
    detailed = next((line for line in lines if "Error Code" in line), "")
    if "Plugin not found" in error.desc():
        said = "there is no such operator, and no plugin of its name"
    elif quoted is not None:
        said = quoted.group(1)
    elif detailed:
        said = detailed
    elif not lines or lines[0] == "false":
        said = "this operator is not supported"
    else:
        said = lines[0]
    # TensorRT before 10 tells neither name nor operator.
    operator = getattr(error, "node_operator", lambda: "")()
    name = getattr(error, "node_name", lambda: "")() or f"number {error.node()}"
    return f"node '{name}' ({operator}): {said}" if operator else f"node '{name}': {said}"
