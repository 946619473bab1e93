# SPDX-License-Identifier: Apache-2.0
"""ONNX graphs into which no types can be written are refused, with the reason."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from offroad_seg.compile import onnx_half
from offroad_seg.compile.onnx_typed import typed_graph
from offroad_seg.errors import EngineError, InputError
from tests.helpers.onnx_networks import (
    FLOAT,
    SIMPLE,
    conv,
    network,
    weights,
)


def edited(change: Any) -> bytes:
    model = onnx.load_from_string(SIMPLE)
    change(model)
    data: bytes = model.SerializeToString()
    return data


def branch(model: onnx.ModelProto) -> None:
    inner = helper.make_graph(
        [helper.make_node("Identity", ["x"], ["inner"])], "then", [],
        [helper.make_tensor_value_info("inner", FLOAT, None)],
    )  # fmt: skip
    model.graph.initializer.append(numpy_helper.from_array(np.array(True), "yes"))
    model.graph.node.insert(
        3, helper.make_node("If", ["yes"], ["unread"], then_branch=inner, else_branch=inner)
    )


def foreign(model: onnx.ModelProto) -> None:
    model.graph.node[3].op_type, model.graph.node[3].domain = "Telepathy", "my.operators"
    model.opset_import.append(helper.make_opsetid("my.operators", 1))


OLD = helper.make_model(
    helper.make_graph(
        [helper.make_node("Identity", ["a"], ["b"])], "old",
        [helper.make_tensor_value_info("a", FLOAT, [1])], [helper.make_tensor_value_info("b", FLOAT, [1])],
    ),
    opset_imports=[helper.make_opsetid("", 12)],
).SerializeToString()  # fmt: skip


@pytest.mark.parametrize(
    ("data", "precision", "message"),
    [
        (b"", "fp16", "no valid ONNX graph"),
        (b"\x80\x04pickle", "fp16", "no valid ONNX graph"),
        (edited(branch), "fp16", "a branch or a loop: node 'unread'"),
        (
            edited(foreign),
            "fp16",
            r"node 'conv_logits' \(Telepathy\) is no operator of ONNX, but of 'my.operators'",
        ),
        (OLD, "fp16", "opset 12"),
        (network([helper.make_node("Neg", ["x"], ["logits"])], {}), "fp16", "nothing to compute in fp16"),
        (network([conv("x", "logits", "w")], {"w": weights(4, 3, 1, 1)}, outputs=2), "fp32", "gives"),
        (edited(lambda m: setattr(m.graph.node[4], "op_type", "ArgMin")), "fp16", "not from an ArgMax"),
    ],
)
def test_graphs_that_cannot_be_typed(data: bytes, precision: str, message: str) -> None:
    with pytest.raises(EngineError, match=message):
        typed_graph(data, precision)


def test_other_precisions_are_refused() -> None:
    with pytest.raises(InputError, match="fp32 or fp16, not int8"):
        typed_graph(SIMPLE, "int8")


def test_graph_whose_weights_stay_float_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnx_half, "_unfit", lambda _, node: node.op_type == "Conv")
    nodes = [conv("x", "a", "w1"), helper.make_node("Tanh", ["a"], ["b"]),
             helper.make_node("Tanh", ["b"], ["c"]), conv("c", "logits", "w2")]  # fmt: skip
    with pytest.raises(EngineError, match="2 of 2 convolutions and matrix products stay in fp32"):
        typed_graph(network(nodes, {"w1": weights(4, 3, 1, 1), "w2": weights(4, 4, 1, 1)}), "fp16")
