# SPDX-License-Identifier: Apache-2.0
"""What ``doctor`` really tries, each in a process of its own: a broken library must not take the doctor with it.

Run as ``python -m offroad_seg.cli.doctor_probes NAME``; the last line of the output is a JSON object.
"""

from __future__ import annotations

import base64
import json
import subprocess
import sys
import tempfile
import zlib
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from offroad_seg.bundle import Bundle

TIMEOUT_S = 120.0

# A whole network of 720 bytes under the graph contract, 4 × 6 pixels: class 0 is black, class 1 is white.
_MODEL = (
    "eNp1UsFOwkAQbUtbllEDbohpDEbswZhe8eTBgMQLCRe8eTHbdsGNpSXdJeJJP8XEX9F/8D/8AJ1CSxrATSa7O/vezJuZJeTqy4I2WGLKJpza"
    "M7HgkXTNPpPKq4GhEkd/1w04g/wJ7GcuJo+KVmdpEs4D5dpDpobzCFpQuMD0BZPUjpKJUNKt9MIQriG/UkvEIV+4di+dDNnCa4LJFkI6v8XK"
    "8nl1IE+cz0IxlY6WCcgkZjyMyvxNiUaGuFxn2EMdPvNFJNSLW71Lxmr6XyK4hTKamj6Xyq2NONbB1/K47JZZ1W15x7BkgiUDFmEfl1voVrLG"
    "OJBfaTVN5lhE6Fqj7ADnUHgoBEk8FiGPA75dWn8VndannMUPJSTkQtHtHeRK9a6xSyI9iDlLMQryoyT1LkiFGA39Jp/nwNFwdTof3c3day5x"
    "y5kOCDrftO+fT6+OvlW1A1PTXvv3p8UnOgJk0AYYREcz0Wy0it+CfHaUQgMR+2WE34ZSC3YiTmCzfgpAiE6zZxQIWuPwDwYsxrc="
)
_HEIGHT, _WIDTH = 4, 6


def probe(name: str) -> dict[str, Any]:
    """Run a probe in a child process; ``{"error": …}`` where it fails, whatever the way."""
    command = [sys.executable, "-m", "offroad_seg.cli.doctor_probes", name]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired:
        return {"error": f"no answer within {TIMEOUT_S:.0f} s"}
    lines = done.stdout.strip().splitlines()
    try:
        answer = json.loads(lines[-1]) if lines else None
    except json.JSONDecodeError:
        answer = None
    if isinstance(answer, dict):
        return answer
    said = done.stderr.strip().splitlines()
    return {"error": f"ended with status {done.returncode}: {said[-1] if said else 'without a word'}"}


def _bundle(folder: Path, files: dict[str, Path | bytes], backend: str) -> Bundle:
    from offroad_seg.bundle import write_bundle
    from offroad_seg.image import IMAGENET_MEAN, IMAGENET_STD, PAD_VALUE
    from offroad_seg.manifest import PORTABLE, Manifest

    names = (("black", 0, [0, 0, 0]), ("white", 1, [255, 255, 255]))
    ontology = {
        "name": "doctor",
        "classes": [{"name": name, "color": color, "raw": [raw], "cost": raw} for name, raw, color in names],
    }
    manifest = Manifest(
        name="doctor",
        ontology=ontology,
        input_height=_HEIGHT,
        input_width=_WIDTH,
        mean=IMAGENET_MEAN,
        std=IMAGENET_STD,
        pad_value=PAD_VALUE,
        precision="fp32",
        backend=PORTABLE,
        backends=(backend,),
    )
    return write_bundle(folder / "bundle", manifest, files)


def _try_engine(bundle: Bundle, backend: str) -> dict[str, Any]:
    import numpy as np

    from offroad_seg.engines.registry import load_engine

    engine = load_engine(bundle, backend)
    image = np.zeros((1, _HEIGHT, _WIDTH, 3), np.uint8)
    image[:, :, 2:] = 255
    labels = engine.infer(image).labels_BHW
    expected = np.zeros((1, _HEIGHT, _WIDTH), np.uint8)
    expected[:, :, 2:] = 1
    info = engine.info
    answer = {"version": info.version, "device": info.device, "providers": " ".join(info.providers)}
    if not np.array_equal(labels, expected):
        answer["error"] = "it labels a black and white picture wrongly"
    engine.close()
    return answer


def _onnxruntime(folder: Path) -> dict[str, Any]:
    model = zlib.decompress(base64.b64decode(_MODEL))
    return _try_engine(_bundle(folder, {"model.onnx": model}, "onnxruntime"), "onnxruntime")


def _torch(_folder: Path) -> dict[str, Any]:
    # The runtime imports torch in its engine only, which wants a program that only torch can write: here a
    # convolution on each device shows whether the installation and its CUDA work.
    torch = import_module("torch")
    devices = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
    for device in devices:
        image = torch.ones(1, 3, _HEIGHT, _WIDTH, device=device)
        weight = torch.full((1, 3, 3, 3), 0.5, device=device)
        if abs(float(torch.nn.functional.conv2d(image, weight).mean()) - 13.5) > 1e-3:
            return {"version": torch.__version__, "error": f"a convolution on {device} gives wrong numbers"}
    built_for = torch.version.cuda
    gpu = torch.cuda.get_device_name() if len(devices) > 1 else ""
    return {"version": torch.__version__, "device": ", ".join(devices), "cuda": built_for or "", "gpu": gpu}


def _ros(_folder: Path) -> dict[str, Any]:
    from offroad_seg.ros.dds import use_large_image_profile
    from offroad_seg.ros.probe import image_round_trip
    from offroad_seg.ros.replay_node import own_domain

    profile = use_large_image_profile()
    with own_domain() as domain:
        return {**image_round_trip(domain), "profile": profile}


PROBES: dict[str, Callable[[Path], dict[str, Any]]] = {
    "onnxruntime": _onnxruntime,
    "torch": _torch,
    "ros": _ros,
}


def main(name: str) -> int:
    """Run one probe in this process and print its answer."""
    with tempfile.TemporaryDirectory(prefix="offroad_seg_doctor_") as folder:
        try:
            answer = PROBES[name](Path(folder))
        except Exception as error:  # noqa: BLE001 – whatever is broken here is what the doctor looks for
            answer = {"error": " ".join(f"{type(error).__name__}: {error}".split())}
    print(json.dumps(answer))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
