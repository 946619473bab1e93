# SPDX-License-Identifier: Apache-2.0
"""torch-tensorrt for real, on a machine without a GPU.

``torch-tensorrt-rtx`` is the same Python code over TensorRT for RTX, whose builder needs no GPU: lowering, converters, the
builder, its log and its monitor are the real ones. In a process of its own three things are answered in the GPU's place:
what it is called, where weights lie, and the loading of a plan that was built, which torch-tensorrt does only to get its
bytes again. Plans are not run.
"""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import types
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

_WITHOUT_OOD = 5  # inputs and outputs of a plan


def reason_missing() -> str:
    """Why it cannot be had here; empty where it can."""
    missing = [name for name in ("torch_tensorrt", "tensorrt_rtx") if find_spec(name) is None]
    return f"{' and '.join(missing)} not installed: pip install -r requirements/dev.txt" if missing else ""


class Converter:
    """The other process. It imports torch-tensorrt once, which takes most of ten seconds."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.helpers.torch_tensorrt"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def __call__(self, program: Path, precision: str = "fp16", **request: Any) -> dict[str, Any]:
        """Convert a program, or build a bundle, and tell what came out."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        request |= {"program": str(program), "precision": precision}
        self._process.stdin.write(json.dumps(request, default=str) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        assert line, f"the process ended with {self._process.wait()}"
        answer: dict[str, Any] = json.loads(line)
        return answer

    def close(self) -> None:
        """End the process."""
        self._process.communicate()


@pytest.fixture(scope="session")
def converter() -> Any:
    """``Converter``, or a skip with the reason."""
    if reason := reason_missing():
        pytest.skip(reason)
    started = Converter()
    yield started
    started.close()


def _stand_in_for_the_gpu(networks: list[dict[str, Any]]) -> Any:
    import tensorrt_rtx as trt
    import torch
    import torch.export.passes

    gpu = SimpleNamespace(major=8, minor=7, name="none", total_memory=1 << 34, multi_processor_count=16)
    torch.cuda.get_device_capability = lambda _=None: (8, 7)
    torch.cuda.get_device_properties = lambda _=None: gpu
    torch.cuda.mem_get_info = lambda _=None: (1 << 33, 1 << 34)
    torch.cuda.current_device = lambda: 0
    torch.export.passes.move_to_device_pass = lambda program, _: program

    class Builder(trt.Builder):
        def build_serialized_network(self, network: Any, config: Any) -> Any:
            tensors = [network.get_input(i) for i in range(network.num_inputs)]
            networks.append({t.name: ("in", t.dtype, tuple(t.shape)) for t in tensors})
            tensors = [network.get_output(i) for i in range(network.num_outputs)]
            networks[-1].update({t.name: ("out", t.dtype, tuple(t.shape)) for t in tensors})
            return super().build_serialized_network(network, config)

    def loaded(plan: Any) -> Any:
        return plan and SimpleNamespace(serialize=lambda: plan)

    trt.Builder = Builder
    trt.Runtime = lambda _: SimpleNamespace(deserialize_cuda_engine=loaded)
    # torch-tensorrt 2.11 was made for 1.3 and newer; since 1.5 types are those of the network and cannot be set.
    trt.IAlgorithmSelector = getattr(trt, "IAlgorithmSelector", object)
    typed = trt.ITensor.__dict__["dtype"]
    if typed.fset is None:

        def keep(tensor: Any, kind: Any) -> None:
            if typed.fget(tensor) != kind:
                raise TypeError(f"{tensor.name} is {typed.fget(tensor)}, not {kind}")

        trt.ITensor.dtype = property(typed.fget, keep)
    if find_spec("tensorrt_rtx_bindings.plugin") is None:
        sys.modules["tensorrt_rtx_bindings.plugin"] = types.ModuleType("plugin")
    return trt


def _bindings(trt: Any, network: dict[str, Any]) -> dict[str, Any]:
    """What the vehicle's engine would make of the plan's inputs and outputs."""
    from offroad_seg.engines.trt_plan import read_tensors

    names = list(network)
    engine = SimpleNamespace(
        num_io_tensors=len(names),
        get_tensor_name=lambda i: names[i],
        get_tensor_mode=lambda name: (
            trt.TensorIOMode.INPUT if network[name][0] == "in" else trt.TensorIOMode.OUTPUT
        ),
        get_tensor_dtype=lambda name: network[name][1],
        get_tensor_shape=lambda name: network[name][2],
    )
    _, height, width, _ = network[names[0]][2]
    ood = {} if len(names) > _WITHOUT_OOD else None
    manifest = SimpleNamespace(input_height=height, input_width=width, ood=ood)
    bundle: Any = SimpleNamespace(manifest=manifest, path=Path("bundle"))
    return {n: [t.name, t.dtype.name, list(t.shape)] for n, t in read_tensors(trt, engine, bundle).items()}


def _answer(trt: Any, networks: list[dict[str, Any]], request: dict[str, Any]) -> dict[str, Any]:
    from offroad_seg.bundle import Bundle
    from offroad_seg.compile import tensorrt_builder, tensorrt_dynamo
    from offroad_seg.compile.builder import BuildTools
    from offroad_seg.engines.trt_precision import assert_precision

    said: list[str] = []
    limit = request.get("cancel_after", 1 << 30)
    tools = BuildTools(said.append, lambda: len(said) > limit)
    precision = request["precision"]
    tensorrt_dynamo.is_for_rtx = lambda: False
    if "out" in request:
        named = {"name": "none", "compute_capability": "8.7", "driver": "0"}
        tensorrt_builder.Gpu = lambda: SimpleNamespace(
            name="none",
            describe=lambda: named,
            close=lambda: None,
            driver=SimpleNamespace(memory=lambda: None),
        )
        bundle = Bundle.load(Path(request["program"]))
        builder = tensorrt_builder.TensorRtBuilder("torch-tensorrt")
        plan = builder.plan(bundle, precision)
        built = builder.build(bundle, plan, Path(request["out"]), tools)
        return {"versions": plan.versions, "notes": plan.notes, "source": built.source, "said": said}
    cache = Path(request["timing_cache"])
    made = tensorrt_dynamo.convert_program(Path(request["program"]), precision, cache, tools)
    proof = assert_precision(
        precision,
        plan_bytes=len(made.plan),
        weight_count=made.weight_count,
        weights_bytes=made.weights_bytes,
        layers=made.layers,
    )
    network = networks[-1]
    uint8 = next(iter(network.values()))[1] == trt.uint8 and next(iter(network.values()))[2][-1] == 3
    return {
        "proof": proof.to_dict(),
        "network": {n: (mode, kind.name, shape) for n, (mode, kind, shape) in network.items()},
        "bindings": _bindings(trt, network) if uint8 else None,
        "said": said,
    }


def _serve() -> None:
    answers = sys.stdout
    sys.stdout = sys.stderr  # torch-tensorrt prints
    logging.disable(logging.NOTSET)
    networks: list[dict[str, Any]] = []
    trt = _stand_in_for_the_gpu(networks)
    sys.modules["tensorrt"] = trt
    from offroad_seg.errors import OffroadSegError

    for line in sys.stdin:
        try:
            answer = _answer(trt, networks, json.loads(line))
        except OffroadSegError as error:
            answer = {"error": type(error).__name__, "what": error.what, "mend": error.mend}
        except (Exception, KeyboardInterrupt) as error:
            answer = {"error": type(error).__name__, "what": str(error), "mend": ""}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


if __name__ == "__main__":
    _serve()
