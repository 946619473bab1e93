# SPDX-License-Identifier: Apache-2.0
"""The builders of TensorRT and TensorRT for RTX, on the real builder of the latter, which needs no GPU.

``tensorrt`` is not installed here; TensorRT for RTX stands in for it: builder, parser and network have one interface.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import pytest

from offroad_seg.bundle import Bundle, write_bundle
from offroad_seg.compile import tensorrt_builder, tensorrt_dynamo, trt_build
from offroad_seg.compile.builder import Builder, BuildTools, find_builder
from offroad_seg.compile.onnx_typed import typed_graph
from offroad_seg.compile.tensorrt_builder import TensorRtBuilder
from offroad_seg.compile.tensorrt_dynamo import DynamoPlan
from offroad_seg.compile.tensorrt_rtx_builder import TensorRtRtxBuilder
from offroad_seg.compile.trt_build import build_plan, timing_cache_file
from offroad_seg.engines.cuda_driver import NO_GPU
from offroad_seg.errors import EngineError, GpuMemoryError, InputError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

trt: Any = pytest.importorskip(
    "tensorrt_rtx", reason="TensorRT for RTX is not installed: pip install tensorrt-rtx"
)
pytest.importorskip("torch", reason="torch is not installed")

from tests.helpers.portable import HEIGHT, WIDTH, make_portable  # noqa: E402

pytestmark = pytest.mark.tensorrt_rtx

GPU = {"name": "Orin", "compute_capability": "8.7", "driver": "540.4.0"}
SHAPE = (1, HEIGHT, WIDTH, 3)


@pytest.fixture(scope="module")
def portable(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return make_portable(tmp_path_factory.mktemp("portable"))[1]


def tools(said: list[str] | None = None, cancelled: Callable[[], bool] = lambda: False) -> BuildTools:
    return BuildTools((lambda _: None) if said is None else said.append, cancelled)


def build(builder: Builder, bundle: Bundle, folder: Path, precision: str = "fp16", **with_tools: Any) -> Any:
    folder.mkdir(exist_ok=True)
    return builder.build(bundle, builder.plan(bundle, precision), folder, tools(**with_tools))


@pytest.fixture
def jetson(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> SimpleNamespace:
    """A machine with a GPU and TensorRT, without torch-tensorrt."""
    gpu = SimpleNamespace(
        name="Orin", describe=lambda: dict(GPU), close=lambda: None,
        driver=SimpleNamespace(memory=lambda: (100 << 20, 7 << 30)),
    )  # fmt: skip
    monkeypatch.setitem(sys.modules, "tensorrt", trt)
    monkeypatch.setattr(tensorrt_builder, "Gpu", lambda: gpu)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setitem(sys.modules, "torch_tensorrt", None)
    monkeypatch.setattr(tensorrt_dynamo, "is_for_rtx", lambda: False)
    return gpu


@pytest.mark.parametrize("precision", ["fp16", "fp32"])
def test_rtx_builds_a_plan_that_shows_its_precision(portable: Bundle, tmp_path: Path, precision: str) -> None:
    said: list[str] = []
    builder = TensorRtRtxBuilder()
    plan = builder.plan(portable, precision)
    assert plan.versions == {"tensorrt-rtx": trt.__version__}
    built = build(builder, portable, tmp_path / "out", precision, said=said)
    assert list(built.files) == ["model.plan"]
    assert built.gpu is None
    proof = built.source["engine"]["precision"]
    count = proof["weight_count"]
    kind = "half" if precision == "fp16" else "float"
    assert proof["constants"][kind] >= 0.99 * count
    assert set(proof["heavy"]) == {kind}
    assert proof["weights_bytes"] == pytest.approx((2 if precision == "fp16" else 4) * count, rel=0.2)
    assert built.files["model.plan"].stat().st_size == proof["plan_bytes"]
    # What is shown while it builds.
    assert said[0] == "reading the graph"
    assert any(" of " in text for text in said)


@pytest.mark.usefixtures("jetson")
def test_tensorrt_by_way_of_onnx(portable: Bundle, tmp_path: Path) -> None:
    builder = find_builder("tensorrt")
    plan = builder.plan(portable, "fp16")
    assert plan.bound_to == {**GPU, "route": "auto"}
    assert plan.device == "Orin (compute capability 8.7)"
    assert "onnx route" in plan.notes[0]
    built = build(builder, portable, tmp_path / "out")
    assert built.gpu == GPU
    assert built.source["engine"]["route"] == "onnx"
    cache = timing_cache_file("Orin", trt.__version__)
    assert cache.is_file()
    assert tmp_path / "cache" in cache.parents
    # A damaged cache is no obstacle.
    cache.write_bytes(b"damaged")
    build(builder, portable, tmp_path / "again")
    assert cache.read_bytes() != b"damaged"


def with_dynamo(monkeypatch: pytest.MonkeyPatch, answer: Callable[..., DynamoPlan]) -> None:
    monkeypatch.setattr(
        tensorrt_builder, "dynamo_versions", lambda: {"torch": "2.8.0", "torch_tensorrt": "2.8.0"}
    )
    monkeypatch.setattr(tensorrt_builder, "convert_program", answer)
    monkeypatch.setattr(tensorrt_builder, "inspected", lambda *_: trt_build.read_layers(""))


@pytest.mark.usefixtures("jetson")
def test_torch_tensorrt_goes_first_where_it_is_installed(
    portable: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_dynamo(monkeypatch, lambda *_, **__: DynamoPlan(b"plan", 1000, 2000))
    plan = TensorRtBuilder().plan(portable, "fp16")
    assert plan.versions == {"tensorrt": trt.__version__, "torch": "2.8.0", "torch_tensorrt": "2.8.0"}
    built = build(TensorRtBuilder(), portable, tmp_path / "out")
    assert built.files["model.plan"].read_bytes() == b"plan"
    assert built.source["engine"]["route"] == "torch-tensorrt"
    assert TensorRtBuilder("onnx").plan(portable, "fp16").versions == {"tensorrt": trt.__version__}


def raise_error(error: Exception) -> Callable[..., DynamoPlan]:
    def answer(*_: Any, **__: Any) -> DynamoPlan:
        raise error

    return answer


@pytest.mark.usefixtures("jetson")
@pytest.mark.parametrize(
    "answer",
    [
        raise_error(EngineError("torch 2.8.0 cannot load the program: schema version 9")),
        lambda *_, **__: DynamoPlan(b"plan", 1000, 4000),  # silent fp32
    ],
)
def test_where_torch_tensorrt_fails_the_onnx_route_is_taken(
    portable: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: Callable[..., DynamoPlan]
) -> None:
    with_dynamo(monkeypatch, answer)
    record = build(TensorRtBuilder(), portable, tmp_path / "out").source["engine"]
    assert record["route"] == "onnx"
    assert record["passed_over"]["torch-tensorrt"].startswith(
        ("torch 2.8.0 cannot load", "the engine is not fp16")
    )
    with pytest.raises(EngineError, match="cannot load the program|is not fp16"):
        build(TensorRtBuilder("torch-tensorrt"), portable, tmp_path / "asked")
    assert list((tmp_path / "asked").iterdir()) == []


@pytest.mark.usefixtures("jetson")
def test_memory_that_ran_out_is_no_reason_to_try_again(
    portable: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_dynamo(monkeypatch, raise_error(GpuMemoryError("no room")))
    with pytest.raises(GpuMemoryError):
        build(TensorRtBuilder(), portable, tmp_path / "out")


@pytest.mark.usefixtures("jetson")
def test_plans_that_cannot_be_made(portable: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    for builder in (TensorRtBuilder(), TensorRtRtxBuilder()):
        with pytest.raises(InputError, match="fp32 or fp16, not int8"):
            builder.plan(portable, "int8")
    with pytest.raises(InputError, match="no route 'magic'"):
        find_builder("tensorrt", "magic")
    with pytest.raises(InputError, match="one way only to build for tensorrt-rtx"):
        find_builder("tensorrt-rtx", "onnx")
    assert find_builder("tensorrt", "onnx").plan(portable, "fp16").bound_to["route"] == "onnx"
    with pytest.raises(EngineError, match="torch-tensorrt cannot be imported") as caught:
        TensorRtBuilder("torch-tensorrt").plan(portable, "fp16")
    assert "--route onnx" in caught.value.mend
    with monkeypatch.context() as rtx:
        rtx.setattr(tensorrt_dynamo, "is_for_rtx", lambda: True)
        with pytest.raises(EngineError, match="torch-tensorrt-rtx is installed in the place") as caught:
            TensorRtBuilder("torch-tensorrt").plan(portable, "fp16")
        assert "pip uninstall torch-tensorrt-rtx" in caught.value.mend
        assert TensorRtBuilder().plan(portable, "fp16").notes[0] == "built by the onnx route"
    monkeypatch.setattr(
        tensorrt_builder, "Gpu", lambda: (_ for _ in ()).throw(EngineError("no GPU", mend=NO_GPU))
    )
    with pytest.raises(EngineError, match="no GPU"):
        TensorRtBuilder().plan(portable, "fp16")
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    with pytest.raises(EngineError, match="TensorRT is not installed") as caught:
        TensorRtBuilder().plan(portable, "fp16")
    assert "JetPack" in caught.value.mend
    monkeypatch.setitem(sys.modules, "tensorrt_rtx", None)
    with pytest.raises(EngineError, match="TensorRT for RTX is not installed"):
        TensorRtRtxBuilder().plan(portable, "fp16")


def changed(portable: Bundle, folder: Path, change: Callable[[onnx.ModelProto], None]) -> Bundle:
    model = onnx.load(portable.file("model.onnx"))
    change(model)
    return write_bundle(folder, portable.manifest, {"model.onnx": model.SerializeToString()})


def test_operator_that_is_not_supported_is_named(portable: Bundle, tmp_path: Path) -> None:
    def change(model: onnx.ModelProto) -> None:
        relu = next(n for n in model.graph.node if n.op_type == "Relu")
        relu.op_type, relu.name = "Bernoulli", "dice"

    bundle = changed(portable, tmp_path / "bundle", change)
    with pytest.raises(
        EngineError, match=r"node 'dice' \(Bernoulli\): this operator is not supported"
    ) as caught:
        build(TensorRtRtxBuilder(), bundle, tmp_path / "out")
    assert "onnxruntime" in caught.value.mend
    assert list((tmp_path / "out").iterdir()) == []


def test_interrupting_ends_the_build_and_leaves_nothing(portable: Bundle, tmp_path: Path) -> None:
    said: list[str] = []
    with pytest.raises(KeyboardInterrupt):
        build(TensorRtRtxBuilder(), portable, tmp_path / "out", said=said, cancelled=lambda: len(said) > 10)
    assert 10 < len(said) < 60
    assert list((tmp_path / "out").iterdir()) == []


def test_fp16_that_is_not_in_the_network_is_found_before_it_is_built(portable: Bundle) -> None:
    graph = typed_graph(portable.file("model.onnx").read_bytes(), "fp32")
    lying = replace(graph, precision="fp16")
    said: list[str] = []
    with pytest.raises(EngineError, match="24 of 24 convolutions and matrix products would run in fp32"):
        build_plan(trt, lying, SHAPE, tools(said), called="TensorRT", where="x")
    assert "choosing kernels" not in said


def test_inputs_and_outputs_are_held_against_the_bundle(portable: Bundle) -> None:
    graph = typed_graph(portable.file("model.onnx").read_bytes(), "fp16")
    with pytest.raises(EngineError, match=r"not what the bundle says: image UINT8 \[1, 67, 119, 3\]"):
        build_plan(trt, graph, (1, 68, 119, 3), tools(), called="TensorRT", where="x")


class Refusing:
    """A run time whose builder fails, as one without memory does."""

    def __init__(self, *messages: str) -> None:
        self._messages = messages

    def __getattr__(self, name: str) -> Any:
        return getattr(trt, name)

    def Builder(self, logger: Any) -> Any:
        real = trt.Builder(logger)

        def serialize(*_: Any) -> None:
            for message in self._messages:
                logger.log(trt.ILogger.Severity.ERROR, message)

        return SimpleNamespace(
            create_network=real.create_network,
            create_builder_config=real.create_builder_config,
            build_serialized_network=serialize,
        )


def test_memory_that_ran_out_tells_how_much(portable: Bundle) -> None:
    graph = typed_graph(portable.file("model.onnx").read_bytes(), "fp16")
    short: Any = Refusing("Error Code 2: OutOfMemory (Requested size was 4294967296 bytes.)")
    with pytest.raises(GpuMemoryError, match="4096 MiB were asked for, 100 MiB of 7168 MiB are free"):
        build_plan(
            short,
            graph,
            SHAPE,
            tools(),
            called="TensorRT",
            where="x",
            free_memory=lambda: (100 << 20, 7 << 30),
        )
    broken: Any = Refusing("Error Code 10: Internal Error (Could not find any implementation for node conv.)")
    with pytest.raises(EngineError, match="Could not find any implementation for node conv"):
        build_plan(broken, graph, SHAPE, tools(), called="TensorRT", where="x")


def test_same_graph_gives_a_plan_of_the_same_size(portable: Bundle) -> None:
    """What differs between two builds are times and addresses, not what was built."""
    graph = typed_graph(portable.file("model.onnx").read_bytes(), "fp16")
    sizes = [len(build_plan(trt, graph, SHAPE, tools(), called="TensorRT", where="x").plan) for _ in range(2)]
    assert np.ptp(sizes) <= 0.01 * sizes[0]
