# SPDX-License-Identifier: Apache-2.0
"""What ``benchmarks/engine_gpu.py`` says of its aims, and in which order it measures."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    for name in ("engine_gpu", "engine_gpu_row"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    import engine_gpu

    return engine_gpu


def row(engine: str, p50: float, size: str = "544x960", of_engine: float | None = None) -> dict[str, Any]:
    found: dict[str, Any] = {"model": "desert", "size": size, "engine": engine, "p50": p50}
    return found if of_engine is None else {**found, "end_to_end": {"of_engine": of_engine}}


def test_aims(script: Any) -> None:
    rows = [
        row("eager fp16", 6.0),
        row("tensorrt fp16", 1.5, of_engine=1.3),
        row("torch.compile fp16", 3.0),
        {"model": "desert", "size": "544x960", "engine": "tensorrt-rtx fp16", "failed": "not installed"},
        row("eager fp16", 2.0, "266x476"),
        row("tensorrt fp16", 1.0, "266x476", of_engine=1.2),
    ]
    assert script.aims(rows) == [
        "desert 544x960 tensorrt fp16: 4.00 × eager fp16 (aim 3, met)",
        "desert 544x960 tensorrt fp16: end to end 1.30 × engine (aim 1.25, missed)",
        "desert 544x960 tensorrt fp16: 667 fps (aim 587, met), batch 1, one by one",
        "desert 266x476 tensorrt fp16: 2.00 × eager fp16 (aim 3, missed)",
        "desert 266x476 tensorrt fp16: end to end 1.20 × engine (aim 1.25, met)",
    ]
    assert script.aims([]) == []


def test_what_matters_is_measured_first(script: Any) -> None:
    found = script.rows_in_order(script.MODELS, script.SIZES, script.ENGINES)
    assert len(found) == len(set(found)) == 3 * 3 * 7
    assert {model for model, _, _ in found} == {"resnet50_fpn", "desert", "desert_small"}
    assert {size for _, size, _ in found} == {"266x476", "544x960", "720x1280"}
    assert found[0][1:] == ("544x960", "eager fp16")
    # What takes a minute to make comes after all that does not.
    assert all(engine in script.LAST for _, _, engine in found[-18:])
