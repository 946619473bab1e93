# SPDX-License-Identifier: Apache-2.0
"""Projection by depth on worlds that are known exactly."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from offroad_seg.camera import CameraModel
from offroad_seg.errors import CameraError, DepthError, InputError
from offroad_seg.mapping.depth_projector import DepthProjector
from offroad_seg.mapping.grid import GridSize
from offroad_seg.ontology import Ontology
from offroad_seg.transforms import Transform, camera_mount
from offroad_seg.types import OBSTACLE, UNLABELLED, Segmentation
from tests.helpers.box_world import segmentation_of
from tests.helpers.solid_world import below, between_x, block, look

ONTOLOGY = Ontology.from_dict(
    {
        "name": "test",
        "classes": [
            {"name": "track", "color": [200, 180, 140], "raw": [1], "cost": 0},
            {"name": "grass", "color": [100, 200, 80], "raw": [2], "cost": 40, "soft": True},
            {"name": "rock", "color": [90, 90, 90], "raw": [3], "cost": "lethal", "standing": True},
            {"name": "bush", "color": [60, 120, 60], "raw": [4], "cost": 85, "standing": True},
            {"name": "sky", "color": [130, 180, 230], "raw": [5], "cost": "unknown"},
        ],
    }
)
TRACK, GRASS, ROCK, BUSH, SKY = range(5)
SIZE = GridSize(16.0, 12.0, 0.1)
CAMERA = CameraModel.from_info(
    400, 224, "plumb_bob", (-0.2, 0.05, 0.001, -0.001, -0.005), (250.0, 0, 198.0, 0, 252.0, 110.0, 0, 0, 1)
)
MOUNT = camera_mount(0.3, 0.0, 1.3, 0.0, 0.2, 0.0)
FLAT = below(TRACK)


def project(solids, camera=CAMERA, pose=None, depth=None, **options):
    """Look at the solids and project what is seen; ``depth`` changes the depth image."""
    pose = pose or Transform.identity()
    labels, depth_HW = look(solids, camera, pose @ MOUNT, SKY)
    if depth is not None:
        depth_HW = depth(depth_HW)
    projector = DepthProjector(ONTOLOGY, SIZE, max_range=options.pop("max_range", 8.0), **options)
    return projector.project(segmentation_of(labels, 7), camera, MOUNT, pose, depth_HW=depth_HW)


def cells(observation, x: tuple[float, float], y: tuple[float, float] = (-0.3, 0.3)) -> np.ndarray:
    """Labels of the cells whose centres lie in a rectangle of odom."""
    grid = observation.grid
    at_x = grid.origin_x + (np.arange(grid.width) + 0.5) * grid.resolution
    at_y = grid.origin_y + (np.arange(grid.height) + 0.5) * grid.resolution
    return observation.labels_HW[np.ix_((at_y > y[0]) & (at_y < y[1]), (at_x > x[0]) & (at_x < x[1]))]


def ramp(degrees: float, label: int = TRACK):
    """Level ground, and from x = 3 m on a slope."""
    return [between_x(FLAT, x1=3.0), between_x(below(label, 0.0, degrees, 3.0), x0=3.0)]


def ledge(height: float, x: float = 4.0):
    """Level ground, and from x on higher or lower ground."""
    return [between_x(FLAT, x1=x), between_x(below(TRACK, height), x0=x)]


def ditch(x0: float, x1: float, floor: float):
    return [between_x(FLAT, x1=x0), between_x(below(TRACK, floor), x0=x0, x1=x1), between_x(FLAT, x0=x1)]


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


def test_pixels_without_depth_say_nothing():
    whole = project([FLAT])

    def holes(value):
        def punch(depth_HW):
            depth_HW = depth_HW.copy()
            depth_HW[:, 150:] = value
            return depth_HW

        return punch

    for value in (np.nan, np.inf, -np.inf, 0.0, -3.0):
        some = project([FLAT], depth=holes(value))
        known = some.labels_HW != UNLABELLED
        assert 0 < known.sum() < 0.6 * (whole.labels_HW != UNLABELLED).sum()
        assert (some.labels_HW[known] == TRACK).all()
    with pytest.raises(DepthError, match=r"^no_depth: no pixel"):
        project([FLAT], depth=lambda d: np.full_like(d, np.nan))


def test_depth_beyond_the_range_is_no_missing_depth():
    observation = project([FLAT], depth=lambda d: np.full_like(d, 60.0))
    assert (observation.labels_HW == UNLABELLED).all()


def test_millimetres_and_other_resolutions_say_the_same():
    solids = [*ramp(10.0), block(ROCK, (4.0, 4.4), (-0.4, 0.4), (-1.0, 0.9))]
    metres = project(solids).labels_HW

    def millimetres(depth_HW):
        return np.nan_to_num(np.rint(depth_HW * 1000), nan=0.0).clip(0, 65535).astype(np.uint16)

    agree = project(solids, depth=millimetres).labels_HW == metres
    assert agree.mean() > 0.999
    large, _ = CAMERA.scaled(448, 800), None
    labels, _ = look(solids, CAMERA, MOUNT, SKY)
    _, fine = look(solids, large, MOUNT, SKY)
    projector = DepthProjector(ONTOLOGY, SIZE, max_range=8.0)
    sampled = projector.project(segmentation_of(labels), CAMERA, MOUNT, depth_HW=fine).labels_HW
    known = (sampled != UNLABELLED) & (metres != UNLABELLED)
    assert known.sum() > 0.95 * (metres != UNLABELLED).sum()
    assert (sampled == metres)[known].mean() > 0.98


def test_what_is_no_depth_of_this_view_is_refused():
    labels, depth_HW = look([FLAT], CAMERA, MOUNT, SKY)
    projector = DepthProjector(ONTOLOGY, SIZE)
    segmentation = segmentation_of(labels)
    for wrong, said in (
        (None, "no_depth: there is no depth image"),
        (depth_HW[:, :224], "224×224, which is another view"),
        (depth_HW.astype(np.float64), "float64"),
        (depth_HW[None], "shape"),
        (depth_HW[:0], "shape"),
    ):
        with pytest.raises(DepthError, match=said):
            projector.project(segmentation, CAMERA, MOUNT, depth_HW=wrong)
    with pytest.raises(CameraError, match="camera is 400×224"):
        projector.project(segmentation_of(labels[:, :80]), CAMERA, MOUNT, depth_HW=depth_HW)


def test_low_confidence_and_specks():
    rock = [FLAT, block(ROCK, (4.0, 4.4), (-0.4, 0.4), (-1.0, 0.8))]
    labels, depth_HW = look(rock, CAMERA, MOUNT, SKY)
    projector = DepthProjector(ONTOLOGY, SIZE, max_range=8.0, min_confidence=0.5)
    confidence = np.where(labels == ROCK, 60, 255).astype(np.uint8)
    seen = projector.project(Segmentation(labels, confidence, 0, "c", 1.0), CAMERA, MOUNT, depth_HW=depth_HW)
    # Nobody knows what it is, but it stands there.
    assert (cells(seen, (4.0, 4.1)) == OBSTACLE).all()
    plain, depth_HW = look([FLAT], CAMERA, MOUNT, SKY)
    plain = plain.copy()
    plain[150, 200] = ROCK
    lone = projector.project(segmentation_of(plain), CAMERA, MOUNT, depth_HW=depth_HW)
    assert not (lone.labels_HW == ROCK).any()
    all_real = DepthProjector(ONTOLOGY, SIZE, max_range=8.0, min_standing_px=1)
    assert (
        all_real.project(segmentation_of(plain), CAMERA, MOUNT, depth_HW=depth_HW).labels_HW == ROCK
    ).sum() == 1


def test_points_in_mid_air_are_no_obstacle():
    """At the edge of a thing a depth camera mixes what lies before and behind it."""
    scene = [FLAT, block(ROCK, (2.5, 2.9), (0.3, 1.2), (-1.0, 1.6))]

    def mixed(depth_HW):
        depth_HW = depth_HW.copy()
        edge = np.abs(np.diff(depth_HW, axis=1)) > 1.5
        depth_HW[:, 1:][edge] = 0.5 * (depth_HW[:, 1:] + depth_HW[:, :-1])[edge]
        return depth_HW

    clean, seen = project(scene), project(scene, depth=mixed)
    assert (mixed(look(scene, CAMERA, MOUNT, SKY)[1]) != look(scene, CAMERA, MOUNT, SKY)[1]).sum() > 20
    assert (seen.labels_HW == ROCK).sum() > 0.9 * (clean.labels_HW == ROCK).sum()
    assert (seen.labels_HW == OBSTACLE).sum() <= (clean.labels_HW == OBSTACLE).sum()


def test_unlabelled_ground_counts_as_seen_only_where_asked_for():
    solids = [below(UNLABELLED)]
    assert (project(solids).evidence_HW == 0).all()
    told = project(solids, keep_unlabelled=True)
    assert (told.labels_HW == UNLABELLED).all()
    assert (told.evidence_HW > 0).sum() > 1000


def test_results_last_until_the_next_but_one_call():
    labels, depth_HW = look([FLAT], CAMERA, MOUNT, SKY)
    projector = DepthProjector(ONTOLOGY, SIZE)
    first = projector.project(segmentation_of(labels), CAMERA, MOUNT, depth_HW=depth_HW)
    copy = first.labels_HW.copy()
    projector.project(segmentation_of(np.full_like(labels, GRASS)), CAMERA, MOUNT, depth_HW=depth_HW)
    np.testing.assert_array_equal(first.labels_HW, copy)
    assert TRACK in copy


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"max_range": 0.0}, "max_range"),
        ({"min_confidence": -0.5}, "min_confidence"),
        ({"ground_height": float("nan")}, "ground_height"),
        ({"min_standing_px": 0}, "min_standing_px"),
        ({"max_step": 0.0}, "max_step"),
        ({"max_slope": 75.0}, "max_slope"),
        ({"clearance": float("inf")}, "clearance"),
        ({"clearance": 0.2}, "clearance, max_step"),
    ],
)
def test_numbers_out_of_bounds_are_refused(options, named):
    with pytest.raises(InputError, match=named):
        DepthProjector(ONTOLOGY, SIZE, **options)


@settings(max_examples=80, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    block_px=st.integers(1, 30),
    mount=st.tuples(st.floats(0.3, 3), st.floats(-3.1, 3.1), st.floats(-0.3, 1.5), st.floats(-3, 3)),
    pose=st.tuples(st.floats(-0.4, 0.4), st.floats(-0.4, 0.4), st.floats(-3.1, 3.1), st.floats(-500, 500)),
    millimetres=st.booleans(),
)
def test_unknown_is_never_free(seed, block_px, mount, pose, millimetres):
    """Random labels, depth and confidence: a ground cell holds a measured, confident pixel of its class, and no
    confident pixel that stands in it below the clearance, as float64 has it."""
    rng = np.random.default_rng(seed)
    shape = (90, 160)
    coarse = (shape[0] // block_px + 1, shape[1] // block_px + 1)

    def patches(values):
        return np.kron(values, np.ones((block_px, block_px)))[: shape[0], : shape[1]]

    labels = patches(rng.choice([TRACK, GRASS, ROCK, BUSH, SKY, UNLABELLED], coarse)).astype(np.uint8)
    confidence = rng.integers(0, 256, shape).astype(np.uint8)
    depth_HW = patches(rng.choice([0.0, np.nan, np.inf, 1.5, 3.0, 5.0, 9.0], coarse))
    depth_HW = (depth_HW * rng.uniform(0.8, 1.2, shape)).astype(np.float32)
    if millimetres:
        depth_HW = (np.nan_to_num(depth_HW, nan=0.0, posinf=0.0) * 1000).astype(np.uint16)
    camera = CAMERA.scaled(*shape)
    base_T_camera = camera_mount(0.2, 0.0, *mount)
    odom_T_base = Transform.from_rpy(*pose[:3], (pose[3], 2.0, 0.7))
    if (odom_T_base @ base_T_camera).translation_3[2] - 0.7 < 0.1:
        return
    projector = DepthProjector(ONTOLOGY, SIZE, max_range=6.0, min_confidence=0.4, min_standing_px=1)
    try:
        observation = projector.project(
            Segmentation(labels, confidence, 0, "c", 0.5),
            camera,
            base_T_camera,
            odom_T_base,
            depth_HW=depth_HW,
        )
    except DepthError:
        assert not (np.isfinite(depth_HW) & (depth_HW > 0.05)).any()
        return
    v, u = np.divmod(np.arange(labels.size), shape[1])
    rays = camera.rays(np.stack([u, v], axis=1).astype(float))
    metres = depth_HW.ravel() * (0.001 if millimetres else 1.0)
    metres = np.where(np.isfinite(metres) & (metres > 0), metres, np.nan)
    with np.errstate(invalid="ignore"):
        points = (odom_T_base @ base_T_camera).apply(rays / rays[:, 2:] * metres[:, None])
    grid = observation.grid
    rows, columns = np.nonzero(np.isin(observation.labels_HW, (TRACK, GRASS)))
    sure = confidence.ravel() >= 0.4 * 255
    for row, column in list(zip(rows, columns, strict=True))[:40]:
        low = np.array([grid.origin_x + column * 0.1, grid.origin_y + row * 0.1])
        with np.errstate(invalid="ignore"):
            near = ((points[:, :2] > low - 6e-3) & (points[:, :2] < low + 0.1 + 6e-3)).all(axis=1)
        assert (near & sure & (labels.ravel() == observation.labels_HW[row, column])).any()
    known = observation.labels_HW != UNLABELLED
    assert set(np.unique(observation.labels_HW[known])) <= {TRACK, GRASS, ROCK, BUSH, OBSTACLE}
    assert (observation.evidence_HW[~known] == 0).all()
    assert observation.evidence_HW.max() <= 1.0 + 1e-6


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
