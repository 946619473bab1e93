# SPDX-License-Identifier: Apache-2.0
"""Engines on a CPU: V3, desert and tiny, the eager checkpoint against ONNX Runtime and the exported program.

    python benchmarks/engine_cpu.py [--sizes 266x476 544x960] [--threads N] [--seconds S] [--out engine_cpu.json]

Random weights: the time does not depend on them. Each engine runs in a process of its own, batch 1, warm.
Normalisation, argmax and confidence are inside, the letterbox is not. Other work on the machine spoils the figures:
its load is recorded, and the processor time of a run (all threads) hardly changes with it.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path

MODELS = ("tiny", "desert_small", "desert", "resnet50_fpn")
ENGINES = ("eager", "onnxruntime", "onnxruntime-compiled", "torch")


def measure(model: str, engine: str, height: int, width: int, threads: int, seconds: float) -> dict:
    """Build one engine and time it; run in a process of its own, so that peaks and thread pools are its own."""
    import torch

    from offroad_seg.bundle import Bundle, write_bundle
    from offroad_seg.compile.compiler import CompileOptions, compile_bundle
    from offroad_seg.compile.gate_images import gate_images
    from offroad_seg.compile.latency import WARM_UP, measure_latency
    from offroad_seg.engines.registry import load_engine
    from offroad_seg.image import Letterbox, Normalization
    from offroad_seg.manifest import PORTABLE, Manifest
    from offroad_seg.ontology import load_ontology
    from offroad_seg_train.evaluation.opened import CheckpointEngine
    from offroad_seg_train.export.graph import DeployedModel, export_program, onnx_bytes, program_bytes
    from offroad_seg_train.models import NormalizedModel, build_model
    from offroad_seg_train.training.recipe import load_recipe

    torch.manual_seed(0)
    if threads:
        torch.set_num_threads(threads)
    ontology = load_ontology("duality_desert")
    box, normalization = Letterbox(height, width), Normalization()
    config = load_recipe(model, ["model.backbone_weights=none"]).model
    network = build_model(config, ontology.n_classes)
    module = NormalizedModel(network, normalization).eval().requires_grad_(False)
    image_HWC = gate_images(None, box, 1).images[0].image_HWC
    with tempfile.TemporaryDirectory() as folder:
        if engine == "eager":
            loaded = CheckpointEngine(module, height, width, "cpu")
        else:
            program = export_program(DeployedModel(module), height, width)
            files = (
                {"model.pt2": program_bytes(program)}
                if engine == "torch"
                else {"model.onnx": onnx_bytes(program)}
            )
            backend = engine.removesuffix("-compiled")
            manifest = Manifest(
                name=model,
                ontology=ontology.to_dict(),
                input_height=height,
                input_width=width,
                mean=normalization.mean,
                std=normalization.std,
                pad_value=box.pad_value,
                precision="fp32",
                backend=PORTABLE,
                backends=(backend,),
            )
            bundle: Bundle = write_bundle(Path(folder) / "portable", manifest, files)
            if engine.endswith("-compiled"):
                bundle = compile_bundle(bundle, Path(folder) / "compiled", CompileOptions(backend))
            start = time.perf_counter()
            loaded = load_engine(bundle, backend, "cpu", threads)
            load_ms = (time.perf_counter() - start) * 1e3
        start_cpu = time.process_time()
        latency = measure_latency(loaded, image_HWC, budget_s=seconds)
        cpu_ms = (time.process_time() - start_cpu) * 1e3 / (latency["runs"] + WARM_UP)
    parameters = sum(p.numel() for p in network.parameters())
    load_ms = None if engine == "eager" else round(load_ms, 1)
    return {**latency, "cpu_ms": round(cpu_ms, 1), "load_ms": load_ms, "parameters": parameters}


def run_apart(model: str, engine: str, height: int, width: int, threads: int, seconds: float) -> dict:
    """``measure`` in a fresh process."""
    words = [model, engine, str(height), str(width), str(threads), str(seconds)]
    done = subprocess.run(
        [sys.executable, __file__, "--one", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        check=True,
    )
    return json.loads(done.stdout.splitlines()[-1])


def machine() -> dict:
    import onnxruntime
    import torch

    from offroad_seg.engines.cpu import describe_cpu

    return {
        "cpu": describe_cpu(),
        "cores": os.cpu_count(),
        "load_before": os.getloadavg()[0],
        "python": platform.python_version(),
        "torch": torch.__version__,
        "onnxruntime": onnxruntime.__version__,
    }


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sizes", nargs="+", default=["266x476"], help="rows×columns of the input")
    parser.add_argument("--models", nargs="+", default=list(MODELS), choices=MODELS)
    parser.add_argument("--engines", nargs="+", default=list(ENGINES), choices=ENGINES)
    parser.add_argument("--threads", type=int, default=0, help="0: each run time chooses")
    parser.add_argument("--seconds", type=float, default=8.0, help="time for each row")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("results") / "engine_cpu.json")
    parser.add_argument("--one", nargs=6, metavar="X", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        model, engine, *numbers = args.one
        height, width, threads = (int(v) for v in numbers[:3])
        print(json.dumps(measure(model, engine, height, width, threads, float(numbers[3]))))
        return 0
    result = {"machine": machine(), "threads": args.threads, "rows": []}
    print(
        f"{'model':<14}{'input':>10}  {'engine':<22}{'p50 ms':>9}{'p99 ms':>9}{'CPU ms':>9}{'load ms':>9}{'runs':>6}"
    )
    for size in args.sizes:
        height, width = (int(v) for v in size.split("x"))
        for model in args.models:
            for engine in args.engines:
                row = run_apart(model, engine, height, width, args.threads, args.seconds)
                result["rows"].append(
                    {"model": model, "height": height, "width": width, "engine": engine, **row}
                )
                print(
                    f"{model:<14}{size:>10}  {engine:<22}{row['p50']:>9.1f}{row['p99']:>9.1f}"
                    f"{row['cpu_ms']:>9.1f}{row['load_ms'] or 0:>9.0f}{row['runs']:>6}",
                    flush=True,
                )
    args.out.write_text(json.dumps(result, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
