# SPDX-License-Identifier: Apache-2.0
"""Pictures of costmaps, and which frames the report keeps."""

from __future__ import annotations

import base64
import math

import cv2
import numpy as np
import pytest

from offroad_seg.ontology import load_ontology
from offroad_seg.replay.bag import BagMessage
from offroad_seg.replay.charts import histogram, track
from offroad_seg.replay.frames import BagFrame
from offroad_seg.replay.gallery import WORST, Gallery
from offroad_seg.replay.gridview import LETHAL_RGB, PIXELS, GridView, cost_colors
from offroad_seg.replay.rows import FrameRow
from offroad_seg.transforms import Transform
from offroad_seg.types import Costmap, Frame, GridSpec, Perception, Segmentation


def lethal_at(x, y):
    """A free grid around (50, 20) with one lethal block of half a metre."""
    cost = np.zeros((200, 200), np.int8)
    grid = GridSpec(200, 200, 0.1, 40.0, 10.0)
    row, column = int((y - 10.0) / 0.1), int((x - 40.0) / 0.1)
    cost[row - 3 : row + 3, column - 3 : column + 3] = 100
    return Costmap(cost, grid, "odom", 0)


@pytest.mark.parametrize("yaw", [0.0, 1.0, -2.5])
def test_what_lies_ahead_is_above_the_vehicle_and_what_is_left_is_left(yaw):
    pose = Transform.from_rpy(0.0, 0.0, yaw, (50.0, 20.0, 0.0))
    ahead, left = 6.0, 3.0
    x = 50.0 + ahead * math.cos(yaw) - left * math.sin(yaw)
    y = 20.0 + ahead * math.sin(yaw) + left * math.cos(yaw)
    costmap = lethal_at(x, y)
    picture = cost_colors()[GridView.around(costmap, pose).cells(costmap)]
    rows, columns = np.nonzero((picture[..., :3] == LETHAL_RGB[::-1]).all(axis=2))
    pixels_a_metre = PIXELS / 16.0
    # Half a cell and half a pixel of rounding.
    assert rows.mean() == pytest.approx((10.0 - ahead) * pixels_a_metre, abs=2.5)
    assert columns.mean() == pytest.approx(PIXELS / 2 - left * pixels_a_metre, abs=2.5)


def test_unknown_cells_and_what_lies_outside_are_transparent():
    grid = GridSpec(20, 20, 0.5, -5.0, -5.0)
    costmap = Costmap(np.full((20, 20), -1, np.int8), grid, "base_link", 0)
    assert cost_colors()[GridView.around(costmap, None).cells(costmap)][..., 3].max() == 0


@pytest.fixture(scope="module")
def ontology():
    return load_ontology("duality_desert")


def offer(gallery, number, miou):
    image = np.random.default_rng(number).integers(0, 255, (30, 40, 3), np.uint8)
    labels = np.full((30, 40), number % 10, np.uint8)
    frame = Frame(image, number, "camera")
    item = BagFrame(number, frame, BagMessage("/i", "", number, b""), None, None, "", labels)
    perception = Perception(Segmentation(labels, labels, number, "camera", 1.0), None, None, {})
    gallery.add(item, perception, FrameRow(number, float(2 * number), miou, 1.0, None, 1.0, None))


@pytest.mark.parametrize("expected", [0, 100, 1000])
def test_frames_are_spread_evenly_whether_the_length_is_known_or_not(ontology, expected):
    gallery = Gallery(ontology, None, expected, "odom", frames=20)
    for number in range(1000):
        offer(gallery, number, None)
    indices = [p.row.index for p in gallery.pictures()]
    assert 15 <= len(indices) <= 42
    assert len(set(np.diff(indices))) == 1
    assert max(indices) > 900


def test_the_worst_frames_are_kept_and_stand_in_order(ontology):
    gallery = Gallery(ontology, None, 300, "odom", frames=10)
    bad = [31, 77, 105, 106, 107, 151, 162, 199, 250, 263, 290]
    for number in range(300):
        offer(gallery, number, 0.1 + number / 1e4 if number in bad else 0.9)
    assert gallery.worst() == bad[:WORST]
    indices = [p.row.index for p in gallery.pictures()]
    assert indices == sorted(indices)
    assert set(bad[:WORST]) <= set(indices)


def test_the_byte_budget_is_kept(ontology):
    gallery = Gallery(ontology, None, 60, "odom", frames=60)
    for number in range(60):
        offer(gallery, number, None)
    whole = sum(p.size for p in gallery.pictures())
    assert sum(p.size for p in gallery.pictures(whole // 3)) <= whole // 3
    assert len(gallery.pictures(whole // 3)) >= 10


def test_label_pictures_show_the_ontology_s_colours_exactly(ontology):
    gallery = Gallery(ontology, None, 1, "odom")
    offer(gallery, 3, None)
    data = base64.b64decode(gallery.pictures()[0].uris["truth"].split(",")[1])
    picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    assert tuple(picture[0, 0, ::-1]) == ontology.classes[3].color


def test_a_single_bad_frame_among_thousands_is_seen_in_the_track():
    values = [0.9] * 5000
    values[2501] = 0.0
    assert ",94.0" in track(values, 0.0, 1.0, "red")


def test_gaps_break_the_line():
    assert track([0.5, 0.5, None, 0.5, 0.5], 0.0, 1.0, "red").count("<polyline") == 2


@pytest.mark.parametrize("values", [[5.0], [5.0, 5.0], [1.0, 2.0, 100.0]])
def test_histograms_hold_every_frame(values):
    svg = histogram(values, "ms", {"p50": 5.0})
    counted = sum(int(part.split(" frames")[0]) for part in svg.split("<title>")[1:])
    assert counted == len(values)
