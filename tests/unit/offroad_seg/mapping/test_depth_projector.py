# SPDX-License-Identifier: Apache-2.0
"""Projection by depth on worlds that are known exactly: what their shape makes of them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from offroad_seg.mapping.depth_projector import DepthProjector
from offroad_seg.transforms import Transform
from offroad_seg.types import OBSTACLE, UNLABELLED
from tests.helpers.box_world import segmentation_of
from tests.helpers.depth_views import CAMERA, FLAT, MOUNT, ONTOLOGY, SIZE, cells, ditch, ledge, project, ramp
from tests.helpers.solid_world import below, block, look
from tests.helpers.terrain import BUSH, GRASS, ROCK, SKY, TRACK


@pytest.mark.parametrize("lean", [(0.0, 0.0, 0.0), (0.06, -0.05, 0.4)])
def test_level_ground_is_ground_out_to_the_range(lean):
    observation = project([FLAT], pose=Transform.from_rpy(*lean))
    known = observation.labels_HW != UNLABELLED
    assert known.sum() > 1500
    assert (observation.labels_HW[known] == TRACK).all()
    assert (observation.evidence_HW[known] > 0).all()
    assert (observation.evidence_HW[~known] == 0).all()
    assert observation.evidence_HW.max() == pytest.approx(1.0)
    assert observation.stamp_ns == 7


@pytest.mark.parametrize("degrees", [15.0, -8.0])
def test_a_slope_is_ground(degrees):
    observation = project(ramp(degrees))
    assert not (observation.labels_HW == OBSTACLE).any()
    on_it = cells(observation, (3.2, 5.5))
    assert (on_it == TRACK).mean() > 0.8


def test_a_slope_is_measured_against_gravity_not_the_vehicle():
    """A vehicle that stands on a slope of 32° sees level ground in its own frame, and must not call it free."""
    pose = Transform.from_rpy(0.0, -np.radians(32.0), 0.0)
    up_3 = pose.rotation_33[:, 2]
    labels, depth_HW = look([below(TRACK, 0.0, 32.0)], CAMERA, pose @ MOUNT, SKY)
    projector = DepthProjector(ONTOLOGY, SIZE, max_range=8.0)
    observation = projector.project(
        segmentation_of(labels), CAMERA, MOUNT, pose, ground_up_3=up_3, depth_HW=depth_HW
    )
    known = observation.labels_HW != UNLABELLED
    assert known.sum() > 500
    assert (observation.labels_HW[known] == OBSTACLE).all()


def test_a_rock_on_a_slope_is_lethal_and_hides_what_lies_behind():
    observation = project([*ramp(15.0), block(ROCK, (4.0, 4.4), (-0.4, 0.4), (-1.0, 0.9))])
    assert (cells(observation, (4.0, 4.1)) == ROCK).all()
    assert (cells(observation, (4.5, 5.2)) == UNLABELLED).all()
    assert (cells(observation, (3.2, 3.9)) == TRACK).mean() > 0.9


def test_a_steep_slope_is_lethal():
    observation = project(ramp(38.0))
    on_it = cells(observation, (3.5, 5.5))
    assert (on_it == OBSTACLE).sum() > 50
    assert not np.isin(on_it, (TRACK, GRASS)).any()
    # Soft ground is held to the slope too.
    grassy = cells(project(ramp(38.0, GRASS)), (3.5, 5.5))
    assert not np.isin(grassy, (TRACK, GRASS)).any()
    # What the vehicle can climb is its own matter.
    assert (cells(project(ramp(38.0), max_slope=45.0, max_step=0.4), (3.5, 5.5)) == TRACK).mean() > 0.8


def test_a_step_is_lethal_from_its_limit_on():
    high = project(ledge(0.3))
    assert (cells(high, (3.9, 4.1)) == OBSTACLE).all()
    assert (cells(high, (4.4, 5.5)) == TRACK).mean() > 0.7
    low = project(ledge(0.12))
    assert not (low.labels_HW == OBSTACLE).any()
    assert (cells(project(ledge(0.12), max_step=0.08, max_slope=10.0), (3.9, 4.1)) == OBSTACLE).all()


def test_what_lies_behind_a_ledge_down_is_unknown():
    observation = project(ledge(-0.5, 3.0))
    # Seen from 1.3 m over ground, 2.7 m away, 0.5 m below is hidden for 2.7 · 0.5 / 1.3 ≈ 1.04 m.
    assert (cells(observation, (3.05, 3.95)) == UNLABELLED).all()


@pytest.mark.parametrize(
    ("x0", "x1", "floor"),
    [(2.5, 4.0, -0.5), (4.0, 4.6, -1.0), (4.0, 5.2, -0.4), (3.0, 4.8, -2.0), (5.0, 5.9, -0.3)],
)
def test_a_ditch_is_never_free(x0, x1, floor):
    for pose in (Transform.identity(), Transform.from_rpy(0.03, 0.04, 0.0, (0.37, 0.1, 0.0))):
        observation = project(ditch(x0, x1, floor), pose=pose)
        inside = cells(observation, (x0, x1), (-1.0, 1.0))
        assert set(np.unique(inside)) <= {UNLABELLED, OBSTACLE}
        before = cells(observation, (x0 - 0.3, x0 - 0.1))
        assert (before == TRACK).any()
        assert not (before == OBSTACLE).any()


def test_a_crown_over_the_trail_does_not_block_and_a_low_branch_does():
    def crown(height):
        return [FLAT, block(BUSH, (3.5, 5.0), (-2.0, 2.0), (height, height + 1.5))]

    free = cells(project(crown(2.2)), (3.6, 4.9))
    assert (free == TRACK).mean() > 0.9
    assert set(np.unique(free)) <= {TRACK, UNLABELLED}
    blocked = cells(project(crown(1.5)), (3.5, 5.0))
    assert (blocked == BUSH).sum() > 10
    # The front of it, where the camera sees its whole height.
    assert (cells(project(crown(1.5)), (3.5, 3.6)) == BUSH).all()
    # On a slope the crown hangs as high over the ground there.
    sloping = [*ramp(12.0), block(BUSH, (4.5, 5.5), (-2.0, 2.0), (2.9, 4.0))]
    assert not (project(sloping).labels_HW == BUSH).any()
    low = [*ramp(12.0), block(BUSH, (4.5, 5.5), (-2.0, 2.0), (1.9, 4.0))]
    assert (cells(project(low), (4.5, 4.6)) == BUSH).all()


def test_shape_counts_whatever_the_label_says():
    """A boulder that the network takes for track, and something that it has no word for."""
    for label in (TRACK, UNLABELLED, SKY):
        observation = project([FLAT, block(label, (3.5, 4.2), (-0.4, 0.4), (-1.0, 0.7))])
        assert (cells(observation, (3.5, 3.6)) == OBSTACLE).all(), label
        assert not np.isin(cells(observation, (3.5, 4.2)), (TRACK, GRASS)).any(), label


def test_soft_ground_may_be_high():
    grass = [FLAT, block(GRASS, (3.5, 5.5), (-2.0, 2.0), (-1.0, 0.4))]
    assert not (project(grass).labels_HW == OBSTACLE).any()
    assert (cells(project(grass), (3.6, 5.0)) == GRASS).mean() > 0.8


@settings(max_examples=30, deadline=None)
@given(
    x=st.floats(2.5, 5.0),
    width=st.floats(0.3, 1.5),
    top=st.floats(0.15, 1.9),
    label=st.sampled_from([ROCK, BUSH]),
    degrees=st.floats(-6.0, 15.0),
    roll=st.floats(-0.1, 0.1),
    pitch=st.floats(-0.1, 0.1),
)
def test_nothing_that_stands_is_free(x, width, top, label, degrees, roll, pitch):
    """On any slope, from any attitude: no cell well inside a standing thing is passable, nor any right behind it."""
    solids = [
        *ramp(degrees),
        block(label, (x, x + 0.5), (-width, width), (-2.0, top + 0.3 * max(x - 3.0, 0.0))),
    ]
    pose = Transform.from_rpy(roll, pitch, 0.0)
    observation = project(solids, pose=pose)
    inside = cells(observation, (x + 0.1, x + 0.4), (-width + 0.1, width - 0.1))
    assert not np.isin(inside, (TRACK, GRASS)).any()
