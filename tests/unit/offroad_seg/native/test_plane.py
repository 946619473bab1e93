# SPDX-License-Identifier: Apache-2.0
"""The projection on the ground plane, with and without kernels: equal in every cell, to the last bit."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from offroad_seg.camera import CameraModel
from offroad_seg.errors import TransformError
from offroad_seg.mapping.grid import GridSize
from offroad_seg.mapping.ground_plane import GroundPlaneProjector
from offroad_seg.mapping.level import ground_view
from offroad_seg.mapping.looks import Cells
from offroad_seg.native import library
from offroad_seg.ontology import Ontology
from offroad_seg.transforms import Transform, camera_mount
from offroad_seg.types import UNLABELLED, GridObservation, Segmentation
from tests.helpers.native import twins
from tests.helpers.terrain import (
    BUSH,
    GRASS,
    POSES,
    ROCK,
    SKY,
    TRACK,
    class_blocks,
    mounts,
    terrain_classes,
)

ONTOLOGY = terrain_classes()
SIZE = GridSize(9.0, 7.0, 0.1)
_K = (62.0, 0, 51.3, 0, 60.0, 30.2, 0, 0, 1)
CAMERAS = {
    "pinhole": CameraModel.pinhole(104, 61, 60.0),
    "plumb_bob": CameraModel.from_info(104, 61, "plumb_bob", (-0.25, 0.07, 0.001, -0.001, -0.008), _K),
    "rational": CameraModel.from_info(
        104, 61, "rational_polynomial", (2.1, 0.7, 2e-4, -1e-4, 0.03, 2.4, 1.3, 0.16), _K
    ),
    "fisheye": CameraModel.from_info(104, 61, "equidistant", (-0.02, 0.006, -0.003, 0.0004), _K),
    "no distortion given as zeros": CameraModel.from_info(104, 61, "plumb_bob", (0.0,) * 5, _K),
}


def picture(seed: int, block: int, camera: CameraModel) -> Segmentation:
    """Random classes in square blocks, some pixels of noise, random confidence."""
    rng = np.random.default_rng(seed)
    shape = (camera.height, camera.width)
    classes = [TRACK, GRASS, TRACK, GRASS, ROCK, BUSH, SKY, UNLABELLED, 77]
    labels = class_blocks(rng, classes, block, shape)
    noise = rng.random(shape) < 0.02
    labels[noise] = rng.integers(0, 256, noise.sum())
    return Segmentation(labels, rng.integers(0, 256, shape).astype(np.uint8), 0, "camera", 0.5)


def kept(observation: GridObservation) -> list[np.ndarray]:
    assert observation.confidence_HW is not None
    return [a.copy() for a in (observation.labels_HW, observation.evidence_HW, observation.confidence_HW)]


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    block=st.integers(1, 25),
    camera=st.sampled_from(list(CAMERAS)),
    mount=mounts(ahead=4, aside=3, yaw=3.1),
    pose=POSES,
    shadow=st.sampled_from(["ray", "object", "none"]),
    contact_slope=st.sampled_from([0.0, 2.0]),
    min_standing_px=st.integers(1, 4),
    keep_unlabelled=st.booleans(),
    min_confidence=st.sampled_from([0.0, 0.4]),
    slope=st.tuples(st.floats(-0.2, 0.2), st.floats(-0.2, 0.2)),
    max_range=st.sampled_from([2.5, 6.0]),
)
@example(
    seed=1, block=9, camera="pinhole", mount=(0, 0, 1.2, 0, 0.3, 0), pose=(0, 0, 0, 0, 0), shadow="ray",
    contact_slope=2.0, min_standing_px=2, keep_unlabelled=False, min_confidence=0.0, slope=(0, 0), max_range=2.5,
)  # fmt: skip
@example(
    seed=2, block=7, camera="plumb_bob", mount=(0, 0, 1.2, math.pi / 2, 0.4, 0), pose=(0.1, 0, 1, 3, 4), shadow="ray",
    contact_slope=2.0, min_standing_px=1, keep_unlabelled=True, min_confidence=0.4, slope=(0.1, 0),
    max_range=6.0,
)  # fmt: skip
def test_projection_twins(
    seed,
    block,
    camera,
    mount,
    pose,
    shadow,
    contact_slope,
    min_standing_px,
    keep_unlabelled,
    min_confidence,
    slope,
    max_range,
):
    segmentation = picture(seed, block, CAMERAS[camera])
    up_3 = np.array([-slope[0], -slope[1], 1.0]) / math.hypot(*slope, 1.0)
    options = {
        "shadow": shadow,
        "contact_slope": contact_slope,
        "min_standing_px": min_standing_px,
        "keep_unlabelled": keep_unlabelled,
        "min_confidence": min_confidence,
        "max_range": max_range,
    }

    def work() -> list[np.ndarray]:
        projector = GroundPlaneProjector(ONTOLOGY, SIZE, **options)
        found = []
        # The second pose is within the table's tolerance, the third is not; then the first picture again.
        for step in (0.0, 1e-5, 0.07):
            here = Transform.from_rpy(pose[0], pose[1], pose[2] + step, (pose[3] + step, pose[4], 0.7))
            observation = projector.project(
                segmentation, CAMERAS[camera], camera_mount(*mount), here, ground_up_3=up_3
            )
            found += kept(observation)
        return found

    try:
        numpy, native = twins(work)
    except TransformError:  # the camera is below the ground
        assume(False)
    for one, other in zip(numpy, native, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_drive_twins_that_learns_how_even_the_ground_is():
    """The slope up to a foot changes from frame to frame; from even ground it shrinks what a rock closes."""
    segmentation = picture(3, 12, CAMERAS["pinhole"])

    def work() -> list[np.ndarray]:
        projector = GroundPlaneProjector(
            ONTOLOGY, SIZE, max_range=6.0, contact_slope=6.0, contact_slope_least=1.0
        )
        found = []
        for k in range(60):
            here = Transform.from_rpy(0.0, 0.0, 0.2, (k, 0.0, 1e-3 * k))
            observation = projector.project(
                segmentation, CAMERAS["pinhole"], camera_mount(0, 0, 1.2, 0, 0.4, 0), here
            )
            found += kept(observation)
        assert projector.contact_slope < 4.0
        return found

    numpy, native = twins(work)
    for one, other in zip(numpy, native, strict=True):
        np.testing.assert_array_equal(one, other)
    assert (numpy[-3] == ROCK).sum() < 0.9 * (numpy[0] == ROCK).sum()


@pytest.mark.parametrize("camera", CAMERAS)
def test_a_look_at_the_ground_twins_sees_something(camera):
    """What the property test above compares is not all empty."""
    segmentation = picture(3, 12, CAMERAS[camera])

    def work() -> list[np.ndarray]:
        projector = GroundPlaneProjector(ONTOLOGY, SIZE, max_range=6.0, contact_slope=2.0)
        return kept(projector.project(segmentation, CAMERAS[camera], camera_mount(0, 0, 1.2, 0, 0.4, 0)))

    for labels, evidence, confidence in twins(work):
        assert {TRACK, GRASS, ROCK, BUSH} <= set(np.unique(labels).tolist())
        assert (evidence > 0).sum() > 300
        assert (confidence[(labels == UNLABELLED)] == 0).all()


def test_noise_all_over_twins():
    """More edge pixels than are looked at, in a picture that is all noise."""
    camera = CameraModel.pinhole(330, 310, 200.0)
    rng = np.random.default_rng(0)
    labels = rng.choice(np.array([TRACK, ROCK, BUSH], np.uint8), (310, 330))
    segmentation = Segmentation(labels, rng.integers(0, 256, labels.shape).astype(np.uint8), 0, "camera", 0.5)

    def work() -> list[np.ndarray]:
        projector = GroundPlaneProjector(ONTOLOGY, SIZE, max_range=6.0, min_standing_px=1)
        return kept(projector.project(segmentation, camera, camera_mount(0, 0, 1.2, 0, 0.8, 0)))

    numpy, native = twins(work)
    for one, other in zip(numpy, native, strict=True):
        np.testing.assert_array_equal(one, other)


def test_many_standing_classes_twins():
    """So many that the kernel looks them up instead of comparing."""
    names = [f"class{k}" for k in range(24)]
    ontology = Ontology.from_dict(
        {
            "name": "many",
            "classes": [
                {"name": n, "color": [9 * k, 1, 2], "raw": [k + 1], "cost": "lethal" if k % 3 else 20, "standing": k > 3}
                for k, n in enumerate(names)
            ],
        }
    )  # fmt: skip
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 24, (16, 27)) * (rng.random((16, 27)) < 0.2)
    labels = np.kron(coarse, np.ones((4, 4)))[:61, :104].astype(np.uint8)
    segmentation = Segmentation(labels, np.full((61, 104), 200, np.uint8), 0, "camera", 0.5)

    def work() -> list[np.ndarray]:
        projector = GroundPlaneProjector(ontology, SIZE, max_range=6.0, contact_slope=2.0)
        return kept(projector.project(segmentation, CAMERAS["pinhole"], camera_mount(0, 0, 1.2, 0, 0.4, 0)))

    numpy, native = twins(work)
    assert np.unique(numpy[0]).size > 8
    for one, other in zip(numpy, native, strict=True):
        np.testing.assert_array_equal(one, other)


def test_another_window_than_the_kernel_has_room_for_is_refused():
    """It trusts what it is told; a projector never asks for one."""
    if not library.enabled():
        pytest.skip(library.find()[1])
    projector = GroundPlaneProjector(ONTOLOGY, SIZE, max_range=6.0)
    segmentation = picture(0, 9, CAMERAS["pinhole"])
    projector.project(segmentation, CAMERAS["pinhole"], camera_mount(0, 0, 1.2, 0, 0.4, 0))
    kernel, view = projector._kernel, ground_view(camera_mount(0, 0, 1.2, 0, 0.4, 0), None)
    assert kernel is not None
    pictures = (segmentation.labels_HW, segmentation.confidence_HW)
    for size in (GridSize(9.1, 7.0, 0.1), GridSize(4.5, 3.5, 0.05)):
        with pytest.raises(ValueError, match="is not one of"):
            kernel.project(
                *pictures,
                view,
                size.around(0, 0),
                [(0, 1)],
                (0.1, 0.2),
                Cells.empty(size.cells_y, size.cells_x),
            )
    for out in (Cells.empty(70, 91), Cells.empty(71, 90)):
        with pytest.raises(ValueError, match="a kernel wants"):
            kernel.project(*pictures, view, SIZE.around(0, 0), [(0, 1)], (0.1, 0.2), out)
    small = np.zeros((60, 104), np.uint8)
    with pytest.raises(ValueError, match="a kernel wants"):
        kernel.project(small, small, view, SIZE.around(0, 0), [(0, 1)], (0.1, 0.2), Cells.empty(70, 90))


def test_the_nearest_pixel_is_rounded_as_the_kernel_does():
    """``cv2.remap`` takes halves to the even pixel, on every version: the kernel's rintf does the same."""
    image = np.arange(8, dtype=np.uint8)[None, :]
    u = np.array(
        [[-0.51, -0.5, -0.49, 0.49, 0.5, 0.51, 1.5, 2.5, 2.4999, 6.5, 7.49, 7.5, 1e9, -1e9]], np.float32
    )
    seen = cv2.remap(
        image, u, np.zeros_like(u), cv2.INTER_NEAREST, borderMode=cv2.BORDER_CONSTANT, borderValue=99
    )
    even = np.rint(u[0])
    want = np.where((even >= 0) & (even < 8), even, 99)
    np.testing.assert_array_equal(seen[0], want)
