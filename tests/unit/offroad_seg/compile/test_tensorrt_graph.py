# SPDX-License-Identifier: Apache-2.0
"""Types written into ONNX graphs: exact where they must be, float16 where they may be."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from offroad_seg.compile import onnx_half
from offroad_seg.compile.onnx_graph import OnnxGraph
from offroad_seg.compile.onnx_rewrite import fold_batch_norms
from offroad_seg.compile.onnx_typed import TypedGraph, typed_graph
from offroad_seg.errors import EngineError, InputError
from offroad_seg.ontology import load_ontology
from tests.helpers.bundles import color_model
from tests.helpers.half import rounding, run

if TYPE_CHECKING:
    from collections.abc import Sequence

HEIGHT, WIDTH = 18, 32
DESERT = load_ontology("duality_desert")
RANDOM = np.random.default_rng(5)
FLOAT, HALF = TensorProto.FLOAT, TensorProto.FLOAT16


def network(
    nodes: Sequence[onnx.NodeProto], constants: dict[str, np.ndarray], *, opset: int = 18, outputs: int = 3
) -> bytes:
    """A graph under the contract around some nodes that lead from ``x`` (1, 3, H, W) to ``logits`` (1, C, h, w)."""
    head = [
        helper.make_node("ArgMax", ["logits"], ["index"], axis=1, keepdims=0),
        helper.make_node("Cast", ["index"], ["labels"], to=TensorProto.UINT8),
        helper.make_node("ReduceMax", ["logits", "axis"], ["best"], keepdims=0),
        helper.make_node("Cast", ["best"], ["confidence"], to=TensorProto.UINT8),
        helper.make_node("ReduceMean", ["best", "axes"], ["mean_confidence"], keepdims=0),
    ]
    front = [
        helper.make_node("Transpose", ["image"], ["moved"], perm=[0, 3, 1, 2]),
        helper.make_node("Cast", ["moved"], ["pixels"], to=FLOAT),
        helper.make_node("Mul", ["pixels", "scale"], ["x"]),
    ]
    values = {"scale": np.float32(1 / 255), "axis": np.array([1]), "axes": np.array([1, 2]), **constants}
    forms = [("labels", TensorProto.UINT8), ("confidence", TensorProto.UINT8), ("mean_confidence", FLOAT)]
    graph = helper.make_graph(
        [*front, *nodes, *head],
        "network",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, [1, HEIGHT, WIDTH, 3])],
        [
            helper.make_tensor_value_info(n, k, [1] if n.startswith("mean") else ["b", "h", "w"])
            for n, k in forms[:outputs]
        ],
        [numpy_helper.from_array(np.asarray(v), n) for n, v in values.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    data: bytes = model.SerializeToString()
    return data


def weights(*shape: int, spread: float = 0.3) -> np.ndarray:
    return RANDOM.normal(0, spread, shape).astype(np.float32)


def conv(source: str, out: str, weight: str, **attributes: Any) -> onnx.NodeProto:
    return helper.make_node("Conv", [source, weight], [out], name=f"conv_{out}", **attributes)


def picture(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (1, HEIGHT, WIDTH, 3), np.uint8)


def exact(data: bytes, image: np.ndarray) -> dict[str, np.ndarray]:
    return run(ort.InferenceSession(data, providers=["CPUExecutionProvider"]), image)


def types_of(graph: TypedGraph) -> dict[str, int]:
    """Operator and name of a node → type of its first result."""
    model = onnx.shape_inference.infer_shapes(onnx.load_from_string(graph.data))
    values = (*model.graph.value_info, *model.graph.output)
    types = {v.name: v.type.tensor_type.elem_type for v in values}
    return {f"{n.op_type} {n.name or n.output[0]}": types[n.output[0]] for n in model.graph.node}


SIMPLE = network([conv("x", "logits", "w", pads=[1, 1, 1, 1])], {"w": weights(4, 3, 3, 3)})


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_bytes_stay_at_the_border(precision: str) -> None:
    graph = typed_graph(SIMPLE, precision)
    model = onnx.load_from_string(graph.data)
    onnx.checker.check_model(model, full_check=True)
    assert [n.op_type for n in model.graph.node if "image" in n.input] == ["Cast"]
    made_by = {name: n for n in model.graph.node for name in n.output}
    for name in ("labels", "confidence"):
        source = made_by[made_by[name].input[0]]
        assert made_by[name].op_type == "Cast"
        # TensorRT 10 casts to uint8 from floating point only.
        assert source.op_type != "ArgMax"
    assert graph.outputs == ("labels", "confidence", "mean_confidence", "logit_sum")
    found, expected = exact(graph.data, picture()), exact(SIMPLE, picture())
    agreement = (found["labels"] == expected["labels"]).mean()
    assert agreement == 1.0 if precision == "fp32" else agreement > 0.99
    assert found["mean_confidence"] == pytest.approx(expected["mean_confidence"], rel=1e-2)


def test_network_is_half_and_what_is_around_it_is_not() -> None:
    nodes = [
        conv("x", "a", "w1", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("Resize", ["b", "", "scales"], ["c"], mode="linear"),
        helper.make_node("Clip", ["c", "low", "high"], ["d"]),
        conv("d", "logits", "w2"),
    ]
    constants = {
        "w1": weights(8, 3, 3, 3), "w2": weights(4, 8, 1, 1), "scales": np.array([1, 1, 2, 2], np.float32),
        "low": np.float32(0.0), "high": np.float32(6.0),
    }  # fmt: skip
    graph = typed_graph(network(nodes, constants), "fp16")
    types = types_of(graph)
    assert {k.split()[0] for k, v in types.items() if v == HALF} == {"Conv", "Relu", "Resize", "Clip", "Cast"}
    assert types["Mul x"] == types["ReduceMax best"] == types["ReduceMean mean_confidence"] == FLOAT
    assert graph.heavy == 2
    assert graph.kept_fp32 == ()
    # Two bytes for each number of the network, four for the few around it.
    assert graph.weight_bytes == 2 * (8 * 3 * 9 + 4 * 8 + 2) + 4 * (1 + 4)
    found = run(rounding(graph.data), picture())
    expected = exact(typed_graph(network(nodes, constants), "fp32").data, picture())
    assert (found["labels"] == expected["labels"]).mean() > 0.99


def pooled(operator: str, factor: float) -> bytes:
    nodes = [
        conv("x", "a", "w1"),
        helper.make_node(operator, ["a", "axes_hw"] if operator != "GlobalAveragePool" else ["a"], ["m"],
                         **({"keepdims": 1} if operator != "GlobalAveragePool" else {})),
        helper.make_node("Add", ["a", "m"], ["b"]),
        conv("b", "logits", "w2"),
    ]  # fmt: skip
    return network(
        nodes,
        {
            "w1": np.full((4, 3, 1, 1), factor, np.float32),
            "w2": weights(4, 4, 1, 1, spread=1e-3),
            "axes_hw": np.array([2, 3]),
        },
    )


@pytest.mark.parametrize("operator", ["ReduceMean", "GlobalAveragePool"])
def test_mean_over_an_image_does_not_overflow(operator: str, monkeypatch: pytest.MonkeyPatch) -> None:
    data = pooled(operator, 100.0)
    graph = typed_graph(data, "fp16")
    assert [name.split("(")[1] for name in graph.kept_fp32] == [f"{operator})"]
    found = run(rounding(graph.data), picture())
    assert np.isfinite(found["logit_sum"]).all()
    # The same in half precision would: each partial sum is rounded on an engine that adds in it.
    monkeypatch.setattr(onnx_half, "_SUMS", frozenset())
    assert typed_graph(data, "fp16").kept_fp32 == ()


def test_constants_that_float16_cannot_hold_keep_their_node(monkeypatch: pytest.MonkeyPatch) -> None:
    nodes = [
        conv("x", "a", "w1"),
        helper.make_node("Mul", ["a", "large"], ["b"]),
        helper.make_node("Relu", ["b"], ["c"]),
        helper.make_node("Div", ["c", "also_large"], ["d"]),
        helper.make_node("Abs", ["d"], ["e"]),
        helper.make_node("Add", ["e", "epsilon"], ["f"]),
        helper.make_node("Sqrt", ["f"], ["g"]),
        helper.make_node("Div", ["d", "g"], ["h"]),
        helper.make_node("Tanh", ["h"], ["i"]),
        conv("i", "logits", "w2"),
    ]
    constants = {
        "w1": weights(4, 3, 1, 1), "w2": weights(4, 4, 1, 1), "large": np.float32(1e5),
        "also_large": np.float32(1e5), "epsilon": np.float32(1e-12),
    }  # fmt: skip
    graph = typed_graph(network(nodes, constants), "fp16")
    assert [name.split("'")[1] for name in graph.kept_fp32] == list("bcdefgh")
    image = picture()
    image[0, :4] = 0  # there the network divides by its epsilon
    assert np.isfinite(run(rounding(graph.data), image)["logit_sum"]).all()
    monkeypatch.setattr(onnx_half, "_unfit", lambda *_: False)
    broken = typed_graph(network(nodes, constants), "fp16")
    assert not np.isfinite(run(rounding(broken.data), image)["logit_sum"]).all()


def test_overflow_shows_in_the_sum_of_the_logits() -> None:
    nodes = [conv("x", "a", "w1"), conv("a", "logits", "w2")]
    constants = {"w1": np.full((4, 3, 1, 1), 5e4, np.float32), "w2": weights(4, 4, 1, 1, spread=1e-4)}
    data = network(nodes, constants)
    assert np.isfinite(exact(typed_graph(data, "fp32").data, picture())["logit_sum"]).all()
    assert not np.isfinite(run(rounding(typed_graph(data, "fp16").data), picture())["logit_sum"]).all()


@settings(max_examples=25, deadline=None)
@given(
    transposed=st.booleans(),
    groups=st.sampled_from([1, 2]),
    bias=st.booleans(),
    shared=st.booleans(),
    seed=st.integers(0, 99),
)
def test_folded_norms_compute_the_same(
    transposed: bool, groups: int, bias: bool, shared: bool, seed: int
) -> None:
    random = np.random.default_rng(seed)
    shape = (4, 6 // groups, 3, 3) if transposed else (6, 4 // groups, 3, 3)
    constants = {
        "w0": random.normal(0, 1, (4, 3, 1, 1)).astype(np.float32),
        "w": random.normal(0, 0.3, shape).astype(np.float32),
        "w2": random.normal(0, 0.3, (4, 6, 1, 1)).astype(np.float32),
        **{k: random.normal(0, 1, 6).astype(np.float32) for k in ("bias", "gamma", "beta", "mean")},
        # Variances that float16 has no number for.
        "variance": (10.0 ** random.uniform(-9, 9, 6)).astype(np.float32),
    }
    operator = "ConvTranspose" if transposed else "Conv"
    nodes = [
        conv("x", "x4", "w0"),
        helper.make_node(
            operator, ["x4", "w", *(["bias"] if bias else [])], ["a"], group=groups, pads=[1] * 4
        ),
        helper.make_node("BatchNormalization", ["a", "gamma", "beta", "mean", "variance"], ["b"]),
        helper.make_node("Add", ["b", "a" if shared else "b"], ["c"]),
        conv("c", "logits", "w2"),
    ]
    data = network(nodes, constants)
    graph = OnnxGraph(data)
    assert fold_batch_norms(graph) == 1
    assert not any(n.op_type == "BatchNormalization" for n in graph.nodes)
    # Where something else reads the convolution it must not be changed.
    assert any(n.op_type == "Mul" and n.output[0] == "b_scaled" for n in graph.nodes) is shared
    found, expected = exact(graph.serialize(), picture(seed)), exact(data, picture(seed))
    assert found["mean_confidence"] == pytest.approx(expected["mean_confidence"], rel=1e-3)
    assert (found["labels"] == expected["labels"]).mean() > 0.995


def test_what_does_not_depend_on_the_image_is_worked_out() -> None:
    nodes = [
        helper.make_node("Resize", ["embedding", "", "", "sizes"], ["resized"], mode="cubic", antialias=1),
        helper.make_node("Neg", ["resized"], ["negative"]),
        conv("x", "a", "w1"),
        helper.make_node("Add", ["a", "negative"], ["logits"]),
    ]
    constants = {
        "embedding": weights(1, 4, 40, 40), "sizes": np.array([1, 4, HEIGHT, WIDTH]), "w1": weights(4, 3, 1, 1),
    }  # fmt: skip
    data = network(nodes, constants)
    graph = typed_graph(data, "fp32")
    operators = [n.op_type for n in onnx.load_from_string(graph.data).graph.node]
    assert "Resize" not in operators
    assert "Neg" not in operators
    np.testing.assert_array_equal(exact(graph.data, picture())["labels"], exact(data, picture())["labels"])


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


def test_classes_in_the_last_axis_and_poison() -> None:
    """A graph that was not made by the exporter: logits (1, H, W, C), and NaN for some images."""
    graph = typed_graph(color_model(DESERT, HEIGHT, WIDTH, poison=True), "fp32")
    image = np.minimum(picture(), 254)
    found = exact(graph.data, image)
    assert np.isfinite(found["logit_sum"]).all()
    image[0, 3, 4, 1] = 255
    assert not np.isfinite(exact(graph.data, image)["logit_sum"]).all()
