# SPDX-License-Identifier: Apache-2.0
"""How ``benchmarks/replay.py`` compares: always two runs beside each other, the other way round every other time."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks" / "replay.py"


@pytest.fixture
def script() -> Any:
    pytest.importorskip("embreex", reason="embreex is not installed")
    spec = importlib.util.spec_from_file_location("benchmark_of_replay", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_only_the_two_of_a_pair_are_compared(script: Any, capsys: pytest.CaptureFixture[str]) -> None:
    # Cores that are twice as slow from the second pair on: the overhead of each pair is the same all the same.
    seconds, order = [9.0, 9.0, 1.0, 1.1, 2.2, 2.0, 2.0, 2.2], []

    def engine() -> float:
        order.append("engine")
        return seconds[len(order) - 1]

    def replay() -> float:
        order.append("replay")
        return seconds[len(order) - 1]

    pairs = script._in_turn(engine, replay, 10, 3)
    assert order == ["replay", "engine", "engine", "replay", "replay", "engine", "engine", "replay"]
    assert [pair["first"] for pair in pairs] == ["engine", "replay", "engine"]
    assert [pair["overhead"] for pair in pairs] == pytest.approx([0.1, 0.1, 0.1])
    assert [pair["engine_ms"] for pair in pairs] == pytest.approx([100.0, 200.0, 200.0])
    assert "does not count" in capsys.readouterr().out.splitlines()[0]


def test_the_worst_pair_is_kept(script: Any) -> None:
    found = script._spread([{"overhead": 0.08}, {"overhead": 0.05}, {"overhead": 0.23}])
    assert found == {"median": 0.08, "best": 0.05, "worst": 0.23}
