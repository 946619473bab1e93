# SPDX-License-Identifier: Apache-2.0
"""Something lethal is marked wherever it may stand, where the ground is not quite the plane."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from offroad_seg.camera import CameraModel
from offroad_seg.errors import InputError
from offroad_seg.mapping.grid import GridSize
from offroad_seg.mapping.ground_plane import GroundPlaneProjector
from offroad_seg.ontology import Ontology
from offroad_seg.transforms import Transform, camera_mount
from offroad_seg.types import UNLABELLED
from tests.helpers.box_world import segmentation_of
from tests.helpers.solid_world import below, block, look

ONTOLOGY = Ontology.from_dict(
    {
        "name": "test",
        "classes": [
            {"name": "track", "color": [200, 180, 140], "raw": [1], "cost": 0},
            {"name": "rock", "color": [90, 90, 90], "raw": [2], "cost": "lethal", "standing": True},
            {"name": "bush", "color": [60, 120, 60], "raw": [3], "cost": 85, "standing": True},
            {"name": "sky", "color": [130, 180, 230], "raw": [4], "cost": "unknown"},
        ],
    }
)
TRACK, ROCK, BUSH, SKY = range(4)
CAMERA = CameraModel.pinhole(400, 224, 250.0)
HEIGHT = 1.2
MOUNT = camera_mount(0.0, 0.0, HEIGHT, 0.0, 0.15, 0.0)
SIZE = GridSize(24.0, 24.0, 0.1)
RANGE = 10.0


def project(solids, contact_slope, **options):
    labels, _ = look(solids, CAMERA, MOUNT, SKY)
    projector = GroundPlaneProjector(ONTOLOGY, SIZE, max_range=RANGE, contact_slope=contact_slope, **options)
    return projector.project(segmentation_of(labels), CAMERA, MOUNT, Transform.identity())


def standing(label, x, y, slope_deg):
    """Ground that rises or falls from below the camera on, and something wide on it."""
    rise = math.tan(math.radians(slope_deg))
    return [
        below(TRACK, 0.0, slope_deg),
        block(label, (x, x + 0.4), (y - 0.3, y + 0.3), (x * rise - 1.0, x * rise + 1.2)),
    ]


def marked(observation, label, y=0.0):
    """Nearest and farthest place ahead, metres, that carries a label."""
    row = int((y - observation.grid.origin_y) / 0.1)
    columns = np.flatnonzero(observation.labels_HW[row] == label)
    at = observation.grid.origin_x + (columns + 0.5) * 0.1
    return (at.min(), at.max()) if at.size else (math.nan, math.nan)


@pytest.mark.parametrize("slope_deg", [-2.5, 2.5])
def test_a_rock_on_a_slope_is_marked_where_it_stands(slope_deg):
    scene = standing(ROCK, 6.0, 0.0, slope_deg)
    near, far = marked(project(scene, 2.0), ROCK)
    assert near < 6.0 < far
    near, far = marked(project(scene, 0.0), ROCK)
    assert not near - 0.5 < 6.0 < far + 0.5  # the plane alone has it elsewhere


def test_the_range_is_that_of_one_and_a_half_standard_deviations():
    near, far = marked(project(standing(ROCK, 5.0, 0.0, 0.0), 2.0), ROCK)
    slope = 1.5 * math.tan(math.radians(2.0))
    assert near == pytest.approx(HEIGHT / (HEIGHT / 5.0 + slope), abs=0.2)
    assert far == pytest.approx(HEIGHT / (HEIGHT / 5.0 - slope), abs=0.3)


def test_evidence_is_greatest_where_the_plane_has_it():
    def at(x, foot):
        observation = project(standing(ROCK, foot, 0.0, 0.0), 2.0)
        row = observation.evidence_HW[int(-observation.grid.origin_y / 0.1)]
        return row[int((x - observation.grid.origin_x) / 0.1)]

    assert at(5.45, 5.0) > at(5.9, 5.0) > at(6.4, 5.0) > 0
    # Nearer to the camera all evidence counts more: compared is what a rock that seems to stand there gives.
    assert 0 < at(4.35, 5.0) < 0.7 * at(4.35, 4.3)


def test_what_is_dear_but_not_lethal_is_not_spread():
    scene = standing(BUSH, 5.0, 0.0, 0.0)
    with_it, without = project(scene, 3.0), project(scene, 0.0)
    np.testing.assert_array_equal(with_it.labels_HW, without.labels_HW)
    np.testing.assert_array_equal(with_it.evidence_HW, without.evidence_HW)


def test_what_seems_to_be_out_of_range_but_may_be_within_is_marked():
    rising = standing(ROCK, 8.0, 0.0, 3.0)  # seen as if 12.3 m away
    assert np.isnan(marked(project(rising, 0.0), ROCK)[0])
    near, far = marked(project(rising, 2.5), ROCK)
    assert near < 8.0 <= far <= RANGE
    assert np.isnan(marked(project(rising, 0.5), ROCK)[0])


def test_doubtful_pixels_mark_nothing():
    labels, _ = look(standing(ROCK, 5.0, 0.0, 0.0), CAMERA, MOUNT, SKY)
    projector = GroundPlaneProjector(ONTOLOGY, SIZE, contact_slope=2.0, min_confidence=0.5)
    doubtful = projector.project(segmentation_of(labels, confidence=100), CAMERA, MOUNT)
    assert not (doubtful.labels_HW == ROCK).any()


@pytest.mark.parametrize("contact_slope", [-1.0, 15.1, math.nan, math.inf])
def test_a_slope_that_no_ground_has_is_refused(contact_slope):
    with pytest.raises(InputError, match="contact_slope"):
        GroundPlaneProjector(ONTOLOGY, SIZE, contact_slope=contact_slope)


@settings(max_examples=40, deadline=None)
@given(
    x=st.floats(2.5, 9.0),
    y=st.floats(-2.0, 2.0),
    slope_deg=st.floats(-2.9, 2.9),
    contact_slope=st.sampled_from([2.0, 4.0]),
)
def test_no_slope_within_the_range_hides_a_rock_and_nothing_becomes_free(x, y, slope_deg, contact_slope):
    """The rock's front is lethal, whatever the slope; and what was not free without the range is not free with it."""
    assume(abs(y) < 0.6 * x)
    scene = standing(ROCK, x, y, slope_deg)
    with_it, without = project(scene, contact_slope), project(scene, 0.0)
    row = int((y - with_it.grid.origin_y) / 0.1)
    column = int((x - with_it.grid.origin_x) / 0.1)
    assert (with_it.labels_HW[row, column - 2 : column + 3] == ROCK).any()
    assert not ((with_it.labels_HW == TRACK) & (without.labels_HW != TRACK)).any()
    assert ((with_it.labels_HW == UNLABELLED) == (with_it.evidence_HW == 0)).all()
    assert with_it.evidence_HW.max() <= 1.0 + 1e-6
