# SPDX-License-Identifier: Apache-2.0
"""Types written into ONNX graphs: exact where they must be, float16 where they may be."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper

from offroad_seg.compile import onnx_half
from offroad_seg.compile.onnx_graph import OnnxGraph
from offroad_seg.compile.onnx_rewrite import fold_batch_norms
from offroad_seg.compile.onnx_typed import TypedGraph, typed_graph
from offroad_seg.ontology import load_ontology
from tests.helpers.bundles import color_model
from tests.helpers.half import rounding, run
from tests.helpers.onnx_networks import (
    FLOAT,
    HALF,
    HEIGHT,
    SIMPLE,
    WIDTH,
    conv,
    exact,
    network,
    picture,
    weights,
)

DESERT = load_ontology("duality_desert")


def types_of(graph: TypedGraph) -> dict[str, int]:
    """Operator and name of a node → type of its first result."""
    model = onnx.shape_inference.infer_shapes(onnx.load_from_string(graph.data))
    values = (*model.graph.value_info, *model.graph.output)
    types = {v.name: v.type.tensor_type.elem_type for v in values}
    return {f"{n.op_type} {n.name or n.output[0]}": types[n.output[0]] for n in model.graph.node}


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


def test_classes_in_the_last_axis_and_poison() -> None:
    """A graph that was not made by the exporter: logits (1, H, W, C), and NaN for some images."""
    graph = typed_graph(color_model(DESERT, HEIGHT, WIDTH, poison=True), "fp32")
    image = np.minimum(picture(), 254)
    found = exact(graph.data, image)
    assert np.isfinite(found["logit_sum"]).all()
    image[0, 3, 4, 1] = 255
    assert not np.isfinite(exact(graph.data, image)["logit_sum"]).all()
