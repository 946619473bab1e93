# SPDX-License-Identifier: Apache-2.0
"""From an aligned depth image to points above the ground plane, in kept memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from offroad_seg.errors import DepthError
from offroad_seg.mapping.buffers import Scratch

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from offroad_seg.mapping.lens import Lens
    from offroad_seg.mapping.level import GroundView
    from offroad_seg.mapping.projector import Depth

    F32 = NDArray[np.float32]
    Index = NDArray[np.intp]

# Nearer than this (metres) nothing is measured: sensors write zeros and noise there.
_NEAREST = 0.05
# A point within range along the ground may be farther along the optical axis, where it lies high or low.
_FARTHEST = 1.5
_MILLIMETRE = np.float32(0.001)


@dataclass(frozen=True)
class Points:
    """What the depth image measured within range. Kept buffers, which last until the next call.

    Attributes:
        pixel_N: Flat index of each point's pixel in the labels.
        x_N: float32 metres from the camera's foot along grid x; likewise y_N.
        up_N: float32 metres above the ground plane.
    """

    pixel_N: Index
    x_N: F32
    y_N: F32
    up_N: F32


class PointCaster:
    """Turns depth images into points.

    Args:
        max_range: Metres from the camera's foot, along the ground.
    """

    def __init__(self, max_range: float) -> None:
        self._max_range = max_range
        self._scratch = Scratch()
        self._lens: Lens | None = None
        self._rays_3M: F32 = np.empty((3, 0), np.float32)
        self._sampled: tuple[tuple[int, int], tuple[int, int]] | None = None
        self._at_M: Index = np.empty(0, np.intp)

    def cast(self, depth_HW: Depth, lens: Lens, view: GroundView) -> Points:
        """The points of one depth image.

        Args:
            depth_HW: As ``Frame.depth_HW``. At another resolution than the lens it is sampled at the nearest pixel.
            lens: The camera at the labels' size.
            view: Where it is.

        Raises:
            DepthError: It is no depth image, shows another view, or no pixel of it was measured.
        """
        depth_M = self._sample(depth_HW, lens)
        get = self._scratch.get
        with np.errstate(invalid="ignore"):
            valid = np.greater(depth_M, np.float32(_NEAREST), out=get("valid", depth_M.shape, np.bool_))
            near = np.less(
                depth_M, np.float32(_FARTHEST * self._max_range), out=get("near", depth_M.shape, np.bool_)
            )
        if not (near & valid).any() and not (valid & np.isfinite(depth_M)).any():
            raise DepthError(
                "no_depth: no pixel of the depth image holds a distance",
                where="depth",
                mend="check the depth sensor; 0, NaN and infinite mean that nothing was measured",
            )
        np.logical_and(valid, near, out=valid)
        return self._place(np.flatnonzero(valid), depth_M, lens, view)

    def _place(self, pixel_N: Index, depth_M: F32, lens: Lens, view: GroundView) -> Points:
        """Turn and lift the pixels' rays; only points within range are kept."""
        get, n = self._scratch.get, pixel_N.size
        # Rows: x, y and height above the plane, as linear in the optical frame's coordinates as the plane is.
        grid_R_camera = view.camera_R_grid.T
        up_3 = grid_R_camera[2] - view.slope_x * grid_R_camera[0] - view.slope_y * grid_R_camera[1]
        turn_33 = np.stack([grid_R_camera[0], grid_R_camera[1], up_3]).astype(np.float32)
        rays_3N = np.take(self._rays_of(lens), pixel_N, axis=1, out=get("rays", (3, n)), mode="clip")
        points_3N = np.matmul(turn_33, rays_3N, out=get("points", (3, n)))
        points_3N *= np.take(depth_M, pixel_N, out=get("depth", (n,)), mode="clip")
        x_N, y_N, up_N = points_3N
        up_N -= np.float32(view.drop)
        far = np.multiply(x_N, x_N, out=get("far", (n,)))
        far += np.multiply(y_N, y_N, out=get("far_y", (n,)))
        with np.errstate(invalid="ignore"):
            # False for rays that are NaN too.
            within = np.less_equal(far, np.float32(self._max_range**2), out=get("within", (n,), np.bool_))
        if within.all():
            return Points(pixel_N, x_N, y_N, up_N)
        kept = np.flatnonzero(within)
        x, y, up = (np.take(v, kept) for v in points_3N)
        return Points(np.take(pixel_N, kept), x, y, up)

    def _sample(self, depth_HW: Depth, lens: Lens) -> F32:
        """Metres at the lens's pixels, flat."""
        _check(depth_HW, lens)
        height, width = shape = lens.camera.height, lens.camera.width
        flat: NDArray[Any] = np.ascontiguousarray(depth_HW).ravel()
        if depth_HW.shape != shape:
            if self._sampled != (depth_HW.shape, shape):
                rows = ((np.arange(height) + 0.5) * (depth_HW.shape[0] / height)).astype(np.intp)
                columns = ((np.arange(width) + 0.5) * (depth_HW.shape[1] / width)).astype(np.intp)
                self._at_M = (rows[:, None] * depth_HW.shape[1] + columns).ravel()
                self._sampled = (depth_HW.shape, shape)
            flat = np.take(
                flat, self._at_M, out=self._scratch.get("sample", (height * width,), flat.dtype), mode="clip"
            )
        if flat.dtype == np.uint16:
            return np.multiply(flat, _MILLIMETRE, out=self._scratch.get("metres", flat.shape))
        metres: F32 = flat
        return metres

    def _rays_of(self, lens: Lens) -> F32:
        """Directions of all pixels with z = 1, (3, M)."""
        if self._lens is not lens:
            v, u = np.divmod(np.arange(lens.camera.height * lens.camera.width), lens.camera.width)
            self._rays_3M = np.ascontiguousarray(lens.directions(u, v).T)
            self._lens = lens
        return self._rays_3M


def _check(depth_HW: Depth, lens: Lens) -> None:
    if depth_HW.ndim != 2 or depth_HW.dtype not in (np.float32, np.uint16) or depth_HW.size == 0:
        raise DepthError(
            f"a depth image of {depth_HW.dtype} and shape {depth_HW.shape} cannot be used",
            where="depth",
            mend="give rows × columns of float32 metres (32FC1) or uint16 millimetres (16UC1)",
        )
    height, width = depth_HW.shape
    camera = lens.camera
    # Half a pixel on either side, as sizes are rounded.
    if abs(width * camera.height - height * camera.width) > 0.5 * (
        width + height + camera.width + camera.height
    ):
        raise DepthError(
            f"the depth image is {width}×{height}, which is another view than the image's",
            where="depth",
            mend="publish depth registered to the image (depth_image_proc's register node), of the same aspect",
        )
