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

    from offroad_seg.camera import CameraModel
    from offroad_seg.mapping.lens import Lens
    from offroad_seg.mapping.level import GroundView
    from offroad_seg.mapping.projector import Depth
    from offroad_seg.types import GridSpec

    F32 = NDArray[np.float32]
    Bool = NDArray[np.bool_]
    Index = NDArray[np.intp]

# Nearer than this (metres) nothing is measured: sensors write zeros and noise there.
NEAREST = 0.05
# A point within range along the ground may be farther along the optical axis, where it lies high or low.
_FARTHEST = 1.5
# A cell that is wider than this many pixels is seen by at least 16 when three in four are spared.
_WIDE_PX = 8
# A pixel that is farther than this from a nearer and from a farther neighbour hangs between them.
_GAP, _GAP_SHARE = 0.1, 0.02
_MILLIMETRE = np.float32(0.001)


@dataclass(frozen=True)
class Points:
    """What the depth image measured within range and window.

    Attributes:
        pixel_N: Flat index of each point's pixel in the labels.
        column_N: Column of the point's cell in the window; likewise row_N.
        up_N: float32 metres above the ground plane.
    """

    pixel_N: Index
    column_N: Index
    row_N: Index
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
        self._skipped_M: Bool = np.empty(0, np.bool_)
        self._sampled: tuple[tuple[int, int], tuple[int, int]] | None = None
        self._at_M: Index = np.empty(0, np.intp)

    def cast(self, depth_HW: Depth, lens: Lens, view: GroundView, grid: GridSpec, spare_M: Bool) -> Points:
        """The points of one depth image.

        Args:
            depth_HW: As ``Frame.depth_HW``. At another resolution than the lens it is sampled at the nearest pixel.
            lens: The camera at the labels' size.
            view: Where it is.
            grid: The window.
            spare_M: Flat; pixels of which one in four will do where the cells that they show are many pixels wide.

        Raises:
            DepthError: It is no depth image, shows another view, or no pixel of it was measured.
        """
        depth_M = self._sample(depth_HW, lens)
        get = self._scratch.get
        rays_3M, skipped_M = self._tables(lens)
        with np.errstate(invalid="ignore"):
            valid = np.greater(depth_M, np.float32(NEAREST), out=get("valid", depth_M.shape, np.bool_))
            near = np.less(
                depth_M, np.float32(_FARTHEST * self._max_range), out=get("near", depth_M.shape, np.bool_)
            )
            if not np.logical_and(near, valid, out=near).any() and not (valid & np.isfinite(depth_M)).any():
                raise DepthError(
                    "no_depth: no pixel of the depth image holds a distance",
                    where="depth",
                    mend="check the depth sensor; 0, NaN and infinite mean that nothing was measured",
                )
            wide = np.less(
                depth_M,
                np.float32(lens.focal * grid.resolution / _WIDE_PX),
                out=get("wide", depth_M.shape, np.bool_),
            )
        np.logical_and(wide, spare_M, out=wide)
        np.logical_and(wide, skipped_M, out=wide)
        np.greater(near, wide, out=near)
        np.greater(near, self._flying(depth_M, lens, view), out=near)
        return self._place(np.flatnonzero(near), depth_M, rays_3M, view, grid)

    def _flying(self, depth_M: F32, lens: Lens, view: GroundView) -> Bool:
        """Pixels that lie between a nearer and a farther neighbour, well apart from both, flat.

        Depth cameras mix what lies before and behind at the edge of a thing, into points in mid-air.
        """
        get, camera = self._scratch.get, lens.camera
        shape = (camera.height, camera.width)
        depth_HW = depth_M.reshape(shape)
        flying_HW = get("flying", shape, np.bool_)
        flying_HW.fill(False)
        gap = np.multiply(depth_M, np.float32(_GAP_SHARE), out=get("gap", depth_M.shape))
        gap += np.float32(_GAP)
        test = get("rising", shape, np.bool_)
        with np.errstate(invalid="ignore", over="ignore"):
            for axis in (1, 0):
                if axis == 0:
                    # From row to row level ground is z² / (focal · height) farther.
                    slant = np.square(depth_M, out=get("slant", depth_M.shape))
                    slant *= np.float32(1.5 / (lens.focal * -view.drop))
                    gap += slant
                before, middle, after = (
                    (slice(None), part) if axis else (part, slice(None))
                    for part in (slice(None, -2), slice(1, -1), slice(2, None))
                )
                inner = depth_HW[middle]
                nearer = np.subtract(inner, depth_HW[before], out=get("nearer", inner.shape))
                farther = np.subtract(depth_HW[after], inner, out=get("farther", inner.shape))
                # Both rise, or both fall: the smaller of the two, if they are of one sign.
                least = np.minimum(nearer, farther, out=get("least", inner.shape))
                most = np.maximum(nearer, farther, out=nearer)
                np.negative(most, out=most)
                np.maximum(least, most, out=least)
                jumps = np.greater(least, gap.reshape(shape)[middle], out=test[middle])
                np.logical_or(flying_HW[middle], jumps, out=flying_HW[middle])
        return flying_HW.ravel()

    def _place(self, pixel_N: Index, depth_M: F32, rays_3M: F32, view: GroundView, grid: GridSpec) -> Points:
        """Turn, lift and scale the pixels' rays; only points within range and window are kept."""
        get, n = self._scratch.get, pixel_N.size
        # Rows: x and y in cells, and height above the plane: all linear in the optical frame's coordinates.
        x_3, y_3, z_3 = view.camera_R_grid.T
        scale = 1.0 / grid.resolution
        turn_33 = np.stack([x_3 * scale, y_3 * scale, z_3 - view.slope_x * x_3 - view.slope_y * y_3])
        rays_3N = np.take(rays_3M, pixel_N, axis=1, out=get("rays", (3, n)), mode="clip")
        points_3N = np.matmul(turn_33.astype(np.float32), rays_3N, out=get("points", (3, n)))
        points_3N *= np.take(depth_M, pixel_N, out=get("depth", (n,)), mode="clip")
        column_N, row_N, up_N = points_3N
        far = np.multiply(column_N, column_N, out=get("far", (n,)))
        far += np.multiply(row_N, row_N, out=get("far_y", (n,)))
        column_N += np.float32((view.x - grid.origin_x) * scale)
        row_N += np.float32((view.y - grid.origin_y) * scale)
        up_N -= np.float32(view.drop)
        kept, test = get("kept", (n,), np.bool_), get("test", (n,), np.bool_)
        with np.errstate(invalid="ignore"):
            # False for rays that are NaN too.
            np.less_equal(far, np.float32((self._max_range * scale) ** 2), out=kept)
            for values, size in ((column_N, grid.width), (row_N, grid.height)):
                np.logical_and(kept, np.greater_equal(values, 0, out=test), out=kept)
                np.logical_and(kept, np.less(values, size, out=test), out=kept)
        at = np.flatnonzero(kept)
        return Points(pixel_N[at], column_N[at].astype(np.intp), row_N[at].astype(np.intp), np.take(up_N, at))

    def _sample(self, depth_HW: Depth, lens: Lens) -> F32:
        """Metres at the lens's pixels, flat."""
        check_depth_of(depth_HW, lens.camera)
        height, width = shape = lens.camera.height, lens.camera.width
        flat: Any = np.ascontiguousarray(depth_HW).ravel()
        if depth_HW.shape != shape:
            if self._sampled != (depth_HW.shape, shape):
                rows, columns = nearest_pixels(depth_HW.shape, shape)
                self._at_M = (rows[:, None] * depth_HW.shape[1] + columns).ravel()
                self._sampled = (depth_HW.shape, shape)
            flat = np.take(
                flat, self._at_M, out=self._scratch.get("sample", (height * width,), flat.dtype), mode="clip"
            )
        if flat.dtype == np.uint16:
            return np.asarray(np.multiply(flat, _MILLIMETRE, out=self._scratch.get("metres", flat.shape)))
        metres: F32 = flat
        return metres

    def _tables(self, lens: Lens) -> tuple[F32, Bool]:
        """Directions of all pixels with z = 1, (3, M); which pixels can be spared, (M,): three in four."""
        if self._lens is not lens:
            v, u = np.divmod(np.arange(lens.camera.height * lens.camera.width), lens.camera.width)
            self._rays_3M = np.ascontiguousarray(lens.directions(u, v).T)
            self._skipped_M = (u % 2 + v % 2) > 0
            self._lens = lens
        return self._rays_3M, self._skipped_M


def nearest_pixels(depth_shape: tuple[int, ...], shape: tuple[int, int]) -> tuple[Index, Index]:
    """For the rows and columns of an image, those of a depth image of another resolution."""
    rows, columns = (
        ((np.arange(size) + 0.5) * (of_depth / size)).astype(np.intp)
        for size, of_depth in zip(shape, depth_shape, strict=True)
    )
    return rows, columns


def check_depth_of(depth_HW: Depth, camera: CameraModel) -> None:
    """Refuse what is no depth image of a camera's view.

    Raises:
        DepthError: It is of another type, empty, or of another aspect.
    """
    if depth_HW.ndim != 2 or depth_HW.dtype not in (np.float32, np.uint16) or depth_HW.size == 0:
        raise DepthError(
            f"a depth image of {depth_HW.dtype} and shape {depth_HW.shape} cannot be used",
            where="depth",
            mend="give rows × columns of float32 metres (32FC1) or uint16 millimetres (16UC1)",
        )
    height, width = depth_HW.shape
    # Half a pixel on either side, as sizes are rounded.
    if abs(width * camera.height - height * camera.width) > 0.5 * (
        width + height + camera.width + camera.height
    ):
        raise DepthError(
            f"the depth image is {width}×{height}, which is another view than the image's",
            where="depth",
            mend="publish depth registered to the image (depth_image_proc's register node), of the same aspect",
        )
