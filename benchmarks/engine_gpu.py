# SPDX-License-Identifier: Apache-2.0
"""Engines on a GPU: what each of them takes for V3, desert and desert_small at three sizes, batch 1.

    python benchmarks/engine_gpu.py [--sizes 266x476 544x960 720x1280] [--models …] [--engines …] [--out FILE]

Rows: torch eager in float32 (TF32 off) and float16, torch.compile in float16, ONNX Runtime with CUDA in float32,
TensorRT and TensorRT for RTX in float16; what is not installed says so in its row. Each runs in a process of
its own. Random weights, on which time does not depend (so no gate is asked, which judges labels); pixels go to the GPU
and labels come back within the measured time, normalisation, argmax and confidence are inside, the letterbox is not.

Behind them ``end to end``: letterbox, engine, labels and confidence at 1280×720 with the costmap, by the pipeline of
the node, whose p50 is to stay below 1.25 × that of its engine.

Without a GPU it measures nothing, says so and ends with status 3; ``--device cpu`` tries the script itself.
"""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
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

MODELS = ("resnet50_fpn", "desert", "desert_small")
SIZES = ("266x476", "544x960", "720x1280")
EAGER = ("eager fp32", "eager fp16", "torch.compile fp16")
BUILT = {
    "onnxruntime fp32": ("onnxruntime", "fp32"),
    "tensorrt fp16": ("tensorrt", "fp16"),
    "tensorrt-rtx fp16": ("tensorrt-rtx", "fp16"),
}
CAMERA = (1280, 720)
N_CLASSES = 10
NO_GPU = 3


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


def portable(model: str, module: NormalizedModel, height: int, width: int, folder: Path) -> Bundle:
    """What `offroad-seg export` would write."""
    from offroad_seg.bundle import write_bundle
    from offroad_seg.image import Letterbox, Normalization
    from offroad_seg.manifest import PORTABLE, Manifest
    from offroad_seg.ontology import load_ontology
    from offroad_seg_train.export.graph import DeployedModel, export_program, onnx_bytes, program_bytes

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
    return write_bundle(folder / "portable", manifest, files)


def built(bundle: Bundle, backend: str, precision: str, folder: Path) -> Bundle:
    """A device engine of it, which no gate has judged: its weights are random."""
    from offroad_seg.compile import judge
    from offroad_seg.compile.compiler import CompileOptions, compile_bundle

    judge._require = lambda *_: None
    options = CompileOptions(backend, precision, gate_count=1)
    return compile_bundle(bundle, folder / "engine", options)


def measure(model: str, engine: str, size: str, device: str, seconds: float) -> dict[str, Any]:
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
    with tempfile.TemporaryDirectory() as folder:
        if engine in EAGER:
            loaded = eager(engine, module, height, width, device)
        else:
            started = time.perf_counter()
            bundle = built(portable(model, module, height, width, Path(folder)), *BUILT[engine], Path(folder))
            row["build_s"] = round(time.perf_counter() - started, 1)
            loaded = load_engine(bundle, device=device)
        row |= measure_latency(loaded, image_HWC, budget_s=seconds)
        row |= {"providers": list(loaded.info.providers), "version": loaded.info.version}
        row |= {"gpu_mib": gpu_memory_mb(), "host_mib": host_memory_mb()}
        loaded.close()
        if engine not in EAGER:
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


def run_apart(words: list[str]) -> dict[str, Any]:
    """``measure`` in a fresh process; what went wrong, in its own words."""
    done = subprocess.run(
        [sys.executable, __file__, "--one", *words], capture_output=True, text=True, check=False
    )
    if done.returncode == 0:
        row: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return row
    lines = [line for line in done.stderr.splitlines() if "Error: " in line]
    return {"failed": lines[-1].partition("Error: ")[2] if lines else f"status {done.returncode}"}


def machine(device: str) -> dict[str, Any]:
    import torch

    found: dict[str, Any] = {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "device": device,
    }
    if device == "cuda":
        query = [
            "nvidia-smi",
            "--query-gpu=name,driver_version,power.limit,clocks.max.sm",
            "--format=csv,noheader",
        ]
        found["gpu"] = subprocess.run(query, capture_output=True, text=True, check=False).stdout.strip()
    return found


def report(rows: list[dict[str, Any]]) -> None:
    """What the rows say of the aims."""
    by = {(r["model"], r["size"], r["engine"]): r for r in rows if "p50" in r}
    for (model, size, engine), row in by.items():
        half = by.get((model, size, "eager fp16"))
        if half is not None and engine.endswith("fp16") and engine != "eager fp16":
            print(f"{model} {size} {engine}: {half['p50'] / row['p50']:.2f} × eager fp16 (aim 3)")


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    engines = [*EAGER, *BUILT]
    parser.add_argument("--sizes", nargs="+", default=list(SIZES), help="rows×columns of the input")
    parser.add_argument("--models", nargs="+", default=list(MODELS))
    parser.add_argument("--engines", nargs="+", default=engines, choices=engines)
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--seconds", type=float, default=5.0, help="time for each figure")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("results") / "engine_gpu.json")
    parser.add_argument("--one", nargs=5, metavar="X", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        print(json.dumps(measure(*args.one[:4], float(args.one[4]))))
        return 0
    import torch

    if args.device == "cuda" and not torch.cuda.is_available():
        print(
            "no CUDA GPU here: nothing was measured. Run this on the machine whose figures are wanted; "
            "--device cpu tries the script itself.",
            file=sys.stderr,
        )
        return NO_GPU
    result: dict[str, Any] = {"machine": machine(args.device), "camera": CAMERA, "rows": []}
    print(
        f"{'model':<14}{'input':>10}  {'engine':<20}{'p50 ms':>9}{'p99 ms':>9}{'fps':>8}{'GPU MiB':>9}"
        f"{'end to end':>12}{'/ engine':>9}"
    )
    for size in args.sizes:
        for model in args.models:
            for engine in args.engines:
                row = run_apart([model, engine, size, args.device, str(args.seconds)])
                result["rows"].append({"model": model, "size": size, "engine": engine, **row})
                print(f"{model:<14}{size:>10}  {engine:<20}" + line(row), flush=True)
                args.out.write_text(json.dumps(result, indent=1) + "\n")
    report(result["rows"])
    return 0


def line(row: dict[str, Any]) -> str:
    """The figures of a row."""
    if "failed" in row:
        return f"  {row['failed']}"
    whole = row.get("end_to_end", {})
    behind = f"{whole['p50']:>12.2f}{whole['of_engine']:>9.2f}" if whole else ""
    return f"{row['p50']:>9.2f}{row['p99']:>9.2f}{1e3 / row['p50']:>8.0f}{row['gpu_mib'] or 0:>9.0f}{behind}"


if __name__ == "__main__":
    sys.exit(main())
