# SPDX-License-Identifier: Apache-2.0
"""What does not depend on the image is worked out once, before the engine is built.

A vision transformer resizes its position embedding to the input with a filter that TensorRT does not have; for a fixed
size the result is a constant. ONNX Runtime does the reckoning, as it did when the bundle was exported and judged.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from offroad_seg.compile.onnx_graph import EXPORT_AGAIN, first_line
from offroad_seg.errors import EngineError

if TYPE_CHECKING:
    from offroad_seg.compile.onnx_graph import OnnxGraph

_RANDOM = ("Random", "Bernoulli", "Multinomial")
_ERRORS_ONLY = 3


def fold_constants(graph: OnnxGraph) -> int:
    """Replace all nodes that read only constants by their results.

    Returns:
        How many there were.

    Raises:
        EngineError: ONNX Runtime cannot work them out.
    """
    known = set(graph.constants) | {""}
    fixed, rest = [], []
    for node in graph.nodes:
        if not node.op_type.startswith(_RANDOM) and all(name in known for name in node.input):
            fixed.append(node)
            known.update(node.output)
        else:
            rest.append(node)
    read = {name for node in rest for name in node.input} | set(graph.outputs)
    wanted = [name for node in fixed for name in node.output if name in read]
    if wanted:
        graph.constants.update(zip(wanted, _run(graph, fixed, wanted), strict=True))
    graph.nodes = rest
    if fixed:
        graph.infer_types()
    return len(fixed)


def _run(graph: OnnxGraph, nodes: list[Any], wanted: list[str]) -> list[Any]:
    import onnxruntime as ort

    helper = graph.onnx.helper
    used = {name for node in nodes for name in node.input if name in graph.constants}
    part = helper.make_graph(
        nodes,
        "constants",
        [],
        [helper.make_tensor_value_info(name, graph.types[name], None) for name in wanted],
        [graph.onnx.numpy_helper.from_array(np.ascontiguousarray(graph.constants[n]), n) for n in used],
    )
    model = helper.make_model(part, opset_imports=graph.opsets, ir_version=graph.ir_version)
    options = ort.SessionOptions()
    options.log_severity_level = _ERRORS_ONLY
    try:
        session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        results: list[Any] = session.run(wanted, {})
    except Exception as error:  # noqa: BLE001 (ONNX Runtime's exceptions share no base but this)
        raise EngineError(
            f"the constant part of the graph cannot be worked out: {first_line(error)}", mend=EXPORT_AGAIN
        ) from None
    return results
