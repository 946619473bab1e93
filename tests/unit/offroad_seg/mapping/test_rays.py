# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from offroad_seg.camera import CameraModel
from offroad_seg.mapping.rays import NODE_TOLERANCE, RayTable

LENSES = {
    "none": ("plumb_bob", ()),
    "mild": ("plumb_bob", (-0.045, 0.008, 0.0004, -0.0003, 0.0)),
    "strong": ("plumb_bob", (-0.3, 0.09, 0.001, -0.001, -0.01)),
    "rational": ("rational_polynomial", (0.4, -0.2, 0.0003, -0.0002, 0.02, 0.75, -0.15, 0.03)),
    "fisheye": ("equidistant", (-0.02, 0.006, -0.003, 0.0004)),
}


def camera_of(lens: str, width: int, height: int, focal: float) -> CameraModel:
    k = (focal, 0, width / 2.1, 0, 1.02 * focal, height / 1.9, 0, 0, 1)
    return CameraModel.from_info(width, height, *LENSES[lens], k)


def worst_px(table: RayTable, camera: CameraModel) -> float:
    """Pixels by which the table's rays miss those of the camera, over all pixels."""
    v, u = np.mgrid[: camera.height, : camera.width].reshape(2, -1).astype(np.float64)
    rays_N3 = camera.rays(np.stack([u, v], axis=1))
    with np.errstate(invalid="ignore"):
        true = rays_N3[:, :2] / rays_N3[:, 2:]
    found = np.stack([np.broadcast_to(t, (camera.height, camera.width)).ravel() for t in table.full], axis=1)
    np.testing.assert_array_equal(np.isnan(found), np.isnan(true))
    return float(np.nanmax(np.abs(found - true) * (camera.fx, camera.fy)))


@pytest.mark.parametrize("lens", LENSES)
@pytest.mark.parametrize(("width", "height", "focal"), [(321, 203, 240.0), (160, 97, 90.0), (9, 1, 7.0)])
def test_rays_are_true_to_a_twentieth_of_a_pixel(lens, width, height, focal):
    """In whichever form they are kept."""
    camera = camera_of(lens, width, height, focal)
    assert worst_px(RayTable.of(camera), camera) < 1.2 * NODE_TOLERANCE


def test_nodes_are_a_sixtieth_of_the_memory():
    """What a common lens needs; the strongest ones keep every pixel."""
    mild = RayTable.of(camera_of("mild", 1280, 720, 650.0))
    assert mild.nodes is not None
    assert sum(node.nbytes for node in mild.nodes) * 60 < 2 * 4 * 1280 * 720
    assert RayTable.of(camera_of("fisheye", 160, 97, 40.0)).nodes is None
    assert RayTable.of(camera_of("none", 160, 97, 90.0)).nodes is None


@given(
    lens=st.sampled_from(sorted(LENSES)),
    size=st.tuples(st.integers(1, 60), st.integers(1, 50)),
    focal=st.floats(5.0, 300.0),
)
def test_limits_hold_every_ray(lens, size, focal):
    """Of a row's rays none lies outside, but for rounding; where some are missing, so are the limits."""
    table = RayTable.of(camera_of(lens, *size, focal))
    x, y = (np.broadcast_to(t, size[::-1]) for t in table.full)
    rows = table.limits[2:].reshape(-1, 2)
    step = 8 if table.nodes is not None else 1
    assert len(rows) == (size[1] - 1) // step + 1
    for v in range(size[1]):
        for ray, (least, most) in ((x[v], table.limits[:2]), (y[v], rows[v // step])):
            if np.isnan([least, most]).any():
                assert np.isnan(x).any()
            else:
                margin = 1e-5 * (1.0 + np.abs(ray).max())
                assert least - margin <= ray.min()
                assert ray.max() <= most + margin
