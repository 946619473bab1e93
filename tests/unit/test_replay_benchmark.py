# SPDX-License-Identifier: Apache-2.0
"""How ``benchmarks/replay.py`` compares a replay with its engine: block by block, in the replay's own session."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks" / "replay_blocks.py"
BLOCK, ALONE = 5, 2


@pytest.fixture
def script() -> Any:
    spec = importlib.util.spec_from_file_location("blocks_of_a_replay", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Machine:
    """An engine whose speed changes as a function of time, and what a replay does between its calls."""

    def __init__(self, script: Any, engine_s: Any, beside_s: float) -> None:
        self.now, self.order, self.rested = 0.0, [], 0
        self.engine_s, self.beside_s = engine_s, beside_s
        self.blocks = script.Blocks(BLOCK, ALONE, clock=lambda: self.now, rest=self._rest)

    def _rest(self, seconds: float) -> None:
        self.rested += 1
        self.now += seconds

    def _run(self) -> str:
        self.now += self.engine_s(self.now)
        return "labels"

    def replay(self, frames: int, *, write: bool = True) -> None:
        for _ in range(frames):
            assert self.blocks.ask(self._run) == "labels"
            self.now += self.beside_s
            self.blocks.finished += write


def test_each_block_is_compared_with_the_engine_before_and_after_it(script: Any) -> None:
    machine = Machine(script, lambda _: 1.0, beside_s=0.1)
    machine.replay(4 * (BLOCK + 1) + 1)
    assert len(machine.blocks.found) == 4
    for block in machine.blocks.found:
        assert block["ms"] == pytest.approx(1100.0)
        assert block["engine_ms"] == pytest.approx([1000.0, 1000.0])
        assert block["overhead"] == pytest.approx(0.1)
        assert block["put_off"] == 0
    assert machine.rested == 5


def test_cores_that_slow_down_steadily_change_little(script: Any) -> None:
    machine = Machine(script, lambda now: 1.0 + 0.002 * now, beside_s=0.0)
    machine.replay(20 * (BLOCK + 1) + 1)
    found = script.summary(machine.blocks.found)
    assert abs(found["median"]) < 0.002
    assert machine.blocks.found[-1]["ms"] > 1.2 * machine.blocks.found[0]["ms"]


def test_work_that_is_put_off_is_found_out(script: Any) -> None:
    machine = Machine(script, lambda _: 1.0, beside_s=0.0)
    machine.replay(3 * (BLOCK + 1) + 1, write=False)
    assert script.summary(machine.blocks.found)["put_off"] == BLOCK


def test_the_worst_block_is_kept(script: Any) -> None:
    found = script.summary([{"overhead": value, "put_off": 0} for value in (0.08, 0.05, 0.23)])
    assert found["median"] == 0.08
    assert (found["best"], found["worst"]) == (0.05, 0.23)
    assert found["mean"] == pytest.approx(0.12)
    assert found["standard_error"] == pytest.approx(0.0557, abs=1e-4)


def test_a_real_replay_is_timed_in_blocks(script: Any, tmp_path: Path) -> None:
    """The benchmark hooks into the engine and the writer by name: it must find them."""
    from offroad_seg.cli.main import main
    from offroad_seg.ontology import load_ontology
    from tests.helpers.bags import write_bag
    from tests.helpers.bundles import make_color_bundle

    ontology = load_ontology("duality_desert")
    make_color_bundle(tmp_path / "bundle", ontology, 60, 96)
    write_bag(tmp_path / "drive.mcap", ontology, frames=3 * (BLOCK + 1), height=60, width=96)
    words = ["replay", str(tmp_path / "bundle"), str(tmp_path / "drive.mcap"), "--out", str(tmp_path / "out")]
    with script.in_blocks(BLOCK, ALONE) as blocks:
        assert main(words) == 0
    assert blocks.finished == 3 * (BLOCK + 1)
    assert len(blocks.found) >= 2
    assert all(block["ms"] > 0 and min(block["engine_ms"]) > 0 for block in blocks.found)
