# SPDX-License-Identifier: Apache-2.0
"""The in-place float32 projection against CameraModel, which is the reference."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from offroad_seg.camera import CameraModel
from offroad_seg.mapping.buffers import Scratch
from offroad_seg.mapping.lens import Lens
from offroad_seg.mapping.level import ground_view
from offroad_seg.transforms import camera_mount

K = (420.0, 0, 310.0, 0, 425.0, 244.0, 0, 0, 1)
CAMERAS = {
    "pinhole": CameraModel.pinhole(640, 480, 420.0, 425.0, 310.0, 244.0),
    "plumb_bob": CameraModel.from_info(640, 480, "plumb_bob", (-0.28, 0.09, 0.001, -0.0008, -0.012), K),
    "barrel_that_folds": CameraModel.from_info(640, 480, "plumb_bob", (-0.4, 0.0, 0.0, 0.0, 0.0), K),
    "rational": CameraModel.from_info(
        640, 480, "rational_polynomial", (2.1, 0.7, 2e-4, -1e-4, 0.03, 2.4, 1.3, 0.16), K
    ),
    "equidistant": CameraModel.from_info(640, 480, "equidistant", (-0.02, 0.006, -0.003, 0.0004), K),
    "ideal_equidistant": CameraModel.from_info(640, 480, "equidistant", (0.0, 0.0, 0.0, 0.0), K),
}


@pytest.mark.parametrize("name", CAMERAS)
def test_pixels_agree_with_the_camera_model(name):
    camera = CAMERAS[name]
    rng = np.random.default_rng(3)
    points = rng.uniform((-12, -8, -3), (12, 8, 15), (20_000, 3))
    uv, valid = camera.project(points)
    x, y, z = (points[:, k].astype(np.float32) for k in range(3))
    ok = Lens(camera, Scratch()).project(x, y, z)
    # Within a hair of the image's border, of the lens's range or of the camera's plane either may be right.
    disagree = np.flatnonzero(ok != valid)
    assert disagree.size < 10
    both = ok & valid & (points[:, 2] > 0.05)
    assert both.sum() > 2000
    error = np.hypot(x[both] - uv[both, 0], y[both] - uv[both, 1])
    assert error.max() < 0.02


@pytest.mark.parametrize("name", CAMERAS)
def test_directions_lead_back_to_their_pixels(name):
    camera = CAMERAS[name]
    lens = Lens(camera, Scratch())
    u, v = (a.ravel() for a in np.meshgrid(np.arange(0, 640, 13), np.arange(0, 480, 11)))
    directions = lens.directions(u, v).astype(np.float64)
    known = np.isfinite(directions).all(axis=1)
    exact = np.isfinite(camera.rays(np.stack([u, v], axis=1).astype(float))).all(axis=1)
    assert known.sum() > 0.9 * exact.sum()
    uv, _ = camera.project(directions[known])
    error = np.hypot(uv[:, 0] - u[known], uv[:, 1] - v[known])
    # Points that leave the image by a hair are NaN: at the border only.
    assert np.isfinite(error).mean() > 0.97
    # Where a strong barrel folds over, its inverse is infinitely steep.
    assert np.nanmax(error) < (1.0 if name == "barrel_that_folds" else 0.03)


def test_points_behind_and_far_outside_are_not_ok_and_stay_finite():
    camera = CAMERAS["plumb_bob"]
    x = np.array([0.0, 0.0, 50.0, -1e4], np.float32)
    y = np.array([0.0, 0.5, 50.0, 1e4], np.float32)
    z = np.array([-2.0, 0.0, 0.1, 0.02], np.float32)
    ok = Lens(camera, Scratch()).project(x, y, z)
    assert not ok.any()
    assert np.isfinite(x).all()
    assert np.isfinite(y).all()


@pytest.mark.parametrize("name", CAMERAS)
@pytest.mark.parametrize("mount", [(0.0, 0.3, 0.0), (0.4, 0.1, 0.0), (0.0, 1.2, 0.5)])
def test_a_lattice_on_the_ground_is_looked_up_where_the_camera_model_sees_it(name, mount):
    camera = CAMERAS[name]
    view = ground_view(camera_mount(0.3, -0.2, 1.3, *mount), None)
    x_W, y_H = np.linspace(-4.0, 9.0, 181), np.linspace(-5.0, 5.0, 153)
    lens = Lens(camera, Scratch())
    u, v, depth = lens.lattice(lens.rows_of(view.homography_33), x_W, y_H, "")
    ground = np.stack([*np.meshgrid(x_W, y_H), np.ones((153, 181))], axis=-1)
    points = ground.reshape(-1, 3) @ view.homography_33.T
    uv, valid = camera.project(points)
    valid = valid.reshape(u.shape)
    assert valid.sum() > 500
    assert not valid.all()
    assert np.allclose(depth[valid], points[:, 2].reshape(u.shape)[valid], atol=1e-4)
    # Pictures of their own places: what is looked up is the nearest pixel.
    rows, columns = np.mgrid[: camera.height, : camera.width].astype(np.float32)
    for places, exact in ((columns, uv[:, 0]), (rows, uv[:, 1])):
        found = cv2.remap(places, u, v, cv2.INTER_NEAREST, borderMode=cv2.BORDER_CONSTANT, borderValue=-1)
        # Within a hair of the image's border, of the lens's range or of the camera's plane either may be right.
        assert ((found >= 0) != valid).sum() < 10
        both = valid & (found >= 0)
        assert np.abs(found - exact.reshape(u.shape))[both].max() < 0.52
