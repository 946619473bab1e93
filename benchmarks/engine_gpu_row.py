# SPDX-License-Identifier: Apache-2.0
"""One row of ``engine_gpu.py``: one network, one engine, one size, measured in this process.

    python benchmarks/engine_gpu_row.py MODEL ENGINE ROWSxCOLUMNS cuda|cpu SECONDS FOLDER

prints JSON. FOLDER keeps exported networks for the next row.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # for tests.helpers

if TYPE_CHECKING:
    import torch

    from offroad_seg.bundle import Bundle
    from offroad_seg.engines.base import InferenceEngine
    from offroad_seg_train.models import NormalizedModel

COMPILED, IN_TORCH = "torch.compile fp16", "torch-tensorrt fp16"
EAGER = ("eager fp32", "eager fp16", COMPILED)
BUILT = {
    "onnxruntime fp32": ("onnxruntime", "fp32"),
    "tensorrt fp16": ("tensorrt", "fp16"),
    "tensorrt-rtx fp16": ("tensorrt-rtx", "fp16"),
}
CAMERA = (1280, 720)
N_CLASSES = 10


def network(model: str) -> NormalizedModel:
    """Random weights that decide between classes as a trained network does."""
    import torch

    from offroad_seg.compile.gate_images import gate_images
    from offroad_seg.image import Letterbox
    from offroad_seg_train.training.recipe import load_recipe
    from tests.helpers.networks import lively

    config = load_recipe(model, ["model.backbone_weights=none", "model.frozen=[]"]).model
    picture = gate_images(None, Letterbox(133, 238), 1).images[0].image_HWC
    return lively(config, N_CLASSES, torch.from_numpy(picture.transpose(2, 0, 1).copy())[None]).eval()


class Half:
    """A network in float16 behind the normalisation, which stays in float32."""

    def __new__(cls, module: NormalizedModel) -> torch.nn.Module:  # type: ignore[misc]
        """The wrapped module."""
        from torch import nn

        class Wrapped(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.inner = module
                self.inner.model.half()

            def forward(self, image_BCHW: torch.Tensor) -> torch.Tensor:
                pixels = image_BCHW.float() * self.inner.scale_311 + self.inner.offset_311
                return self.inner.model(pixels.half()).float()

        return Wrapped()


def eager(engine: str, module: NormalizedModel, height: int, width: int, device: str) -> InferenceEngine:
    """The network as Python runs it, or compiled."""
    import torch

    from offroad_seg_train.evaluation.opened import CheckpointEngine

    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    torch.backends.cudnn.benchmark = True
    ready: torch.nn.Module = module.requires_grad_(False).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    if engine != "eager fp32":
        ready = Half(module)
    if engine.startswith("torch.compile"):
        ready = torch.compile(ready, mode="reduce-overhead" if device == "cuda" else "default", dynamic=False)
    return CheckpointEngine(ready, height, width, device)


def portable(model: str, module: NormalizedModel, height: int, width: int, work: Path) -> Bundle:
    """What `offroad-seg export` would write; made once for all engines."""
    from offroad_seg.bundle import Bundle, write_bundle
    from offroad_seg.image import Letterbox, Normalization
    from offroad_seg.manifest import PORTABLE, Manifest
    from offroad_seg.ontology import load_ontology
    from offroad_seg_train.export.graph import DeployedModel, export_program, onnx_bytes, program_bytes

    folder = work / f"{model}_{height}x{width}"
    if folder.is_dir():
        return Bundle.load(folder)
    program = export_program(DeployedModel(module.requires_grad_(False)), height, width)
    normalization = Normalization()
    manifest = Manifest(
        name=model,
        ontology=load_ontology("duality_desert").to_dict(),
        input_height=height,
        input_width=width,
        mean=normalization.mean,
        std=normalization.std,
        pad_value=Letterbox(height, width).pad_value,
        precision="fp32",
        backend=PORTABLE,
        backends=("onnxruntime", "torch"),
    )
    files: dict[str, Path | bytes] = {"model.onnx": onnx_bytes(program), "model.pt2": program_bytes(program)}
    return write_bundle(folder, manifest, files)


def built(bundle: Bundle, backend: str, precision: str, folder: Path) -> Bundle:
    """A device engine of it, which no gate has judged: its weights are random."""
    from offroad_seg.compile import judge
    from offroad_seg.compile.compiler import CompileOptions, compile_bundle

    judge._require = lambda *_: None
    options = CompileOptions(backend, precision, gate_count=1)
    return compile_bundle(bundle, folder / "engine", options)


def in_torch(bundle: Bundle, height: int, width: int, device: str) -> InferenceEngine:
    """The bundle's program in half precision as torch-tensorrt, or torch-tensorrt-rtx, runs it inside torch."""
    import torch
    import torch_tensorrt
    from torch.export.passes import move_to_device_pass

    from offroad_seg.compile.torch_half import half_program
    from offroad_seg_train.evaluation.opened import CheckpointEngine

    typed = move_to_device_pass(half_program(torch.export.load(bundle.file("model.pt2")), "fp16"), device)
    image = torch.zeros((1, height, width, 3), dtype=torch.uint8, device=device)
    compiled = torch_tensorrt.dynamo.compile(typed, arg_inputs=[image], min_block_size=1)
    engine = CheckpointEngine(torch.nn.Identity(), height, width, device)
    # Its outputs have names of their own: whole numbers in half precision for labels and confidence.
    engine._model = lambda image_BHWC: compiled(image_BHWC)[:3]  # type: ignore[assignment]
    return engine


def measure(model: str, engine: str, size: str, device: str, seconds: float, work: Path) -> dict[str, Any]:
    """One row, in this process."""
    from offroad_seg.compile.gate_images import gate_images
    from offroad_seg.compile.latency import measure_latency
    from offroad_seg.engines.registry import load_engine
    from offroad_seg.image import Letterbox
    from offroad_seg.memory import gpu_memory_mb, host_memory_mb

    height, width = (int(v) for v in size.split("x"))
    image_HWC = gate_images(None, Letterbox(height, width), 1).images[0].image_HWC
    module = network(model)
    row: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(dir=work) as folder:
        started = time.perf_counter()
        if engine in EAGER:
            loaded = eager(engine, module, height, width, device)
        elif engine == IN_TORCH:
            loaded = in_torch(portable(model, module, height, width, work), height, width, device)
        else:
            source = portable(model, module, height, width, work)
            started = time.perf_counter()
            bundle = built(source, *BUILT[engine], Path(folder))
            row["route"] = bundle.manifest.source.get("engine", {}).get("route")
            loaded = load_engine(bundle, device=device)
        row["build_s"] = round(time.perf_counter() - started, 1)
        row |= measure_latency(loaded, image_HWC, budget_s=seconds)
        row["fps"] = round(1e3 / row["p50"], 1)
        row |= {"providers": list(loaded.info.providers), "version": loaded.info.version}
        row |= {"gpu_mib": gpu_memory_mb(), "host_mib": host_memory_mb()}
        loaded.close() if hasattr(loaded, "close") else None
        if engine in BUILT:
            row["end_to_end"] = end_to_end(bundle, device, seconds)
    return row


def end_to_end(bundle: Bundle, device: str, seconds: float) -> dict[str, float]:
    """p50 and p99 of a camera's image to the costmap, and of the engine within it, ms."""
    import numpy as np

    from offroad_seg.bench.workloads import Loaded, load_pictures

    loaded = Loaded(bundle, load_pictures(None, *CAMERA), device=device)
    work = loaded.workload("pipeline")
    totals: list[float] = []
    engines: list[float] = []
    deadline = time.perf_counter() + seconds
    number = 0
    while number < 20 or time.perf_counter() < deadline:
        started = time.perf_counter()
        stages = work(number, number / 30)
        if number >= 5:
            totals.append(1e3 * (time.perf_counter() - started))
            engines.append(stages["engine"])
        number += 1
    loaded.close()
    p50, engine_p50 = float(np.median(totals)), float(np.median(engines))
    return {
        "p50": round(p50, 3),
        "p99": round(float(np.percentile(totals, 99)), 3),
        "engine_p50": round(engine_p50, 3),
        "of_engine": round(p50 / engine_p50, 3),
    }


if __name__ == "__main__":
    words = sys.argv[1:]
    print(json.dumps(measure(*words[:4], float(words[4]), Path(words[5]))))
