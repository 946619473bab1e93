# SPDX-License-Identifier: Apache-2.0
"""Which of ONNX Runtime's providers is asked for, and which is found to run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import onnxruntime as ort
import pytest

from offroad_seg.engines.onnxruntime import OnnxRuntimeEngine
from offroad_seg.engines.ort_providers import (
    CPU,
    CUDA,
    RECORD_ASSIGNMENT,
    TENSORRT,
    assigned_nodes,
    check_assignment,
    choose_providers,
)
from offroad_seg.engines.registry import load_engine
from offroad_seg.errors import EngineError, InputError
from offroad_seg.ontology import load_ontology
from tests.helpers.bundles import color_model, make_color_bundle

if TYPE_CHECKING:
    from collections.abc import Sequence

ALL = [TENSORRT, CUDA, CPU]
DESERT = load_ontology("duality_desert")


@pytest.mark.parametrize(
    ("device", "available", "names"),
    [
        ("cpu", ALL, [CPU]),
        ("auto", [CPU], [CPU]),
        ("auto", ALL, [CUDA, CPU]),  # never TensorRT, which would build for minutes
        ("cuda", ALL, [CUDA, CPU]),
        ("tensorrt", ALL, ALL),
    ],
)
def test_choice(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, device: str, available: list[str], names: list[str]
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    chosen = choose_providers(device, available, "1.31.1", "abc")
    assert [p if isinstance(p, str) else p[0] for p in chosen] == names
    options = {p[0]: p[1] for p in chosen if not isinstance(p, str)}
    if CUDA in names:
        assert options[CUDA] == {"use_tf32": "0"}
    if TENSORRT in names:
        cache = Path(options[TENSORRT]["trt_engine_cache_path"])
        assert cache.is_dir()
        assert tmp_path in cache.parents


def test_old_versions_know_no_tf32() -> None:
    assert choose_providers("cuda", ALL, "1.16.3", "abc") == [CUDA, CPU]


@pytest.mark.parametrize(("device", "name"), [("cuda", "CUDA"), ("tensorrt", "Tensorrt")])
def test_what_was_not_built_in_is_refused(device: str, name: str) -> None:
    with pytest.raises(EngineError, match=f"this ONNX Runtime has no {name}") as caught:
        choose_providers(device, [CPU], "1.31.1", "abc")
    assert "onnxruntime-gpu" in caught.value.mend


def test_nodes_are_told_by_provider() -> None:
    if not hasattr(ort.InferenceSession, "get_provider_graph_assignment_info"):
        pytest.skip("this ONNX Runtime does not tell which provider runs which node")
    options = ort.SessionOptions()
    options.add_session_config_entry(*RECORD_ASSIGNMENT)
    session = ort.InferenceSession(color_model(DESERT, 18, 32), options, providers=[CPU])
    found = assigned_nodes(session)
    assert found is not None
    assert list(found) == [CPU]
    assert any("Gemm" in op or "MatMul" in op for op in found[CPU])


class Old:
    """A session that does not tell."""


def test_older_versions_do_not_tell() -> None:
    assert assigned_nodes(Old()) is None


@pytest.mark.parametrize(
    ("wanted", "started", "assigned", "running", "problem"),
    [
        (CPU, [CPU], {CPU: ["Conv"]}, (CPU,), ""),
        (CUDA, [CUDA, CPU], {CUDA: ["Conv", "Relu"], CPU: ["Shape"]}, (CUDA, CPU), ""),
        (CUDA, [CUDA, CPU], {CPU: ["Shape"] * 9, CUDA: ["FusedConv"]}, (CUDA, CPU), ""),
        (CUDA, [CUDA, CPU], None, (CUDA, CPU), ""),
        (CUDA, [CPU], {CPU: ["Conv"]}, (CPU,), "could not start CUDA"),
        (TENSORRT, [CUDA, CPU], {CUDA: ["Conv"]}, (CUDA,), "could not start Tensorrt"),
        (
            CUDA, [CUDA, CPU], {CUDA: ["Conv"], CPU: ["ConvTranspose", "MatMul", "Cast"]}, (CPU, CUDA),
            "2 of 3 convolutions and matrix products would run on the CPU",
        ),
    ],
)  # fmt: skip
def test_fallback_is_an_error_where_the_provider_was_asked_for(
    wanted: str, started: Sequence[str], assigned: Any, running: tuple[str, ...], problem: str
) -> None:
    found, warning = check_assignment(wanted, started, assigned, asked=False)
    assert found == running
    assert problem in warning
    if not problem:
        assert check_assignment(wanted, started, assigned, asked=True) == (running, "")
        return
    with pytest.raises(EngineError, match=problem) as caught:
        check_assignment(wanted, started, assigned, asked=True)
    assert "device cpu" in caught.value.mend


class Silent:
    """A session that was asked for CUDA and runs on the CPU: what ONNX Runtime makes where cuDNN is missing."""

    def __init__(self, model: str, options: Any, providers: list[Any]) -> None:
        self._session = _REAL(model, options, providers=[CPU])

    def __getattr__(self, name: str) -> Any:
        return getattr(self._session, name)


_REAL = ort.InferenceSession


def test_silent_fallback_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    bundle = make_color_bundle(tmp_path / "bundle", DESERT, 18, 32)
    monkeypatch.setattr(ort, "get_available_providers", lambda: [CUDA, CPU])
    monkeypatch.setattr(ort, "InferenceSession", Silent)
    with pytest.raises(EngineError, match="could not start CUDAExecutionProvider and would run on CPU"):
        OnnxRuntimeEngine(bundle, device="cuda")
    engine = OnnxRuntimeEngine(bundle, device="auto")
    assert (engine.info.device, engine.info.providers) == ("cpu", (CPU,))
    assert "could not start CUDA" in caplog.text


def test_tensorrt_is_a_device_of_onnx_runtime_alone(tmp_path: Path) -> None:
    bundle = make_color_bundle(tmp_path / "bundle", DESERT, 18, 32)
    with pytest.raises(InputError, match="there is no device 'npu'"):
        load_engine(bundle, device="npu")
    if TENSORRT not in ort.get_available_providers():
        with pytest.raises(EngineError, match="has no Tensorrt"):
            load_engine(bundle, device="tensorrt")
