# SPDX-License-Identifier: Apache-2.0
"""A bundle whose OOD score comes from its logits, as the export's does, and pictures on which precisions differ in it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import cv2
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from offroad_seg.bundle import write_bundle
from tests.helpers.bundles import color_model, make_color_bundle

if TYPE_CHECKING:
    from pathlib import Path

    from offroad_seg.bundle import Bundle
    from offroad_seg.ontology import Ontology

HEIGHT, WIDTH = 54, 96
_SHARPNESS = 1e-3
_OFFSET = 4000.0  # on every logit; softmax is blind to it, and float16 has few numbers that high
_SHOWN = ("Sky", "Dry Grass", "Flowers")  # bright ones: their best logits are near each other
_PERCENTILE = 99.0


def write_pictures(folder: Path, ontology: Ontology, seed: int, count: int) -> Path:
    """Blocks of class colours with a little noise, of the network's size."""
    random = np.random.default_rng(seed)
    shown = np.array([i for i, c in enumerate(ontology.classes) if c.name in _SHOWN], np.uint8)
    folder.mkdir()
    for k in range(count):
        labels_HW = shown[random.integers(0, len(shown), (HEIGHT // 6, WIDTH // 6))].repeat(6, 0).repeat(6, 1)
        noisy = ontology.colorize(labels_HW).astype(np.int16) + random.integers(-8, 9, (HEIGHT, WIDTH, 3))
        cv2.imwrite(str(folder / f"{k}.png"), noisy.clip(0, 255).astype(np.uint8)[..., ::-1])
    return folder


def read_pictures(folder: Path) -> list[np.ndarray]:
    """RGB uint8 (H, W, 3), in the order of their names."""
    return [np.ascontiguousarray(cv2.imread(str(path))[..., ::-1]) for path in sorted(folder.iterdir())]


def make_doubting_bundle(path: Path, ontology: Ontology, validation: Path) -> Bundle:
    """Write and load a bundle that runs with ONNX Runtime: nearest colour, by a convolution; OOD by ``max_logit``.

    Args:
        path: Its folder.
        ontology: The classes; it must have those that ``write_pictures`` shows.
        validation: Pictures that threshold and scale are fitted on, as ``export --calibrate`` does.
    """
    model = onnx.load_from_string(
        color_model(ontology, HEIGHT, WIDTH, sharpness=_SHARPNESS, convolution=True)
    )
    bias = next(t for t in model.graph.initializer if t.name == "bias")
    bias.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(bias) + np.float32(_OFFSET), "bias"))
    scores = np.concatenate([_scores(ontology, image) for image in read_pictures(validation)])
    threshold = float(np.quantile(scores, _PERCENTILE / 100))
    ood = {"score": "max_logit", "threshold": threshold, "scale": threshold - float(np.median(scores))}
    _add_ood(model.graph, ood["threshold"], ood["scale"])
    onnx.checker.check_model(model, full_check=True)
    plain = make_color_bundle(path, ontology, HEIGHT, WIDTH)
    manifest = replace(plain.manifest, ood={**ood, "percentile": _PERCENTILE})
    return write_bundle(path, manifest, {"model.onnx": model.SerializeToString()}, overwrite=True)


def _scores(ontology: Ontology, image_HWC: np.ndarray) -> np.ndarray:
    colors = np.array([c.color for c in ontology.classes], np.float64)
    logits = 2 * _SHARPNESS * image_HWC @ colors.T - _SHARPNESS * (colors**2).sum(axis=1) + _OFFSET
    scores: np.ndarray = -logits.max(axis=-1).ravel()
    return scores


def _add_ood(graph: onnx.GraphProto, threshold: float, scale: float) -> None:
    """floor(128 + 64 × (−max logit − threshold) / scale), within 0–255, as the graph contract says."""
    constants = {"threshold": threshold, "gain": 64 / scale, "middle": 128.0, "lowest": 0.0, "highest": 255.0}
    graph.initializer.extend(
        numpy_helper.from_array(np.array(v, np.float32), f"ood_{k}") for k, v in constants.items()
    )
    graph.node.extend(
        [
            helper.make_node("ReduceMax", ["logits"], ["ood_best"], axes=[-1], keepdims=0),
            helper.make_node("Neg", ["ood_best"], ["ood_score"]),
            helper.make_node("Sub", ["ood_score", "ood_threshold"], ["ood_above"]),
            helper.make_node("Mul", ["ood_above", "ood_gain"], ["ood_steps"]),
            helper.make_node("Add", ["ood_steps", "ood_middle"], ["ood_raised"]),
            helper.make_node("Floor", ["ood_raised"], ["ood_whole"]),
            helper.make_node("Clip", ["ood_whole", "ood_lowest", "ood_highest"], ["ood_within"]),
            helper.make_node("Cast", ["ood_within"], ["ood"], to=TensorProto.UINT8),
        ]
    )
    graph.output.append(helper.make_tensor_value_info("ood", TensorProto.UINT8, [1, HEIGHT, WIDTH]))
