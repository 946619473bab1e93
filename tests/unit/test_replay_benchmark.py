# SPDX-License-Identifier: Apache-2.0
"""How ``benchmarks/replay.py`` compares: each run with those of the engine directly before and after it."""

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


def test_a_run_is_compared_with_its_two_neighbours(script: Any, capsys: pytest.CaptureFixture[str]) -> None:
    # Cores that slow down steadily: by each run's neighbours the overhead is the same all the same.
    speeds, order = iter([1.0, 9.0, 1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0]), []

    def engine() -> float:
        order.append("engine")
        return next(speeds)

    def replay() -> float:
        order.append("replay")
        return 1.1 * next(speeds)

    runs = script._in_turn(engine, replay, 10, 3)
    assert order == ["engine", "replay"] * 4 + ["engine"]
    assert [run["ms"] for run in runs] == pytest.approx([165.0, 275.0, 385.0])
    assert [run["engine_ms"] for run in runs] == [[100.0, 200.0], [200.0, 300.0], [300.0, 400.0]]
    assert [run["overhead"] for run in runs] == pytest.approx([0.1, 0.1, 0.1])
    assert "does not count" in capsys.readouterr().out.splitlines()[0]


def test_the_worst_run_is_kept(script: Any) -> None:
    found = script._spread([{"overhead": 0.08}, {"overhead": 0.05}, {"overhead": 0.23}])
    assert found == {"median": 0.08, "best": 0.05, "worst": 0.23}
