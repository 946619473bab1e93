# SPDX-License-Identifier: Apache-2.0
"""Small ONNX graphs under the contract of a bundle."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper

from tests.helpers.half import run

if TYPE_CHECKING:
    from collections.abc import Sequence

HEIGHT, WIDTH = 18, 32
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
    """The same numbers for the same shape, whatever was asked for before."""
    return np.random.default_rng([5, *shape]).normal(0, spread, shape).astype(np.float32)


def conv(source: str, out: str, weight: str, **attributes: Any) -> onnx.NodeProto:
    return helper.make_node("Conv", [source, weight], [out], name=f"conv_{out}", **attributes)


def picture(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (1, HEIGHT, WIDTH, 3), np.uint8)


def exact(data: bytes, image: np.ndarray) -> dict[str, np.ndarray]:
    return run(ort.InferenceSession(data, providers=["CPUExecutionProvider"]), image)


SIMPLE = network([conv("x", "logits", "w", pads=[1, 1, 1, 1])], {"w": weights(4, 3, 3, 3)})
