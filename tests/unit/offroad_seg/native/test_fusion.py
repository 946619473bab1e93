# SPDX-License-Identifier: Apache-2.0
"""Kernels for the costmap do what numpy does, to the last bit."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from offroad_seg.mapping.evidence import CellEvidence, Rules
from offroad_seg.mapping.grid import GridSize
from offroad_seg.mapping.rolling import RollingCostmap
from offroad_seg.native import fusion, library
from offroad_seg.ontology import load_ontology
from offroad_seg.transforms import Transform
from offroad_seg.types import GridObservation, GridSpec
from tests.helpers.native import kernels, twins

ONTOLOGY = load_ontology("duality_desert")
S = 1_000_000_000


def state(costmap: RollingCostmap) -> list[np.ndarray]:
    cells = costmap._cells
    return [a.copy() for a in (cells._evidence_NC, cells._sums_4N, cells._cost_N, cells._source_N)]


def drive(seed: int, looks: int, size: GridSize, reach: float, **options) -> list[np.ndarray]:
    """Everything that a map says and holds on a random drive with random looks, some of which are no looks at all."""
    rng = np.random.default_rng(seed)
    costmap = RollingCostmap(ONTOLOGY, size, **options)
    out, x, y = [], 0.0, 0.0
    for k in range(looks):
        x, y = x + reach * rng.normal(), y + reach * rng.normal()
        width, height = rng.integers(1, 40, 2)
        left, bottom = np.round([x / size.resolution, y / size.resolution]) - rng.integers(0, 40, 2)
        grid = GridSpec(
            int(width), int(height), size.resolution, left * size.resolution, bottom * size.resolution
        )
        evidence = rng.random((height, width), np.float32)
        evidence[rng.random(evidence.shape) < 0.5] = 0.0
        odd = np.array([np.nan, np.inf, -np.inf, -1.0, 1e-45, 3e38, 1.5], np.float32)
        wild = rng.random(evidence.shape) < 0.05
        evidence[wild] = rng.choice(odd, int(wild.sum()))
        labels = rng.integers(0, 256 if k % 2 else 12, evidence.shape, dtype=np.uint8)
        confidence = rng.integers(0, 256, evidence.shape, dtype=np.uint8) if k % 3 else None
        look = GridObservation(labels, evidence, grid, k * S // 3, confidence)
        pose = Transform.from_rpy(0, 0, 0.1, (x, y, 0.0)) if rng.random() < 0.8 else None
        out.append(costmap.update(look, pose, source=str(k % 2)).cost_HW)
        if k == 3:
            costmap.set_class_cost("Rocks", 7)
        if k == 5:
            costmap.set_sure_confidence(0.9)
            costmap.forget("1")
        out += [costmap.costmap().cost_HW, *state(costmap)]
    return out


@pytest.mark.parametrize("shape", [(1, 256), (16, 16), (3, 83), (1, 1)])
def test_raw_costs_twin_what_nav2_makes_of_them(shape):
    """Every number that a byte can be, by Nav2's own arithmetic; rows that lie apart are left to the caller."""
    if not library.enabled():
        pytest.skip(library.find()[1])
    cost = np.arange(-128, 128).astype(np.int8)[: shape[0] * shape[1]].reshape(shape)
    raw = np.zeros(shape, np.uint8)
    assert fusion.raw_costs(cost, raw)
    for value, told in zip(cost.ravel().tolist(), raw.ravel().tolist(), strict=True):
        special = {0: 0, 99: 253, 100: 254}
        if value in special or not 0 <= value <= 100:
            assert told == special.get(value, 255)
        else:
            assert 1 + 97 * (told - 1) // 251 == value
    assert not fusion.raw_costs(cost[:, ::2], raw[:, ::2]) or cost.size == 1


@settings(max_examples=30)
@given(
    seed=st.integers(0, 2**31),
    looks=st.integers(1, 9),
    width=st.floats(0.1, 3.0),
    height=st.floats(0.1, 3.0),
    reach=st.sampled_from([0.0, 0.1, 1.0, 1e4]),
    max_evidence=st.sampled_from([0.06, 1.0, 1e6]),
    decay_time=st.sampled_from([0.02, 10.0, 1e9]),
    sure=st.sampled_from([0.0, 0.36, 0.6, 1.0]),
)
def test_a_map_twins(seed, looks, width, height, reach, max_evidence, decay_time, sure):
    size = GridSize(width, height, 0.1)
    options = {"max_evidence": max_evidence, "decay_time": decay_time, "sure_confidence": sure}
    numpy, native = twins(lambda: drive(seed, looks, size, reach, min_confidence=0.35, **options))
    for one, other in zip(numpy, native, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_map_of_usual_size_twins():
    numpy, native = twins(lambda: drive(4, 6, GridSize(20.0, 10.0, 0.1), 0.5, sure_confidence=0.6))
    for one, other in zip(numpy, native, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    ("part", "slot"),
    [
        ((0, 5, 0, 4), (0, 0)),
        ((-1, 2, 0, 4), (0, 0)),
        ((0, 4, 0, 5), (0, 0)),
        ((0, 4, 3, 2), (0, 0)),
        ((0, 4, 0, 4), (3, 0)),
        ((0, 4, 0, 4), (0, -1)),
    ],
)
def test_cells_that_are_not_there_are_refused(part, slot):
    """A kernel would read or write outside its arrays."""
    if library.find()[0] is None:
        pytest.skip(library.find()[1])
    look = GridObservation(
        np.zeros((4, 4), np.uint8), np.ones((4, 4), np.float32), GridSpec(4, 4, 0.1, 0, 0), 0
    )
    rules = Rules.of([0, -1, 100], 0.25)
    with kernels(True), pytest.raises(ValueError, match="do not fit"):
        CellEvidence(3, 4, 3).add(look, part, slot, rules, scale=1.0, limit=1.0, source=0)
    with kernels(True), pytest.raises(ValueError, match="no slot"):
        CellEvidence(3, 4, 3).grid((3, 0), 0.1)
    with pytest.raises(ValueError, match="no channel 9 of 3"):
        fusion.Tables(np.full(256, 9, np.uint8), np.zeros((3, 3), np.float32), np.zeros(256, np.float32))


def test_arrays_with_gaps_are_left_to_numpy():
    size = GridSize(2.0, 1.0, 0.1)
    labels = np.full((10, 40), ONTOLOGY.id_of("Rocks"), np.uint8)[:, ::2]
    costmap = RollingCostmap(ONTOLOGY, size)
    grid = costmap.update(GridObservation(labels, np.ones((10, 20), np.float32), size.around(0, 0), 0))
    assert (grid.cost_HW == 100).all()
