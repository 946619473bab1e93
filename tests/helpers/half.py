# SPDX-License-Identifier: Apache-2.0
"""Float16 arithmetic on a CPU, honestly: every tensor that an engine keeps in float16 is rounded and may overflow.

ONNX Runtime has hardly any float16 kernels on a CPU. It computes in float32 between casts of its own, and takes away
pairs of casts: nothing is rounded, nothing overflows, and a comparison with it says nothing about float16. Identities
behind each float16 result, with optimisation off, keep those casts alive; two of them, since a single one between
float32 neighbours is computed in float32, too.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import onnx
import onnxruntime as ort

from offroad_seg.compile.builder import Built, Plan
from offroad_seg.compile.onnx_typed import typed_graph
from offroad_seg.compile.onnxruntime_builder import OnnxRuntimeBuilder
from offroad_seg.engines.base import output_names
from offroad_seg.engines.cpu import describe_cpu
from offroad_seg.engines.onnxruntime import MODEL

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np

    from offroad_seg.bundle import Bundle
    from offroad_seg.compile.builder import BuildTools


def rounding(data: bytes) -> ort.InferenceSession:
    """A session that computes each operator in float32 and rounds what the graph calls float16."""
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    rounded = _rounded(data).SerializeToString()
    return ort.InferenceSession(rounded, options, providers=["CPUExecutionProvider"])


class HalfBuilder(OnnxRuntimeBuilder):
    """Compiles what the project does not offer, an fp16 engine on a CPU: the graph that TensorRT is given in fp16.

    ONNX Runtime's engine loads compiled graphs with optimisation off, so the roundings stay.
    """

    def plan(self, bundle: Bundle, precision: str) -> Plan:
        assert precision == "fp16"
        return replace(super().plan(bundle, "fp32"), precision=precision)

    def build(self, bundle: Bundle, plan: Plan, folder: Path, tools: BuildTools) -> Built:
        names = output_names(bundle.manifest)
        model = _rounded(typed_graph(bundle.file(MODEL).read_bytes(), plan.precision, names).data)
        outputs = [
            value for value in model.graph.output if value.name in names
        ]  # without the sum for TensorRT
        del model.graph.output[:]
        model.graph.output.extend(outputs)
        onnx.save(model, folder / MODEL)
        return Built(files={MODEL: folder / MODEL}, source={"compiled_on": describe_cpu()})


def _rounded(data: bytes) -> onnx.ModelProto:
    """The graph with two identities behind each float16 result."""
    model = onnx.load_from_string(data)
    types = {
        v.name: v.type.tensor_type.elem_type
        for v in onnx.shape_inference.infer_shapes(model).graph.value_info
    }
    nodes = []
    for node in model.graph.node:
        nodes.append(node)
        for index, name in enumerate(node.output):
            if types.get(name) == onnx.TensorProto.FLOAT16:
                node.output[index] = f"{name}/exact"
                nodes.append(onnx.helper.make_node("Identity", [f"{name}/exact"], [f"{name}/rounded"]))
                nodes.append(onnx.helper.make_node("Identity", [f"{name}/rounded"], [name]))
    rebuilt = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del model.graph.node[:]
    model.graph.node.extend(rebuilt)
    return model


def run(session: ort.InferenceSession, image_BHWC: np.ndarray) -> dict[str, np.ndarray]:
    """Output → array."""
    names = [o.name for o in session.get_outputs()]
    return dict(zip(names, session.run(names, {session.get_inputs()[0].name: image_BHWC}), strict=True))
