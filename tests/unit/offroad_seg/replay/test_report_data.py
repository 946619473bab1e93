# SPDX-License-Identifier: Apache-2.0
"""What the report's page is given: graphs that lose no bad frame, drops in their place, and a bounded size."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from offroad_seg.ontology import load_ontology
from offroad_seg.replay.drive_mosaic import CELLS, DriveMosaic, place
from offroad_seg.replay.evaluation import Evaluation
from offroad_seg.replay.gallery import Gallery
from offroad_seg.replay.gallery_pictures import picture_of
from offroad_seg.replay.records import FrameRecord
from offroad_seg.replay.report_data import as_json, drop_marks, page_data
from offroad_seg.replay.report_measures import (
    MAX_POINTS,
    camera_period_ms,
    gaps_ms,
    stride_for,
    thinned,
    worst_measure,
)
from offroad_seg.replay.rows import DropRow, FrameRow
from offroad_seg.types import Costmap, GridSpec

ROW = FrameRow(0, 0.0, 0.7, 0.9, None, 20.0, 0.3)


@pytest.fixture(scope="module")
def ontology():
    return load_ontology("duality_desert")


@given(st.lists(st.one_of(st.none(), st.floats(0, 1)), max_size=300), st.integers(1, 20))
def test_thinning_keeps_the_worst_value(values, stride):
    there = [v for v in values if v is not None]
    for low, pick in ((True, min), (False, max)):
        found = [v for v in thinned(values, stride, low=low) if v is not None]
        assert (pick(found) if found else None) == (pick(there) if there else None)
        assert len(thinned(values, stride, low=low)) == -(-len(values) // stride)


@pytest.mark.parametrize("count", [1, MAX_POINTS, MAX_POINTS + 1, 10 * MAX_POINTS])
def test_a_graph_never_has_more_points_than_the_page_can_bear(count):
    assert -(-count // stride_for(count)) <= MAX_POINTS


def test_the_worst_measure_is_named():
    assert worst_measure(ROW)[0] < 0
    assert worst_measure(replace(ROW, confidence=0.55))[1].key == "confidence"
    assert worst_measure(replace(ROW, miou=0.1, confidence=0.55))[1].key == "miou"
    assert worst_measure(replace(ROW, miou=0.2))[0] == pytest.approx(1.0)
    assert worst_measure(replace(ROW, miou=None, confidence=None))[0] is None


def test_a_record_without_truth_gives_the_timeline_its_figures(ontology):
    n = ontology.n_classes
    agreement = np.zeros((n, n + 1), int)
    agreement[0, 0], agreement[1, n] = 30, 10
    record = FrameRecord(
        3, "c", 0, pixels=[0] * (n + 1), agreement=agreement.ravel().tolist(),
        motion={"by": "flow", "changed": [1] + [0] * (n - 1), "compared": [4] + [6] * (n - 1), "truth": None},
        costmap={"known_share": 0.5, "stability": {"to_lethal": 2, "to_free": 1, "decided": 300, "cells": [], "resolution": 0.1},
                 "driven": {"metres": 1.0, "bins": [[10, 4, 3], [2, 2, 0], [0, 0, 0], [0, 0, 0]], "lethal_cells": [], "resolution": 0.1}},
    )  # fmt: skip
    row = Evaluation(ontology).take(record)
    assert row.agreement == 0.75
    assert row.flicker_compensated == pytest.approx(1 / (4 + 6 * (n - 1)))
    assert (row.driven_lethal, row.flips) == (0.5, 0.01)
    bare = Evaluation(ontology).take(FrameRecord(3, "c", 0, pixels=[0] * (n + 1)))
    assert {bare.agreement, bare.flicker_compensated, bare.driven_lethal, bare.flips} == {None}


def test_the_camera_s_period_counts_what_was_dropped_and_other_cameras():
    one = [replace(ROW, index=i, time_s=0.1 * i) for i in range(40) if i % 4]
    assert camera_period_ms(one) == pytest.approx(100.0)
    two = [replace(ROW, index=i, time_s=0.05 * i, camera="lr"[i % 2]) for i in range(40)]
    assert camera_period_ms(two) == pytest.approx(100.0)
    assert camera_period_ms([ROW]) is None
    back = [replace(ROW, index=i, time_s=t) for i, t in enumerate((0.0, 0.5, 0.1))]
    assert gaps_ms(back) == [None, pytest.approx(500.0), None]


def test_drops_stand_between_the_frames_that_they_lie_between():
    rows = [replace(ROW, index=i) for i in (0, 1, 2, 7, 8)]
    marks = drop_marks(rows, [DropRow(i, None, "bad_image", "") for i in (3, 4, 5, 6)])
    assert len(marks) == 1
    assert 2 / 4 < marks[0] < 3 / 4


def test_many_drops_make_a_bounded_number_of_marks():
    rows = [replace(ROW, index=2 * i) for i in range(5000)]
    assert len(drop_marks(rows, [DropRow(2 * i + 1, None, "x", "") for i in range(5000)])) <= 401


def test_the_page_s_data_cannot_end_its_script(ontology):
    rows = [replace(ROW, camera="</script><script>alert(1)</script>\u2028")] * 2
    text = as_json(
        page_data(rows, [], Gallery(ontology, None, 2, "odom"), [], ontology) | {"x": rows[0].camera}
    )
    assert "<" not in text
    assert "\u2028" not in text
    assert json.loads(text)["x"] == rows[0].camera


def square(x, y, cost=0, size=20.0, resolution=0.25):
    cells = int(size / resolution)
    grid = GridSpec(cells, cells, resolution, x - size / 2, y - size / 2)
    return Costmap(np.full((cells, cells), cost, np.int8), grid, "odom", 0)


def test_the_mosaic_holds_the_whole_drive_where_it_was():
    mosaic = DriveMosaic()
    for i in range(200):
        mosaic.add(square(1000.0 + 5 * i, -40.0), 1000.0 + 5 * i, -40.0)
    found = mosaic.picture()
    assert found["x"] == pytest.approx(990.0, abs=2.0)
    assert found["x"] + found["width"] == pytest.approx(2005.0, abs=2.0)
    assert found["y"] == pytest.approx(-50.0, abs=2.0)
    assert found["height"] == pytest.approx(20.0, abs=4.0)
    assert max(picture_of(found["uri"]).shape) <= CELLS


def test_the_mosaic_keeps_an_obstacle_when_its_cells_grow():
    mosaic = DriveMosaic()
    costmap = square(0.0, 0.0)
    costmap.cost_HW[40, 60] = 100
    mosaic.add(costmap, 0.0, 0.0)
    mosaic.add(square(2000.0, 0.0), 2000.0, 0.0)
    picture = picture_of(mosaic.picture()["uri"])
    lethal = (picture[..., 3] > 0) & (picture[..., :3].sum(axis=2) < 160)
    assert lethal.any()


def test_the_mosaic_survives_poses_that_are_no_numbers():
    mosaic = DriveMosaic()
    mosaic.add(square(0.0, 0.0), float("nan"), 0.0)
    assert mosaic.picture() is None


def test_nothing_known_makes_no_picture():
    assert place(np.full((5, 7), -1, np.int8), 0.0, 0.0, 0.1) is None


@pytest.mark.parametrize("shape", [(40, 3000), (3000, 40)])
def test_large_grids_become_small_pictures_in_their_place(shape):
    found = place(np.zeros(shape, np.int8), 5.0, 6.0, 0.1)
    assert (found["x"], found["y"]) == (5.0, 6.0)
    assert (found["width"], found["height"]) == pytest.approx((shape[1] / 10, shape[0] / 10))
    assert max(picture_of(found["uri"]).shape[:2]) == CELLS
