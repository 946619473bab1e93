# SPDX-License-Identifier: Apache-2.0
"""Projection of many points at once, in float32 and in place.

The same formulas as ``CameraModel``, which is the reference that the tests hold it against; here without an
allocation, because a moving vehicle projects tens of thousands of cells for every frame.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from offroad_seg.mapping.directions import arctan_unit, count_for

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from offroad_seg.camera import CameraModel
    from offroad_seg.mapping.buffers import Scratch

    F32 = NDArray[np.float32]
    Bool = NDArray[np.bool_]

# Points nearer than this to the camera's plane (metres) count as behind it. It also bounds x/z, so that no
# polynomial below overflows float32.
_MIN_DEPTH = 1e-2
_RAY_STEP = 4.0
_BORDER_RAYS = 24
_NODES = 17
_OUTSIDE = -1e6


class Lens:
    """A camera model made ready for whole grids of points.

    Args:
        camera: The calibration.
        scratch: Kept memory; names starting with ``lens`` are used.
    """

    def __init__(self, camera: CameraModel, scratch: Scratch) -> None:
        self.camera = camera
        self._scratch = scratch
        self._max_r2 = float(camera.max_radius) ** 2 if camera.D else math.inf
        self.focal = math.sqrt(camera.fx * camera.fy)
        """Mean focal length, pixels."""
        self.directions_around = count_for(1.0 / self.focal)
        """How many directions around its foot are told apart: see ``directions``."""
        self.numbers_14 = _numbers(camera, self._max_r2)
        """float64: what the compiled kernels are told of the lens (``lens_of`` in native/lens.h)."""
        # Undistorted x/z, y/z of every pixel. Built on first use: the inverse is an iteration.
        self._table_N2: F32 | None = None
        self._border_N2: NDArray[np.float64] | None = None
        self._nodes: tuple[NDArray[np.intp], NDArray[np.intp], F32] | None = None

    def project(self, x: F32, y: F32, z: F32) -> Bool:
        """Points in the optical frame → pixels, in place.

        Args:
            x: float32 of any shape; becomes u.
            y: Becomes v.
            z: Depth, metres; raised to a small positive number where it is not in front of the camera.

        Returns:
            Whether each point is in front, within the lens's range, and inside the image (a kept buffer, until the
            next call).
        """
        camera = self.camera
        ok = self.place(x, y, z)
        test = self._scratch.get("lens_test", x.shape, np.bool_)
        for values, size in ((x, camera.width), (y, camera.height)):
            np.greater_equal(values, -0.5, out=test)
            np.logical_and(ok, test, out=ok)
            np.less(values, size - 0.5, out=test)
            np.logical_and(ok, test, out=ok)
        return ok

    def place(self, x: F32, y: F32, z: F32) -> Bool:
        """As ``project``, inside the image or not."""
        camera = self.camera
        get = self._scratch.get
        ok = get("lens_ok", x.shape, np.bool_)
        test = get("lens_test", x.shape, np.bool_)
        t = get("lens_t", x.shape)
        np.greater(z, _MIN_DEPTH, out=ok)
        np.maximum(z, _MIN_DEPTH, out=z)
        np.divide(1.0, z, out=t)
        np.multiply(x, t, out=x)
        np.multiply(y, t, out=y)
        if camera.D:
            if camera.model == "equidistant":
                self._distort_fisheye(x, y, t, ok, test)
            else:
                self._distort(x, y, t, ok, test)
        np.multiply(x, camera.fx, out=x)
        np.add(x, camera.cx, out=x)
        np.multiply(y, camera.fy, out=y)
        np.add(y, camera.cy, out=y)
        return ok

    def rows_of(self, homography_33: NDArray[np.float64]) -> NDArray[np.float64]:
        """(X, Y, 1), metres on a plane, → what ``lattice`` makes pixels of.

        Without distortion the camera's matrix is one more linear step.

        Args:
            homography_33: (X, Y, 1) → points in the optical frame.
        """
        camera = self.camera
        if camera.D:
            return homography_33
        # As in native/plane.c, in whose order a product of matrices may not add.
        x_3, y_3, z_3 = homography_33
        return np.stack([camera.fx * x_3 + camera.cx * z_3, camera.fy * y_3 + camera.cy * z_3, z_3])

    def lattice(
        self,
        rows_33: NDArray[np.float64],
        x_W: NDArray[np.float64],
        y_H: NDArray[np.float64],
        key: str,
    ) -> tuple[F32, F32, F32]:
        """Where the points of a lattice on a plane are seen, not rounded: what ``cv2.remap`` looks up.

        Args:
            rows_33: See ``rows_of``.
            x_W: X of the columns, metres.
            y_H: Y of the rows.
            key: Whose result it is: kept buffers last until the next call with the same key.

        Returns:
            float32 (H, W): u and v, pixels, outside the image for points behind the camera or beyond the lens's range;
            and depth along the optical axis, metres, raised to a small positive number: until the next call.
        """
        shape = (y_H.size, x_W.size)
        points = []
        for row, name in zip(rows_33, ("u" + key, "v" + key, "z"), strict=True):
            along_x = (row[0] * x_W).astype(np.float32)
            along_y = (row[1] * y_H + row[2]).astype(np.float32)
            out = self._scratch.get("lattice_" + name, shape)
            points.append(np.add(along_y[:, None], along_x[None, :], out=out))
        u, v, depth = points
        if self.camera.D:
            seen = self.place(u, v, depth)
            if not seen.all():
                np.copyto(u, _OUTSIDE, where=~seen)
            return u, v, depth
        # What is behind the camera comes to lie far to the side: nothing of the plane is nearer than its height.
        np.maximum(depth, _MIN_DEPTH, out=depth)
        near = np.divide(1.0, depth, out=self._scratch.get("lens_t", shape))
        np.multiply(u, near, out=u)
        np.multiply(v, near, out=v)
        return u, v, depth

    def directions(self, u: NDArray[np.intp], v: NDArray[np.intp]) -> F32:
        """Pixels → directions in the optical frame with z = 1, float32 (N, 3); NaN where there is none."""
        camera = self.camera
        out = np.ones((u.size, 3), np.float32)
        if not camera.D:
            out[:, 0] = (u - camera.cx) * (1.0 / camera.fx)
            out[:, 1] = (v - camera.cy) * (1.0 / camera.fy)
            return out
        table_N2 = self.table_N2
        assert table_N2 is not None
        out[:, :2] = np.take(table_N2, v * camera.width + u, axis=0)
        return out

    @property
    def table_N2(self) -> F32 | None:
        """Undistorted x/z and y/z of every pixel, row by row, NaN where there is none; None without distortion."""
        if self._table_N2 is None and self.camera.D:
            self._table_N2 = self._build_table()
        return self._table_N2

    def border(self) -> NDArray[np.float64]:
        """Directions of pixels around the image's border, float64 (N, 2): x / z and y / z; NaN where there is none."""
        if self._border_N2 is None:
            right, bottom = self.camera.width - 1, self.camera.height - 1
            along = np.linspace(0, right, _BORDER_RAYS).astype(np.intp)
            down = np.linspace(0, bottom, _BORDER_RAYS).astype(np.intp)
            u = np.concatenate([along, along, np.zeros_like(down), np.full_like(down, right)])
            v = np.concatenate([np.zeros_like(along), np.full_like(along, bottom), down, down])
            self._border_N2 = self.directions(u, v)[:, :2].astype(np.float64)
        return self._border_N2

    def nodes(self) -> tuple[NDArray[np.intp], NDArray[np.intp], F32]:
        """Columns and rows of a coarse lattice over the image, and its directions, (rows, columns, 3) as there."""
        if self._nodes is None:
            u = np.linspace(0, self.camera.width - 1, _NODES).astype(np.intp)
            v = np.linspace(0, self.camera.height - 1, _NODES).astype(np.intp)
            at = self.directions(np.tile(u, _NODES), np.repeat(v, _NODES))
            self._nodes = u, v, at.reshape(_NODES, _NODES, 3)
        return self._nodes

    def _build_table(self) -> F32:
        """Invert the distortion at every fourth pixel and interpolate: exact to 0.03 pixels."""
        camera = self.camera
        nodes_u, weights_u = _knots(camera.width)
        nodes_v, weights_v = _knots(camera.height)
        u, v = np.meshgrid(nodes_u, nodes_v)
        rays = camera.rays(np.stack([u.ravel(), v.ravel()], axis=1))
        with np.errstate(invalid="ignore"):
            coarse = (rays[:, :2] / rays[:, 2:]).astype(np.float32).reshape(*u.shape, 2)
        table = np.empty((camera.height, camera.width, 2), np.float32)
        below, row_share = weights_v
        right, column_share = weights_u
        for k in range(2):
            rows = (
                coarse[below, :, k] * (1 - row_share[:, None]) + coarse[below + 1, :, k] * row_share[:, None]
            )
            table[..., k] = rows[:, right] * (1 - column_share) + rows[:, right + 1] * column_share
        return table.reshape(-1, 2)

    def _radius(self, x: F32, y: F32, t: F32, ok: Bool, test: Bool) -> F32:
        """x² + y², limited to the lens's range; ``ok`` becomes false beyond it."""
        r2 = self._scratch.get("lens_r2", x.shape)
        np.multiply(x, x, out=r2)
        np.multiply(y, y, out=t)
        np.add(r2, t, out=r2)
        np.less_equal(r2, self._max_r2, out=test)
        np.logical_and(ok, test, out=ok)
        np.minimum(r2, self._max_r2, out=r2)
        return r2

    def _distort(self, x: F32, y: F32, t: F32, ok: Bool, test: Bool) -> None:
        k1, k2, p1, p2, k3, k4, k5, k6 = (*self.camera.D, *([0.0] * (8 - len(self.camera.D))))
        r2 = self._radius(x, y, t, ok, test)
        radial = self._scratch.get("lens_radial", x.shape)
        _polynomial((k3, k2, k1, 1.0), r2, radial)
        if k4 or k5 or k6:
            _polynomial((k6, k5, k4, 1.0), r2, t)
            np.divide(radial, t, out=radial)
        if p1 or p2:
            # x' = x (radial + 2 p1 y + 2 p2 x) + p2 r², and y' likewise with p1 r².
            np.multiply(y, 2 * p1, out=t)
            np.add(radial, t, out=radial)
            np.multiply(x, 2 * p2, out=t)
            np.add(radial, t, out=radial)
        np.multiply(x, radial, out=x)
        np.multiply(y, radial, out=y)
        if p1 or p2:
            np.multiply(r2, p2, out=t)
            np.add(x, t, out=x)
            np.multiply(r2, p1, out=t)
            np.add(y, t, out=y)

    def _distort_fisheye(self, x: F32, y: F32, t: F32, ok: Bool, test: Bool) -> None:
        k1, k2, k3, k4 = self.camera.D
        r = self._radius(x, y, t, ok, test)
        scale = self._scratch.get("lens_radial", x.shape)
        theta = self._scratch.get("lens_theta", x.shape)
        np.sqrt(r, out=r)
        np.maximum(r, 1e-6, out=r)
        np.divide(1.0, r, out=scale)
        np.minimum(scale, r, out=scale)
        arctan_unit(scale, t, theta)
        np.greater(r, 1.0, out=test)
        np.subtract(np.float32(math.pi / 2), theta, out=theta, where=test)
        np.multiply(theta, theta, out=t)
        _polynomial((k4, k3, k2, k1, 1.0), t, scale)
        np.multiply(scale, theta, out=scale)
        np.divide(scale, r, out=scale)
        np.multiply(x, scale, out=x)
        np.multiply(y, scale, out=y)


def _numbers(camera: CameraModel, max_r2: float) -> NDArray[np.float64]:
    """Kind of lens, fx, fy, cx, cy, k1 to k6, p1, p2, largest undistorted radius squared."""
    k, p = [0.0] * 6, [0.0, 0.0]
    if not camera.D:
        kind = 0
    elif camera.model == "equidistant":
        kind, k[:4] = 3, camera.D
    else:
        k1, k2, *p, k3, k4, k5, k6 = (*camera.D, *([0.0] * (8 - len(camera.D))))
        k = [k1, k2, k3, k4, k5, k6]
        kind = 2 if k4 or k5 or k6 else 1
    numbers = [kind, camera.fx, camera.fy, camera.cx, camera.cy, *k, *p, max_r2]
    return np.array(numbers, np.float64)


def _polynomial(coefficients: tuple[float, ...], x: F32, out: F32) -> None:
    """Horner's rule, highest power first; powers whose coefficients are zero are left out."""
    start = next((i for i, c in enumerate(coefficients) if c), len(coefficients) - 1)
    out.fill(coefficients[start])
    for c in coefficients[start + 1 :]:
        np.multiply(out, x, out=out)
        if c:
            np.add(out, c, out=out)


def _knots(size: int) -> tuple[NDArray[np.float64], tuple[NDArray[np.intp], F32]]:
    """Places of the coarse nodes along one axis; for each pixel the node before it and the share of the next."""
    count = max(2, math.ceil(size / _RAY_STEP) + 1)
    at = (np.arange(size) + 0.5) * ((count - 1) / size)
    before = np.minimum(at.astype(np.intp), count - 2)
    return np.linspace(-0.5, size - 0.5, count), (before, (at - before).astype(np.float32))
