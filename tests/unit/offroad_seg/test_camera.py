# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from offroad_seg.camera import CameraModel
from offroad_seg.errors import CameraError

K = (400.0, 0, 310.0, 0, 420.0, 245.0, 0, 0, 1)
MODELS = {
    "plumb_bob": (-0.3, 0.1, 0.001, -0.002, -0.02),
    "rational_polynomial": (0.5, -0.2, 0.001, 0.001, 0.05, 0.8, -0.1, 0.02),
    "equidistant": (0.05, -0.01, 0.003, -0.001),
}


def camera(model: str = "plumb_bob", d: tuple[float, ...] = (), **kwargs) -> CameraModel:
    return CameraModel.from_info(640, 480, model, d, K, **kwargs)


@pytest.mark.parametrize("model", MODELS)
def test_projection_is_opencvs(model):
    cam = camera(model, MODELS[model])
    points = np.random.default_rng(1).uniform([-2, -1.5, 2], [2, 1.5, 6], (500, 3))
    uv, valid = cam.project(points)
    d = np.array(MODELS[model])
    zero = np.zeros(3)
    if model == "equidistant":
        expected, _ = cv2.fisheye.projectPoints(points.reshape(-1, 1, 3), zero, zero, cam.K_33, d)
    else:
        expected, _ = cv2.projectPoints(points, zero, zero, cam.K_33, d)
    assert valid.mean() > 0.8
    np.testing.assert_allclose(uv[valid], expected.reshape(-1, 2)[valid], atol=1e-9)


@pytest.mark.parametrize("model", MODELS)
@settings(max_examples=30, deadline=None)
@given(u=st.floats(0, 639), v=st.floats(0, 479), distance=st.floats(0.1, 100))
def test_rays_invert_projection(model, u, v, distance):
    cam = camera(model, MODELS[model])
    ray = cam.rays(np.array([[u, v]]))
    if np.isnan(ray).any():
        return  # the corner of plumb_bob, beyond its monotonic range
    assert np.linalg.norm(ray) == pytest.approx(1)
    uv, _ = cam.project(np.vstack([ray * distance, ray * distance]))
    np.testing.assert_allclose(uv[0], [u, v], atol=0.05)


def test_most_of_the_image_has_a_ray():
    grid = np.stack(np.meshgrid(np.arange(640), np.arange(480)), -1).reshape(-1, 2).astype(float)
    for model, d in MODELS.items():
        assert np.isfinite(camera(model, d).rays(grid)).all(axis=1).mean() > 0.95


@pytest.mark.parametrize("model", [*MODELS, "none"])
def test_points_behind_or_far_off_the_axis_are_never_valid(model):
    cam = camera(model, MODELS.get(model, ()))
    points = np.array([[0.1, 0.1, -1.0], [0, 0, 0.0], [50.0, 0, 0.5], [0, 40.0, 0.5], [np.nan, 0, 1]])
    uv, valid = cam.project(points)
    assert not valid.any()
    assert np.isnan(uv).all()


def test_barrel_distortion_does_not_fold_far_points_back_into_the_image():
    # Beyond the maximum of r(1 + k1 r²) the polynomial falls again: OpenCV maps such points into the picture.
    cam = camera("plumb_bob", (-0.35, 0.0, 0.0, 0.0))
    far = np.array([[1.69, 0.0, 1.0]])
    folded, _ = cv2.projectPoints(far, np.zeros(3), np.zeros(3), cam.K_33, np.array([-0.35, 0, 0, 0]))
    assert 0 <= folded[0, 0, 0] <= 639
    assert not cam.project(far)[1].any()


def test_roi_and_binning_act_as_on_the_sensor():
    cam = camera(binning=(2, 2), roi=(100, 60, 400, 300))
    assert (cam.width, cam.height) == (200, 150)
    full = camera()
    point = np.array([[0.1, -0.05, 2.0]])
    uv_full = full.project(point)[0][0]
    # Pixel k of the binned image averages sensor pixels 2k and 2k + 1 of the ROI: their centre is 2k + ½.
    np.testing.assert_allclose(cam.project(point)[0][0], (uv_full - [100, 60] + 0.5) / 2 - 0.5)


def test_scaled_camera_sees_the_same_place():
    cam = camera("plumb_bob", MODELS["plumb_bob"])
    half = cam.scaled(240, 320)
    point = np.array([[0.3, 0.2, 2.0]])
    np.testing.assert_allclose(half.project(point)[0][0] + 0.5, (cam.project(point)[0][0] + 0.5) / 2)


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"k": (0.0, 0, 310, 0, 420, 245, 0, 0, 1)}, "focal length"),
        ({"k": (-4.0, 0, 310, 0, 420, 245, 0, 0, 1)}, "focal length"),
        ({"k": (float("nan"), 0, 310, 0, 420, 245, 0, 0, 1)}, "not finite"),
        ({"d": (float("inf"), 0, 0, 0, 0)}, "not finite"),
        ({"d": (0.1, 0.2)}, "2 coefficients"),
        ({"k": (1.0, 2.0)}, "K has 2"),
        ({"distortion_model": "double_sphere"}, "not known"),
        ({"width": 0}, "size 0×480"),
        ({"roi": (600, 0, 100, 100)}, "outside"),
        ({"image_size": (481, 640)}, "the image is 640×481"),
    ],
)
def test_bad_camera_info_is_refused(kwargs, message):
    good = {"width": 640, "height": 480, "distortion_model": "plumb_bob", "d": (0.0,) * 5, "k": K}
    CameraModel.from_info(**good)
    with pytest.raises(CameraError, match=message):
        CameraModel.from_info(**{**good, **kwargs})
