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

from dataclasses import dataclass, fields
from operator import sub
from typing import TYPE_CHECKING

import cv2
import numpy as np

from offroad_seg.mapping.bounds import MAX_STANDING_PX
from offroad_seg.mapping.buffers import Scratch
from offroad_seg.mapping.directions import directions_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from offroad_seg.mapping.lens import Lens
    from offroad_seg.mapping.level import GroundView

    U8 = NDArray[np.uint8]
    F32 = NDArray[np.float32]
    Index = NDArray[np.intp]

# Pixels looked at along the ray: some inside the object, for its confidence (at the very edge it is always low)
# and against speckles; some outside, so that an edge that runs along the ray is not a contact at every stair.
_STEPS = np.array([-3.0, -2.0, -1.0, 1.0, 2.0, 3.0, 4.0], np.float32)
_INSIDE = MAX_STANDING_PX - 1
# More edge pixels than this come only from noise. Dropping some is safe: their cells stay unknown.
MAX_EDGE_PIXELS = 24_000
_SAME_DOWN = 0.05


@dataclass(frozen=True)
class Edges:
    """Where sight rays to the ground meet standing things: pixels at the near edge of standing regions.

    Attributes:
        x_N: float32 metres from the camera's foot along grid x; likewise y_N.
        range_N: float32 metres from the camera's foot.
        depth_N: float32 metres along the optical axis.
        labels_N: uint8 class ids.
        confidence_N: uint8, the best just inside the object.
        direction_N: Numbers of their directions from the camera's foot: see ``directions``.
        touches_N: Whether the thing meets the ground there. Not so at edges that run along the ray, such as a
            trunk's sides: their pixels are points above the ground.
    """

    x_N: F32
    y_N: F32
    range_N: F32
    depth_N: F32
    labels_N: U8
    confidence_N: U8
    direction_N: Index
    touches_N: NDArray[np.bool_]

    def where(self, keep_N: NDArray[np.bool_]) -> Edges:
        """Only those."""
        at = np.flatnonzero(keep_N)
        return Edges(*(np.take(getattr(self, each.name), at) for each in fields(self)))


class EdgeFinder:
    """Finds the near edges of standing things, and where they touch the ground.

    Args:
        standing_256: Which labels stand up.
        min_standing_px: Fewer standing pixels than this along the ray are noise (1–4; 1: none is).
    """

    def __init__(self, standing_256: NDArray[np.bool_], *, min_standing_px: int) -> None:
        self.standing_256 = standing_256.astype(np.uint8)
        self._min_standing_px = min_standing_px
        self._scratch = Scratch()
        self._sides: list[tuple[int, int]] = []
        self._sides_of: tuple[Lens, list[float]] | None = None

    def find(
        self,
        labels_HW: U8,
        confidence_HW: U8,
        lens: Lens,
        view: GroundView,
        resolution: float,
        max_range: float,
    ) -> Edges:
        """Look at one image.

        Args:
            labels_HW: uint8 class ids.
            confidence_HW: uint8.
            lens: The camera.
            view: Where it is.
            resolution: Metres a cell.
            max_range: Metres from the camera's foot.
        """
        region = ground_region(lens, view, max_range)
        v_M, u_M = self._edge_pixels(labels_HW, lens, view, region)
        directions_M3 = lens.directions(u_M, v_M)
        x, y, z = _turned(directions_M3, view.camera_R_grid.astype(np.float32))
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            # The ray s·(x, y, z) meets drop + slope·(s x, s y).
            depth = view.drop / (z - view.slope_x * x - view.slope_y * y)
            x, y = x * depth, y * depth
            distance = np.sqrt(x * x + y * y)
            near = np.flatnonzero((depth > 0) & (distance <= max_range))
        u, v = u_M[near], v_M[near]
        x, y, distance, depth = x[near], y[near], distance[near], depth[near].astype(np.float32)
        # The foot is the pixel's lower edge, half a pixel nearer than its centre; what stands begins a little behind.
        nearer = 0.5 * depth * depth / (lens.focal * -view.drop) - 0.25 * resolution
        share = np.maximum(0.0, 1.0 - nearer / np.maximum(distance, 1e-6)).astype(np.float32)
        touches, confidence, real = self._look_along_ray(
            labels_HW, confidence_HW, lens, view, directions_M3[near], u, v
        )
        count = lens.directions_around
        direction = directions_of(x, y, count)
        labels = labels_HW[v, u]
        edges = Edges(x * share, y * share, distance * share, depth, labels, confidence, direction, touches)
        return edges if real.all() else edges.where(real)

    def _edge_pixels(
        self, labels_HW: U8, lens: Lens, view: GroundView, region: tuple[int, int, int, int]
    ) -> tuple[Index, Index]:
        """Rows and columns of standing pixels beside one that does not stand, on the side of the camera's foot."""
        v0, v1, u0, u1 = region
        height, width = v1 - v0, u1 - u0
        get = self._scratch.get
        padded = get("standing", (height + 2, width + 2), np.uint8)
        padded[0], padded[-1], padded[:, 0], padded[:, -1] = 0, 0, 0, 0
        inner = padded[1:-1, 1:-1]
        inner[:] = cv2.LUT(
            labels_HW[v0:v1, u0:u1], self.standing_256, dst=get("lut", (height, width), np.uint8)
        )
        least = inner
        for du, dv in self.sides_towards_foot(lens, view):
            neighbour = padded[1 + dv : 1 + dv + height, 1 + du : 1 + du + width]
            least = np.minimum(least, neighbour, out=get("least", (height, width), np.uint8))
        edge = np.greater(inner, least, out=get("edge", (height, width), np.bool_))
        flat = np.flatnonzero(edge)
        if flat.size > MAX_EDGE_PIXELS:
            flat = flat[:: -(-flat.size // MAX_EDGE_PIXELS)]
        rows = flat // width
        return rows + v0, flat - rows * width + u0

    def sides_towards_foot(self, lens: Lens, view: GroundView) -> list[tuple[int, int]]:
        """Which of the four neighbours lie towards the camera's foot, somewhere in the image."""
        down_3 = view.camera_R_grid[:, 2].tolist()
        if self._sides_of is not None:
            known_lens, known_down_3 = self._sides_of
            # The answer is coarse: a few degrees do not change it.
            if known_lens is lens and max(map(abs, map(sub, down_3, known_down_3))) < _SAME_DOWN:
                return self._sides
        v = np.repeat(np.linspace(0, lens.camera.height - 1, 5).astype(np.intp), 5)
        u = np.tile(np.linspace(0, lens.camera.width - 1, 5).astype(np.intp), 5)
        step_2N = self._step_towards_foot(lens, view, lens.directions(u, v))
        step_2N = step_2N[:, np.isfinite(step_2N).all(axis=0)]
        sides = [
            (du, dv)
            for du, dv in ((0, 1), (0, -1), (1, 0), (-1, 0))
            if step_2N.size == 0 or bool((step_2N[0] * du + step_2N[1] * dv > 0.0).any())
        ]
        self._sides, self._sides_of = sides, (lens, down_3)
        return sides

    def _step_towards_foot(self, lens: Lens, view: GroundView, directions_N3: F32) -> F32:
        """Unit step in the image, shape (2, N) as (du, dv), when the sight ray is turned straight down."""
        down_3 = -view.camera_R_grid[:, 2].astype(np.float32)
        # A few pixels on either side: far more than float32 resolves, and still a local direction.
        turn = np.float32(3.0 / lens.focal) * down_3
        n = len(directions_N3)
        x, y, z = (self._scratch.get(name, (2, n)) for name in ("step_x", "step_y", "step_z"))
        for k, out in enumerate((x, y, z)):
            np.subtract(directions_N3[:, k], turn[k], out=out[0])
            np.add(directions_N3[:, k], turn[k], out=out[1])
        lens.place(x, y, z)
        step_2N = np.stack([x[1] - x[0], y[1] - y[0]])
        with np.errstate(invalid="ignore", divide="ignore"):
            step_2N /= np.sqrt((step_2N * step_2N).sum(axis=0))
        return step_2N

    def _look_along_ray(
        self,
        labels_HW: U8,
        confidence_HW: U8,
        lens: Lens,
        view: GroundView,
        directions_M3: F32,
        u_M: Index,
        v_M: Index,
    ) -> tuple[NDArray[np.bool_], U8, NDArray[np.bool_]]:
        """For every edge pixel: whether it touches the ground, the best confidence inside, whether it is no noise."""
        height, width = labels_HW.shape
        step_2M = self._step_towards_foot(lens, view, directions_M3)
        u_KM = np.rint(u_M.astype(np.float32) + _STEPS[:, None] * step_2M[0])
        v_KM = np.rint(v_M.astype(np.float32) + _STEPS[:, None] * step_2M[1])
        # NaN compares false: such a pixel counts as outside the image, where nothing stands.
        inside = (u_KM >= 0) & (u_KM < width) & (v_KM >= 0) & (v_KM < height)
        np.copyto(u_KM, 0.0, where=~inside)
        np.copyto(v_KM, 0.0, where=~inside)
        at = v_KM.astype(np.intp) * width + u_KM.astype(np.intp)
        stands = np.take(self.standing_256, np.take(labels_HW, at)).view(np.bool_) & inside
        touches = ~stands[_INSIDE:].any(axis=0)
        # Steps −1, −2, … must stand without a gap for as many pixels as asked for.
        real = stands[_INSIDE - self._min_standing_px + 1 : _INSIDE].all(axis=0)
        within: U8 = (np.take(confidence_HW, at[:_INSIDE]) * stands[:_INSIDE]).max(axis=0)
        return touches, np.maximum(within, confidence_HW[v_M, u_M]), real


def _turned(directions: F32, R_33: F32) -> tuple[F32, F32, F32]:
    """``directions @ R_33``, (…, 3) with z = 1, in the compiled kernels' order of operations."""
    x, y = directions[..., 0], directions[..., 1]
    along_x, along_y, along_z = (x * R_33[0, k] + y * R_33[1, k] + R_33[2, k] for k in range(3))
    return along_x, along_y, along_z


def ground_region(lens: Lens, view: GroundView, max_range: float) -> tuple[int, int, int, int]:
    """First row, end row, first column, end column of what holds all pixels that show ground within range.

    Such pixels are the inside of a cone about the vertical, seen from its tip, and so of one piece; it is looked
    for at coarse nodes, and a node's distance added on each side.
    """
    u, v, directions_NN3 = lens.nodes()
    x, y, z = _turned(directions_NN3, view.camera_R_grid.astype(np.float32))
    with np.errstate(invalid="ignore", over="ignore"):
        fall = view.slope_x * x + view.slope_y * y - z
        # Not "is within range": where a direction is not known (NaN), ground may be.
        seen = ~(fall * max_range < -view.drop * np.hypot(x, y))
    rows, columns = np.flatnonzero(seen.any(axis=1)), np.flatnonzero(seen.any(axis=0))
    if rows.size == 0:
        return 0, lens.camera.height, 0, lens.camera.width
    v0, v1 = v[max(0, rows[0] - 1)], v[min(len(v) - 1, rows[-1] + 1)] + 1
    u0, u1 = u[max(0, columns[0] - 1)], u[min(len(u) - 1, columns[-1] + 1)] + 1
    return int(v0), int(v1), int(u0), int(u1)
