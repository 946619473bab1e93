# SPDX-License-Identifier: Apache-2.0
"""The part of the image in which standing things are looked for holds every pixel that shows ground within range."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from offroad_seg.camera import CameraModel
from offroad_seg.mapping.buffers import Scratch
from offroad_seg.mapping.lens import Lens
from offroad_seg.mapping.level import ground_view
from offroad_seg.mapping.occlusion import ground_region
from offroad_seg.transforms import camera_mount

K = (150.0, 0, 118.0, 0, 152.0, 70.0, 0, 0, 1)
CAMERAS = {
    "pinhole": CameraModel.pinhole(240, 136, 150.0),
    "plumb_bob": CameraModel.from_info(240, 136, "plumb_bob", (-0.28, 0.09, 0.001, -0.0008, -0.012), K),
    "equidistant": CameraModel.from_info(
        240, 136, "equidistant", (-0.02, 0.006, -0.003, 0.0004), (90.0, 0, 118.0, 0, 91.0, 70.0, 0, 0, 1)
    ),
}
LENSES = {name: Lens(camera, Scratch()) for name, camera in CAMERAS.items()}


def shows_ground(lens, view, max_range):
    """For every pixel, by the rays themselves: whether it meets the plane within range."""
    v, u = np.mgrid[: lens.camera.height, : lens.camera.width]
    x, y, z = (lens.directions(u.ravel(), v.ravel()).astype(np.float64) @ view.camera_R_grid).T
    with np.errstate(invalid="ignore", divide="ignore"):
        along = view.drop / (z - view.slope_x * x - view.slope_y * y)
        return ((along > 0) & (along * np.hypot(x, y) <= max_range)).reshape(u.shape)


@pytest.mark.parametrize("name", CAMERAS)
@settings(max_examples=60, deadline=None)
@given(
    height=st.floats(0.2, 4.0),
    roll=st.floats(-1.6, 1.6),
    pitch=st.floats(-0.9, 1.5),
    yaw=st.floats(-3.1, 3.1),
    slope=st.tuples(st.floats(-0.3, 0.3), st.floats(-0.3, 0.3)),
    max_range=st.floats(1.0, 100.0),
)
def test_no_pixel_that_shows_ground_within_range_is_left_out(
    name, height, roll, pitch, yaw, slope, max_range
):
    lens = LENSES[name]
    up = np.array([*slope, 1.0])
    mount = camera_mount(0.0, 0.0, height, roll, pitch, yaw)
    view = ground_view(mount, None, ground_up_3=up / np.linalg.norm(up))
    shows = shows_ground(lens, view, max_range)
    v0, v1, u0, u1 = ground_region(lens, view, max_range)
    shows[v0:v1, u0:u1] = False
    assert not shows.any()


def test_the_sky_is_left_out():
    view = ground_view(camera_mount(0.0, 0.0, 1.2, 0.0, 0.1, 0.0), None)
    v0, v1, u0, u1 = ground_region(LENSES["pinhole"], view, 10.0)
    # The horizon is 15 pixels above the middle; ground 10 m away is 18 below that.
    assert 50 <= v0 < 75
    assert (v1, u0, u1) == (136, 0, 240)


def test_nothing_but_sky_is_the_whole_image():
    view = ground_view(camera_mount(0.0, 0.0, 1.2, 0.0, -0.8, 0.0), None)
    assert ground_region(LENSES["pinhole"], view, 10.0) == (0, 136, 0, 240)
