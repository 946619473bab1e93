# SPDX-License-Identifier: Apache-2.0
"""OpenVINO against ONNX Runtime on a CPU: the same ONNX file, one image each in turn, so that both feel the same load.

    python benchmarks/openvino_cpu.py BUNDLE… [--threads 2] [--seconds 20] [--out openvino_cpu.json]

OpenVINO is no dependency: put it into an environment of its own, or beside ours, with ``pip install openvino``.
``ratio`` is the median over the pairs of ONNX Runtime's time by OpenVINO's: above 1, OpenVINO is faster.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnxruntime

if TYPE_CHECKING:
    from collections.abc import Callable

WARM_UP = 3


def runners(bundle: Path, threads: int) -> dict[str, Callable[[], object]]:
    """Both engines over a portable bundle's ONNX file, warm."""
    import openvino

    manifest = json.loads((bundle / "manifest.json").read_text(encoding="utf-8"))
    shape = (1, manifest["input_height"], manifest["input_width"], 3)
    image_BHWC = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(bundle / "model.onnx", options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    core = openvino.Core()
    settings = {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": threads,
        "INFERENCE_PRECISION_HINT": "f32",
    }
    request = core.compile_model(
        core.read_model(bundle / "model.onnx"), "CPU", settings
    ).create_infer_request()
    found = {
        "onnxruntime": lambda: session.run(None, {name: image_BHWC}),
        "openvino": lambda: request.infer([image_BHWC]),
    }
    for run in found.values():
        for _ in range(WARM_UP):
            run()
    return found


def measure(bundle: Path, threads: int, seconds: float) -> dict[str, object]:
    """Pairs of runs for so long, and what they took."""
    engines = runners(bundle, threads)
    wall: dict[str, list[float]] = {name: [] for name in engines}
    cpu: dict[str, list[float]] = {name: [] for name in engines}
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        for name, run in engines.items():
            started, worked = time.perf_counter(), time.process_time()
            run()
            wall[name].append(1000 * (time.perf_counter() - started))
            cpu[name].append(1000 * (time.process_time() - worked))
    ratio = np.array(wall["onnxruntime"]) / np.array(wall["openvino"])
    return {
        "bundle": bundle.name,
        "pairs": len(ratio),
        "ratio": float(np.median(ratio)),
        "ratio_quartiles": [float(q) for q in np.percentile(ratio, (25, 75))],
        "p50_ms": {name: float(np.median(values)) for name, values in wall.items()},
        "cpu_ms": {name: float(np.median(values)) for name, values in cpu.items()},
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("bundles", type=Path, nargs="+", metavar="BUNDLE", help="portable bundles")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=20.0, help="for each bundle")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/openvino_cpu.json"))
    args = parser.parse_args()
    rows = []
    print(f"{'bundle':20} {'pairs':>6} {'ORT, ms':>9} {'OpenVINO, ms':>13} {'ratio':>6}   quartiles")
    for bundle in args.bundles:
        row = measure(bundle, args.threads, args.seconds)
        p50, (low, high) = row["p50_ms"], row["ratio_quartiles"]
        print(
            f"{row['bundle']:20} {row['pairs']:6} {p50['onnxruntime']:9.1f} {p50['openvino']:13.1f} "
            f"{row['ratio']:6.2f}   {low:.2f} – {high:.2f}"
        )
        rows.append(row)
    args.out.write_text(json.dumps({"threads": args.threads, "rows": rows}, indent=2) + "\n")


if __name__ == "__main__":
    main()
