# SPDX-License-Identifier: Apache-2.0
"""By depth: ditches and edges down are unknown or lethal, never free, and crowns over a trail leave it free."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from offroad_seg.camera import CameraModel
from offroad_seg.mapping.depth_projector import DepthProjector
from offroad_seg.mapping.grid import GridSize
from offroad_seg.mapping.rolling import RollingCostmap
from offroad_seg.ontology import Ontology
from offroad_seg.transforms import Transform, camera_mount
from offroad_seg.types import OBSTACLE, UNLABELLED
from tests.helpers.box_world import segmentation_of
from tests.helpers.solid_world import below, between_x, block, look

ONTOLOGY = Ontology.from_dict(
    {
        "name": "test",
        "classes": [
            {"name": "track", "color": [200, 180, 140], "raw": [1], "cost": 0},
            {"name": "tree", "color": [60, 120, 60], "raw": [2], "cost": "lethal", "standing": True},
            {"name": "sky", "color": [130, 180, 230], "raw": [3], "cost": "unknown"},
        ],
    }
)
TRACK, TREE, SKY = range(3)
CAMERA = CameraModel.pinhole(400, 224, 250.0)
MOUNT = camera_mount(0.3, 0.0, 1.3, 0.0, 0.2, 0.0)
RANGE = 12.0
LEAN = st.tuples(st.floats(-0.08, 0.08), st.floats(-0.08, 0.08), st.just(0.0))


def project(solids, resolution=0.1, pose=None, **options):
    pose = pose or Transform.identity()
    labels, depth_HW = look(solids, CAMERA, pose @ MOUNT, SKY)
    projector = DepthProjector(ONTOLOGY, GridSize(28.0, 12.0, resolution), max_range=RANGE, **options)
    return projector.project(segmentation_of(labels), CAMERA, MOUNT, pose, depth_HW=depth_HW)


def centres(grid):
    x = grid.origin_x + (np.arange(grid.width) + 0.5) * grid.resolution
    y = grid.origin_y + (np.arange(grid.height) + 0.5) * grid.resolution
    return x, y


def ways_over(observation, first, last, half_width=0.8):
    """Rows of cells along x, near the middle, on which every cell from before ``first`` to behind ``last`` is free."""
    x, y = centres(observation.grid)
    res = observation.grid.resolution
    across = (x > first - res) & (x < last + res)
    rows = observation.labels_HW[np.abs(y) < half_width][:, across]
    return int((rows == TRACK).all(axis=1).sum())


def ditch(x0, width, depth):
    flat = below(TRACK)
    floor = between_x(below(TRACK, -depth), x0=x0, x1=x0 + width)
    return [between_x(flat, x1=x0), floor, between_x(flat, x0=x0 + width)]


def ledge(x, drop):
    return [between_x(below(TRACK), x1=x), between_x(below(TRACK, -drop), x0=x)]


def sees_before(x0, pose):
    """Of the rows of cells near the middle, those on which ground would be seen just before ``x0``."""
    flat = project([below(TRACK)], pose=pose)
    x, y = centres(flat.grid)
    before = (x > x0 - 0.2) & (x < x0)
    return (flat.labels_HW[np.ix_(np.abs(y) < 0.8, before)] == TRACK).all(axis=1)


@settings(max_examples=60, deadline=None)
@given(x0=st.floats(2.3, 8.0), width=st.floats(0.25, 1.8), depth=st.floats(0.3, 3.0), lean=LEAN)
@example(x0=2.3125, width=1.0, depth=0.5, lean=(0.0, -0.0625, 0.0))  # it begins below the picture
def test_no_cell_inside_a_ditch_is_free_near_or_far(x0, width, depth, lean):
    pose = Transform.from_rpy(*lean)
    observation = project(ditch(x0, width, depth), pose=pose)
    x, y = centres(observation.grid)
    inside = observation.labels_HW[np.ix_(np.abs(y) < 0.8, (x > x0 + 0.05) & (x < x0 + width - 0.05))]
    # A floor whose near edge lies below the picture is ground like that of a valley, behind ground that nobody has seen.
    assert set(np.unique(inside[sees_before(x0, pose)])) <= {UNLABELLED, OBSTACLE}
    assert ways_over(observation, x0, x0 + width) == 0


@settings(max_examples=60, deadline=None)
@given(x=st.floats(2.3, 8.0), drop=st.floats(0.3, 3.0), lean=LEAN)
def test_no_way_leads_over_an_edge_down(x, drop, lean):
    """Behind the edge lies what no ray reaches: unknown, and so wide that no cell bridges it."""
    observation = project(ledge(x, drop), pose=Transform.from_rpy(*lean))
    hidden = (x - 0.3) * drop / 1.3
    assert ways_over(observation, x, min(x + hidden, RANGE)) == 0


def test_an_edge_down_stays_closed_while_the_vehicle_comes_up_to_it():
    """Fused over a drive: what was seen from afar does not close the gap that is hidden from near."""
    scene = ledge(8.0, 0.4)
    size = GridSize(28.0, 12.0, 0.1)
    projector, costmap = DepthProjector(ONTOLOGY, size, max_range=RANGE), RollingCostmap(ONTOLOGY, size)
    for k in range(20):
        pose = Transform.from_rpy(0.0, 0.02 * np.sin(k), 0.0, (0.3 * k, 0.0, 0.0))
        labels, depth_HW = look(scene, CAMERA, pose @ MOUNT, SKY)
        observation = projector.project(
            segmentation_of(labels, k * 100_000_000), CAMERA, MOUNT, pose, depth_HW=depth_HW
        )
        result = costmap.update(observation, pose)
        x, y = centres(result.grid)
        rows = result.cost_HW[np.abs(y) < 0.8][:, (x > 7.9) & (x < 8.6)]
        assert not ((rows >= 0) & (rows < 100)).all(axis=1).any(), k


@pytest.mark.parametrize("resolution", [0.1, 0.2, 0.4])
@pytest.mark.parametrize("x0", [2.53, 4.07, 6.61])
def test_a_ditch_narrower_than_a_cell(resolution, x0):
    """From a width of two cells on it is never free; a narrower one is told only where a cell sees into it."""
    observation = project(ditch(x0, 2.0 * resolution, 1.5), resolution)
    assert ways_over(observation, x0, x0 + 2.0 * resolution) == 0
    narrow = project(ditch(x0, 0.4 * resolution, 1.5), resolution)
    x, y = centres(narrow.grid)
    around = narrow.labels_HW[
        np.ix_(np.abs(y) < 0.8, (x > 2.6) & (x < 8.0) & (np.abs(x - x0) > 3 * resolution))
    ]
    assert not (around == OBSTACLE).any()


@settings(max_examples=40, deadline=None)
@given(
    bottom=st.floats(2.15, 4.0),
    x=st.floats(2.5, 6.0),
    length=st.floats(0.3, 4.0),
    half=st.floats(0.3, 3.0),
    degrees=st.floats(0.0, 10.0),
    lean=LEAN,
)
def test_a_crown_over_the_trail_leaves_it_free(bottom, x, length, half, degrees, lean):
    """On level ground and on a slope: nothing under it is lethal, and most of what is in sight is free."""
    rise = np.tan(np.radians(degrees))
    crown = block(TREE, (x, x + length), (-half, half), (bottom + rise * max(x + length - 2.5, 0.0), 6.0))
    slope = [between_x(below(TRACK), x1=2.5), between_x(below(TRACK, 0.0, degrees, 2.5), x0=2.5)]
    pose = Transform.from_rpy(*lean)
    observation, bare = project([*slope, crown], pose=pose), project(slope, pose=pose)
    cx, cy = centres(observation.grid)
    under = np.ix_(np.abs(cy) < half, (cx > x) & (cx < x + length))
    assert not np.isin(observation.labels_HW[under], (TREE, OBSTACLE)).any()
    seen = (bare.labels_HW[under] == TRACK).sum()
    assert (observation.labels_HW[under] == TRACK).sum() > 0.6 * seen or seen < 30
