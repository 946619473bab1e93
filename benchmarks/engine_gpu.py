# SPDX-License-Identifier: Apache-2.0
"""Engines on a GPU: what each of them takes for V3, desert and desert_small at three sizes, batch 1.

    python benchmarks/engine_gpu.py [--sizes 266x476 544x960 720x1280] [--models …] [--engines …] [--out FILE]
                                    [--budget MINUTES] [--resume]

Rows: torch eager in float32 (TF32 off) and float16, torch.compile in float16, ONNX Runtime with CUDA in float32,
TensorRT and TensorRT for RTX in float16, and torch-tensorrt's (or torch-tensorrt-rtx's) own module in float16; what is
not installed says so in its row. Each runs in a process of its own. Random weights, on which time does not depend (so
no gate is asked, which judges labels); pixels go to the GPU and labels come back within the measured time,
normalisation, argmax and confidence are inside, the letterbox is not.

Behind them ``end to end``: letterbox, engine, labels and confidence at 1280×720 with the costmap, by the pipeline of
the node, whose p50 is to stay below 1.25 × that of its engine.

With ``--budget`` no row is begun that may not end in time; the rows that matter most come first, and ``--resume`` goes
on with those that are missing. Without a GPU it measures nothing, says so and ends with status 3; ``--device cpu``
tries the script itself.
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

from engine_gpu_row import CAMERA, COMPILED, EAGER, IN_TORCH

if TYPE_CHECKING:
    from collections.abc import Sequence

MODELS = ("resnet50_fpn", "desert", "desert_small")
SIZES = ("544x960", "266x476", "720x1280")
# In the order in which they are measured; those that take longest to make come last.
ENGINES = (
    "eager fp16",
    "tensorrt fp16",
    "tensorrt-rtx fp16",
    "eager fp32",
    "onnxruntime fp32",
    IN_TORCH,
    COMPILED,
)
LAST = (IN_TORCH, COMPILED)
NO_GPU = 3
ROW_S = 240  # the longest that a row may take
# What Isaac ROS publishes for its U-Net (ShuffleSeg, FP16) on an RTX 4090.
ISAAC_SIZE, ISAAC_FPS = "544x960", 587


def run_apart(words: list[str], limit_s: float) -> dict[str, Any]:
    """``measure`` in a fresh process; what went wrong, in its own words."""
    command = [sys.executable, str(Path(__file__).with_name("engine_gpu_row.py")), *words]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=limit_s)
    except subprocess.TimeoutExpired:
        return {"failed": f"not done after {limit_s:.0f} s"}
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


def aims(rows: list[dict[str, Any]]) -> list[str]:
    """What the rows say of the aims, a line each."""
    by = {(r["model"], r["size"], r["engine"]): r for r in rows if "p50" in r}
    said = []
    for (model, size, engine), row in by.items():
        half = by.get((model, size, "eager fp16"))
        if half is not None and engine.endswith("fp16") and engine not in EAGER:
            times = half["p50"] / row["p50"]
            said.append(f"{model} {size} {engine}: {times:.2f} × eager fp16 (aim 3{_met(times >= 3)})")
        if (whole := row.get("end_to_end")) and engine.endswith("fp16"):
            share = whole["of_engine"]
            said.append(
                f"{model} {size} {engine}: end to end {share:.2f} × engine (aim 1.25{_met(share <= 1.25)})"
            )
        if size == ISAAC_SIZE and engine.endswith("fp16") and engine not in EAGER:
            fps = 1e3 / row["p50"]
            said.append(
                f"{model} {size} {engine}: {fps:.0f} fps (aim {ISAAC_FPS}{_met(fps > ISAAC_FPS)}), batch 1, one by one"
            )
    return said


def _met(yes: bool) -> str:
    return ", met" if yes else ", missed"


def rows_in_order(
    models: Sequence[str], sizes: Sequence[str], engines: Sequence[str]
) -> list[tuple[str, str, str]]:
    """(model, size, engine): by size and model, but what takes longest to make at the end."""
    found = [(model, size, engine) for size in sizes for model in models for engine in engines]
    return sorted(found, key=lambda row: row[2] in LAST)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sizes", nargs="+", default=list(SIZES), help="rows×columns of the input")
    parser.add_argument("--models", nargs="+", default=list(MODELS))
    parser.add_argument("--engines", nargs="+", default=list(ENGINES), choices=ENGINES)
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--seconds", type=float, default=5.0, help="time for each figure")
    parser.add_argument(
        "--budget", type=float, default=0.0, help="minutes for all of it; 0 = as long as it takes"
    )
    parser.add_argument("--resume", action="store_true", help="keep the rows of --out that were measured")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("results") / "engine_gpu.json")
    args = parser.parse_args()
    import torch

    if args.device == "cuda" and not torch.cuda.is_available():
        print(
            "no CUDA GPU here: nothing was measured. Run this on the machine whose figures are wanted; "
            "--device cpu tries the script itself.",
            file=sys.stderr,
        )
        return NO_GPU
    kept = json.loads(args.out.read_text())["rows"] if args.resume and args.out.is_file() else []
    rows: list[dict[str, Any]] = [row for row in kept if "p50" in row]
    known = {(row["model"], row["size"], row["engine"]) for row in rows}
    result: dict[str, Any] = {"machine": machine(args.device), "camera": CAMERA, "rows": rows}
    print(
        f"{'model':<14}{'input':>10}  {'engine':<20}{'p50 ms':>9}{'p99 ms':>9}{'fps':>8}{'GPU MiB':>9}"
        f"{'end to end':>12}{'/ engine':>9}"
    )
    deadline = time.monotonic() + 60 * args.budget if args.budget else float("inf")
    with tempfile.TemporaryDirectory() as work:
        for model, size, engine in rows_in_order(args.models, args.sizes, args.engines):
            if (model, size, engine) in known:
                continue
            left = deadline - time.monotonic()
            row = {"failed": "no time left"}
            if left > 0:
                words = [model, engine, size, args.device, str(args.seconds), work]
                row = run_apart(words, min(left, ROW_S))
            rows.append({"model": model, "size": size, "engine": engine, **row})
            print(f"{model:<14}{size:>10}  {engine:<20}" + line(row), flush=True)
            args.out.write_text(json.dumps(result, indent=1) + "\n")
    print("\n".join(aims(rows)))
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
