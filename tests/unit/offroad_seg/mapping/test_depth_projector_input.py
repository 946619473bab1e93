# SPDX-License-Identifier: Apache-2.0
"""Projection by depth: what is no depth, no confidence or no label says nothing, and never that the way is free."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from offroad_seg.errors import CameraError, DepthError, InputError
from offroad_seg.mapping.depth_projector import DepthProjector
from offroad_seg.transforms import Transform, camera_mount
from offroad_seg.types import OBSTACLE, UNLABELLED, Segmentation
from tests.helpers.box_world import segmentation_of
from tests.helpers.depth_views import CAMERA, FLAT, MOUNT, ONTOLOGY, SIZE, cells, project, ramp
from tests.helpers.solid_world import below, block, look
from tests.helpers.terrain import BUSH, GRASS, ROCK, SKY, TRACK


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


def test_confidence_is_that_of_what_made_the_cell():
    """The mean of a ground cell's points, the point's own of what stands, and that of a measurement for a shape."""
    solids = [
        FLAT,
        block(ROCK, (4.0, 4.4), (-0.4, 0.4), (0.0, 0.9)),
        block(TRACK, (4.0, 4.4), (1.0, 1.6), (0.0, 0.9)),
    ]
    labels, depth_HW = look(solids, CAMERA, MOUNT, SKY)
    said = segmentation_of(labels, 7, 255)
    said.confidence_HW[labels == TRACK] = 130
    said.confidence_HW[labels == ROCK] = 190
    projector = DepthProjector(ONTOLOGY, SIZE, max_range=8.0)
    found = projector.project(said, CAMERA, MOUNT, Transform.identity(), depth_HW=depth_HW)
    assert found.confidence_HW is not None
    known = found.evidence_HW > 0
    assert (found.confidence_HW[~known] == 0).all()
    for label, confidence in ((TRACK, 130), (ROCK, 190), (OBSTACLE, 255)):
        here = known & (found.labels_HW == label)
        assert here.sum() > 5, label
        assert (found.confidence_HW[here] == confidence).all(), label
    # Points of one cell that differ: their mean.
    rng = np.random.default_rng(0)
    said.confidence_HW[:] = rng.choice(np.array([100, 200], np.uint8), labels.shape)
    kept = found.confidence_HW
    mixed = projector.project(said, CAMERA, MOUNT, Transform.identity(), depth_HW=depth_HW)
    ground = (mixed.evidence_HW > 0) & (mixed.labels_HW == TRACK)
    assert 140 < mixed.confidence_HW[ground].mean() < 160
    assert len(np.unique(mixed.confidence_HW[ground])) > 10
    assert (kept[found.labels_HW == OBSTACLE] == 255).all()  # kept until the next but one call
