# SPDX-License-Identifier: Apache-2.0
"""Where standing things meet the ground, and what they hide.

Looked at from the camera, the ground under one azimuth is a curve in the image that runs from the camera's foot to
the horizon. A tree on it covers the ground behind: its pixels say nothing about the cells that they would project
to. Only where the curve first meets the tree does it say something: there it stands.

That place is found among the pixels themselves (not among samples of them, so that a thin trunk is not stepped
over), for any lens and any roll, a camera mounted on its side included: of the pixels at the edge of a standing
region, those touch the ground from which a step towards the camera's foot leaves the region.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from offroad_seg.mapping.buffers import Scratch
    from offroad_seg.mapping.lens import Lens
    from offroad_seg.mapping.level import GroundView

    U8 = NDArray[np.uint8]
    F32 = NDArray[np.float32]
    Index = NDArray[np.intp]

# Pixels looked at along the ray: some inside the object, for its confidence (at the very edge it is always low)
# and against speckles; some outside, so that an edge that runs along the ray is not a contact at every stair.
_STEPS = np.array([-3.0, -2.0, -1.0, 1.0, 2.0, 3.0, 4.0], np.float32)
_INSIDE = 3
MAX_STANDING_PX = 1 + _INSIDE
# More edge pixels than this come only from noise. Dropping some is safe: their cells stay unknown.
_MAX_EDGE_PIXELS = 24_000
_MIN_BIN = math.radians(0.25)


@dataclass(frozen=True)
class Edges:
    """Where sight rays to the ground meet standing things: pixels at the near edge of standing regions.

    Attributes:
        x_N: float32 metres from the camera's foot along grid x; likewise y_N.
        range_N: float32 metres from the camera's foot.
        depth_N: float32 metres along the optical axis.
        labels_N: uint8 class ids.
        confidence_N: uint8, the best just inside the object.
        touches_N: Whether the thing meets the ground there. Not so at edges that run along the ray, such as a
            trunk's sides: their pixels are points above the ground.
    """

    x_N: F32
    y_N: F32
    range_N: F32
    depth_N: F32
    labels_N: U8
    confidence_N: U8
    touches_N: NDArray[np.bool_]

    def where(self, keep_N: NDArray[np.bool_]) -> Edges:
        """Only those."""
        return Edges(
            self.x_N[keep_N],
            self.y_N[keep_N],
            self.range_N[keep_N],
            self.depth_N[keep_N],
            self.labels_N[keep_N],
            self.confidence_N[keep_N],
            self.touches_N[keep_N],
        )


def find_edges(
    labels_HW: U8,
    confidence_HW: U8,
    standing_256: U8,
    lens: Lens,
    view: GroundView,
    *,
    region: tuple[int, int, int, int],
    max_range: float,
    min_standing_px: int,
    scratch: Scratch,
) -> Edges:
    """Find the near edges of standing things and where they touch the ground.

    Args:
        labels_HW: uint8 class ids.
        confidence_HW: uint8.
        standing_256: uint8 1 for labels that stand up.
        lens: The camera.
        view: Where it is.
        region: First row, end row, first column, end column of the pixels that can show ground within range.
        max_range: Metres from the camera's foot.
        min_standing_px: Fewer standing pixels than this along the ray are noise (1–4; 1: none is).
        scratch: Kept memory.
    """
    v_M, u_M = _edge_pixels(labels_HW, standing_256, lens, view, region, scratch)
    directions_M3 = lens.directions(u_M, v_M)
    ground_M3 = directions_M3 @ view.camera_R_grid.astype(np.float32)
    x, y = ground_M3[:, 0], ground_M3[:, 1]
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        # The ray s·(x, y, z) meets drop + slope·(s x, s y).
        depth = view.drop / (ground_M3[:, 2] - view.slope_x * x - view.slope_y * y)
        x, y = x * depth, y * depth
        distance = np.hypot(x, y)
        near = np.flatnonzero((depth > 0) & (distance <= max_range))
    u, v = u_M[near], v_M[near]
    touches, confidence, real = _looked_along_ray(
        labels_HW, confidence_HW, standing_256, lens, view, directions_M3[near], u, v, min_standing_px
    )
    edges = Edges(
        x[near], y[near], distance[near], depth[near].astype(np.float32), labels_HW[v, u], confidence, touches
    )
    return edges if real.all() else edges.where(real)


class Shadow:
    """The nearest standing thing in each direction.

    Args:
        edges: What stands.
        pixel_angle: Radians between neighbouring pixels: a bin is wider, so that one object leaves no gaps.
        slack: Metres behind an edge that still belong to it.
    """

    def __init__(self, edges: Edges, *, pixel_angle: float, slack: float) -> None:
        self._bins = max(8, int(2 * math.pi / max(_MIN_BIN, 1.5 * pixel_angle)))
        nearest = np.full(self._bins, np.inf, np.float32)
        order = np.argsort(-edges.range_N, kind="stable")
        at = self._bin(np.arctan2(edges.y_N, edges.x_N))
        # Of several values for one bin the last stays: the nearest.
        nearest[at[order]] = edges.range_N[order] + np.float32(slack)
        wide = np.minimum(nearest, np.roll(nearest, 1))
        self._nearest: F32 = np.minimum(wide, np.roll(nearest, -1))

    def hides(self, azimuth: F32, distance: F32) -> NDArray[np.bool_]:
        """Whether something stands between the camera and each point, in the point's bin or a neighbouring one.

        Args:
            azimuth: Radians from −π to π about the camera's foot, along the grid's axes.
            distance: Metres from there, of the same shape.
        """
        return np.asarray(distance > self._nearest[self._bin(azimuth)])

    def _bin(self, azimuth: F32) -> Index:
        at: Index = ((azimuth + np.float32(math.pi)) * np.float32(self._bins / (2 * math.pi))).astype(np.intp)
        return np.minimum(at, self._bins - 1, out=at)


def _edge_pixels(
    labels_HW: U8,
    standing_256: U8,
    lens: Lens,
    view: GroundView,
    region: tuple[int, int, int, int],
    scratch: Scratch,
) -> tuple[Index, Index]:
    """Rows and columns of standing pixels with a neighbour, on the side of the camera's foot, that does not stand."""
    v0, v1, u0, u1 = region
    height, width = v1 - v0, u1 - u0
    padded = scratch.get("occlusion_standing", (height + 2, width + 2), np.uint8)
    padded[0], padded[-1], padded[:, 0], padded[:, -1] = 0, 0, 0, 0
    inner = padded[1:-1, 1:-1]
    inner[:] = cv2.LUT(
        labels_HW[v0:v1, u0:u1], standing_256, dst=scratch.get("occlusion_lut", (height, width), np.uint8)
    )
    edge = scratch.get("occlusion_edge", (height, width), np.bool_)
    test = scratch.get("occlusion_test", (height, width), np.bool_)
    first = True
    for du, dv in _sides_towards_foot(lens, view, region):
        neighbour = padded[1 + dv : 1 + dv + height, 1 + du : 1 + du + width]
        np.greater(inner, neighbour, out=edge if first else test)
        if not first:
            np.logical_or(edge, test, out=edge)
        first = False
    flat = np.flatnonzero(edge)
    if flat.size > _MAX_EDGE_PIXELS:
        flat = flat[:: -(-flat.size // _MAX_EDGE_PIXELS)]
    rows, columns = np.divmod(flat, width)
    return rows + v0, columns + u0


def _sides_towards_foot(
    lens: Lens, view: GroundView, region: tuple[int, int, int, int]
) -> list[tuple[int, int]]:
    """Which of the four neighbours lie towards the camera's foot, somewhere in the region."""
    v0, v1, u0, u1 = region
    v = np.repeat(np.linspace(v0, v1 - 1, 3).astype(np.intp), 3)
    u = np.tile(np.linspace(u0, u1 - 1, 3).astype(np.intp), 3)
    step_2N = _step_towards_foot(lens, view, lens.directions(u, v))
    step_2N = step_2N[:, np.isfinite(step_2N).all(axis=0)]
    sides = [
        (du, dv)
        for du, dv in ((0, 1), (0, -1), (1, 0), (-1, 0))
        if step_2N.size == 0 or bool((step_2N[0] * du + step_2N[1] * dv > 0.02).any())
    ]
    return sides or [(0, 1), (0, -1), (1, 0), (-1, 0)]


def _step_towards_foot(lens: Lens, view: GroundView, directions_N3: F32) -> F32:
    """Unit step in the image, shape (2, N) as (du, dv), when the sight ray is turned straight down."""
    down_3 = -view.camera_R_grid[:, 2].astype(np.float32)
    # A few pixels on either side: far more than float32 resolves, and still a local direction.
    turn = np.float32(3.0 / lens.focal)
    ends = np.stack([directions_N3 - turn * down_3, directions_N3 + turn * down_3])
    x, y, z = (np.ascontiguousarray(ends[..., k]) for k in range(3))
    lens.project(x, y, z, "_step")
    step_2N = np.stack([x[1] - x[0], y[1] - y[0]])
    with np.errstate(invalid="ignore", divide="ignore"):
        step_2N /= np.hypot(step_2N[0], step_2N[1])
    return step_2N


def _looked_along_ray(
    labels_HW: U8,
    confidence_HW: U8,
    standing_256: U8,
    lens: Lens,
    view: GroundView,
    directions_M3: F32,
    u_M: Index,
    v_M: Index,
    min_standing_px: int,
) -> tuple[NDArray[np.bool_], U8, NDArray[np.bool_]]:
    """For every edge pixel: whether it touches the ground, the best confidence inside, and whether it is no noise."""
    height, width = labels_HW.shape
    step_2M = _step_towards_foot(lens, view, directions_M3)
    u_KM = np.rint(u_M + _STEPS[:, None] * step_2M[0])
    v_KM = np.rint(v_M + _STEPS[:, None] * step_2M[1])
    # NaN compares false: such a pixel counts as outside the image, where nothing stands.
    inside = (u_KM >= 0) & (u_KM < width) & (v_KM >= 0) & (v_KM < height)
    at = np.where(inside, v_KM * width + u_KM, 0).astype(np.intp)
    stands = (standing_256[labels_HW.ravel()[at]] != 0) & inside
    touches = ~stands[_INSIDE:].any(axis=0)
    # Steps −1, −2, … must stand without a gap for as many pixels as asked for.
    real = stands[_INSIDE - min_standing_px + 1 : _INSIDE].all(axis=0)
    confidence: U8 = np.where(stands[:_INSIDE], confidence_HW.ravel()[at[:_INSIDE]], 0).max(axis=0)
    return touches, np.maximum(confidence, confidence_HW[v_M, u_M]), real
