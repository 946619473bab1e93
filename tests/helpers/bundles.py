# SPDX-License-Identifier: Apache-2.0
"""A real bundle whose network is so small that its answer is known: the class of the nearest colour."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from offroad_seg.bundle import Bundle, write_bundle
from offroad_seg.image import IMAGENET_MEAN, IMAGENET_STD, PAD_VALUE
from offroad_seg.manifest import PORTABLE, Manifest, digest_of

if TYPE_CHECKING:
    from pathlib import Path

    from offroad_seg.ontology import Ontology


def edit_manifest(bundle: Path, *, seal: bool = True, **changes: Any) -> None:
    """Change fields of a bundle's manifest on disk.

    Args:
        bundle: Its folder.
        seal: Work the digest out anew, as another machine that wrote these values would have; else it is an edit by
            hand.
        **changes: Field → value; a mapping is merged into the one that is there.
    """
    path = bundle / "manifest.json"
    data = json.loads(path.read_text(encoding="utf-8"))
    for name, value in changes.items():
        merge = isinstance(value, dict) and isinstance(data.get(name), dict)
        data[name] = {**data[name], **value} if merge else value
    if seal:
        data["digest"] = digest_of(data)
    path.write_text(json.dumps(data), encoding="utf-8")


def color_model(
    ontology: Ontology,
    height: int,
    width: int,
    *,
    sharpness: float = 1e-2,
    poison: bool = False,
    convolution: bool = False,
    ood: bool = False,
) -> bytes:
    """An ONNX graph under the graph contract: the class whose colour is nearest, with softmax confidence.

    Args:
        ontology: Gives the colours.
        height: Rows of the input.
        width: Columns of the input.
        sharpness: Logit = −sharpness × squared colour distance; NaN makes every logit NaN.
        poison: A channel of 255 makes the pixel's logits NaN: a network that breaks on some images only.
        convolution: The product is a 1×1 convolution, as networks have it, and not a matrix product.
        ood: With an output ``ood``, which calls white pixels unlike all that was seen before.
    """
    colors = np.array([c.color for c in ontology.classes], np.float32)  # (C, 3)
    constants = {
        **({} if convolution else {"weight": (2.0 * sharpness * colors.T).astype(np.float32)}),  # (3, C)
        "bias": (-sharpness * (colors**2).sum(axis=1)).astype(np.float32),
        "scale": np.array(255.0, np.float32),
        **(
            {"kernel": (2.0 * sharpness * colors)[:, :, None, None].astype(np.float32)} if convolution else {}
        ),
        **({"zero": np.array(0.0, np.float32), "axes": np.array([-1], np.int64)} if poison else {}),
        **(
            {name: np.array(v, np.float32) for name, v in (("light", 190.0), ("steps", 4.25), ("none", 0.0))}
            if ood
            else {}
        ),
    }
    nodes = [
        # −s|x − c|² without the term that is the same for every class.
        helper.make_node("Cast", ["image"], ["pixels"], to=TensorProto.FLOAT),
        *(_convolution() if convolution else [helper.make_node("MatMul", ["pixels", "weight"], ["product"])]),
        helper.make_node("Add", ["product", "bias"], ["sum" if poison else "logits"]),
        *(_poison("pixels", "sum", "logits") if poison else []),
        helper.make_node("ArgMax", ["logits"], ["index"], axis=-1, keepdims=0),
        helper.make_node("Cast", ["index"], ["labels"], to=TensorProto.UINT8),
        helper.make_node("Softmax", ["logits"], ["probability"], axis=-1),
        helper.make_node("ReduceMax", ["probability"], ["best"], axes=[-1], keepdims=0),
        helper.make_node("Mul", ["best", "scale"], ["scaled"]),
        helper.make_node("Round", ["scaled"], ["rounded"]),
        helper.make_node("Cast", ["rounded"], ["confidence"], to=TensorProto.UINT8),
        helper.make_node("ReduceMean", ["best"], ["mean_confidence"], axes=[1, 2], keepdims=0),
        *(_ood("pixels") if ood else []),
    ]
    graph = helper.make_graph(
        nodes,
        "nearest_color",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, [1, height, width, 3])],
        [
            helper.make_tensor_value_info("labels", TensorProto.UINT8, [1, height, width]),
            helper.make_tensor_value_info("confidence", TensorProto.UINT8, [1, height, width]),
            helper.make_tensor_value_info("mean_confidence", TensorProto.FLOAT, [1]),
            *([helper.make_tensor_value_info("ood", TensorProto.UINT8, [1, height, width])] if ood else []),
        ],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    data: bytes = model.SerializeToString()
    return data


def _convolution() -> list[onnx.NodeProto]:
    return [
        helper.make_node("Transpose", ["pixels"], ["planes"], perm=[0, 3, 1, 2]),
        helper.make_node("Conv", ["planes", "kernel"], ["product_planes"]),
        helper.make_node("Transpose", ["product_planes"], ["product"], perm=[0, 2, 3, 1]),
    ]


def _ood(pixels: str) -> list[onnx.NodeProto]:
    """By a pixel's least channel: 0 up to 190, 128 from 221, 255 from 250 on."""
    return [
        helper.make_node("ReduceMin", [pixels], ["darkest"], axes=[-1], keepdims=0),
        helper.make_node("Sub", ["darkest", "light"], ["above"]),
        helper.make_node("Mul", ["above", "steps"], ["score"]),
        helper.make_node("Clip", ["score", "none", "scale"], ["within"]),
        helper.make_node("Cast", ["within"], ["ood"], to=TensorProto.UINT8),
    ]


def _poison(pixels: str, logits: str, out: str) -> list[onnx.NodeProto]:
    """Adds 0 / (255 − x), summed over the channels: 0, or NaN where a channel is 255."""
    return [
        helper.make_node("Sub", ["scale", pixels], ["headroom"]),
        helper.make_node("Div", ["zero", "headroom"], ["poison"]),
        helper.make_node("ReduceSum", ["poison", "axes"], ["poison_sum"], keepdims=1),
        helper.make_node("Add", [logits, "poison_sum"], [out]),
    ]


def make_color_bundle(
    path: Path,
    ontology: Ontology,
    height: int,
    width: int,
    *,
    sharpness: float = 1e-2,
    poison: bool = False,
    convolution: bool = False,
    mistaken: dict[str, tuple[int, int, int]] | None = None,
    ood: bool = False,
) -> Bundle:
    """Write and load a bundle of ``color_model``; it runs with ONNX Runtime.

    Args:
        path: Its folder.
        ontology: The classes.
        height: Rows of the input.
        width: Columns of the input.
        sharpness: As ``color_model``.
        poison: As ``color_model``.
        convolution: As ``color_model``.
        mistaken: Class → the colour that the network expects of it, where that is not the ontology's: a worse network.
        ood: As ``color_model``.
    """
    manifest = Manifest(
        name="nearest_color",
        ontology=ontology.to_dict(),
        input_height=height,
        input_width=width,
        mean=IMAGENET_MEAN,
        std=IMAGENET_STD,
        pad_value=PAD_VALUE,
        precision="fp32",
        backend=PORTABLE,
        backends=("onnxruntime",),
        versions={"onnx": onnx.__version__},
        source={"model": "nearest_color"},
        ood={"score": "energy", "threshold": 0.0, "scale": 1.0, "percentile": 99.0} if ood else None,
    )
    seen = replace(
        ontology,
        classes=tuple(replace(c, color=(mistaken or {}).get(c.name, c.color)) for c in ontology.classes),
    )
    model = color_model(
        seen, height, width, sharpness=sharpness, poison=poison, convolution=convolution, ood=ood
    )
    return write_bundle(path, manifest, {"model.onnx": model})
