# SPDX-License-Identifier: Apache-2.0
"""Bundles with a plan for the fake TensorRT of ``tests/helpers/fake_gpu.py``, and engines over them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from offroad_seg.bundle import write_bundle
from offroad_seg.compile.onnx_typed import typed_graph
from offroad_seg.engines.cuda import Gpu
from offroad_seg.engines.trt_engine import TrtEngine
from offroad_seg.ontology import load_ontology
from tests.helpers.bundles import color_model, make_color_bundle
from tests.helpers.fake_gpu import MAGIC, FakeTensorRt

if TYPE_CHECKING:
    import ctypes
    from pathlib import Path

    from offroad_seg.bundle import Bundle

HEIGHT, WIDTH = 18, 32
DESERT = load_ontology("duality_desert")
GPU = {"name": "Fake GPU", "compute_capability": "8.7", "driver": "CUDA 12.6"}
VERSION = "10.3.0"


def plan_of(*, height: int = HEIGHT, **settings: Any) -> bytes:
    return MAGIC + typed_graph(color_model(DESERT, height, WIDTH, **settings), "fp32").data


def make_bundle(
    tmp_path: Path, plan: bytes | None = None, gpu: dict[str, str] | None = GPU, version: str = VERSION
) -> Bundle:
    portable = make_color_bundle(tmp_path / "portable", DESERT, HEIGHT, WIDTH)
    manifest = replace(
        portable.manifest,
        backend="tensorrt",
        backends=("tensorrt",),
        precision="fp16",
        versions={"tensorrt": version},
        gpu=gpu,
    )
    return write_bundle(tmp_path / "bundle", manifest, {"model.plan": plan_of() if plan is None else plan})


def open_engine(bundle: Bundle, driver: ctypes.CDLL, *, use_graph: bool = True, **settings: Any) -> TrtEngine:
    trt: Any = FakeTensorRt(driver, version=VERSION, **settings)
    return TrtEngine(bundle, trt, "tensorrt", gpu=Gpu(library=driver), use_graph=use_graph)


def picture(seed: int = 0, height: int = HEIGHT, width: int = WIDTH) -> tuple[np.ndarray, np.ndarray]:
    labels = np.random.default_rng(seed).integers(0, DESERT.n_classes, (height, width)).astype(np.uint8)
    return DESERT.colorize(labels), labels
