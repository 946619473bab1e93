# SPDX-License-Identifier: Apache-2.0
"""The ground: relief, a winding trail pressed into it, and where grass, stones and flowers cover it.

World frame: x, y level, z up, metres, origin in the middle of the detailed square. The mesh is one tensor-product
grid: cells of ``CELL`` metres in the square, growing ones outside it up to the horizon, so that it has no cracks.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np
from scipy.spatial import cKDTree

from offroad_seg_train.synthetic.noise import Frame2D, field_tile, relief, sample, smoothstep

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from offroad_seg_train.synthetic.style import Style

    F32 = NDArray[np.float32]
    F64 = NDArray[np.float64]

HALF = 80.0
CELL = 0.8
RASTER = 0.2
HORIZON = 3000.0
TRAIL_HALF_WIDTH = 1.5
TRAIL_STEP = 0.25
WHEEL_TRACK = 0.75
_FIELD_PERIOD = 170.0
_HILLS = 420.0
STEEPEST = 0.16
_GROWTH = 1.085


def _axis() -> F64:
    inner = np.arange(-HALF, HALF + CELL / 2, CELL)
    outer, step, at = [], CELL, HALF
    while at < HORIZON:
        step *= _GROWTH
        at += step
        outer.append(at)
    beyond = np.asarray(outer)
    return np.concatenate([-beyond[::-1], inner, beyond])


@dataclass(frozen=True)
class Trail:
    """A closed, smooth loop.

    Attributes:
        xy_N2: Points every ``TRAIL_STEP`` metres along it, metres.
        heading_N: Direction of travel at each point, radians.
        length: Metres around.
    """

    xy_N2: F64
    heading_N: F64
    length: float

    @classmethod
    def random(cls, rng: np.random.Generator) -> Trail:
        """A loop of roughly 300–400 m that stays inside the detailed square."""
        theta = np.linspace(0, 2 * np.pi, 4000, endpoint=False)
        radius = np.ones_like(theta)
        for k, size in ((2, 0.16), (3, 0.11), (4, 0.07), (5, 0.05), (7, 0.028)):
            radius += rng.normal(0, size) * np.cos(k * theta + rng.uniform(0, 2 * np.pi))
        radius = np.maximum(radius, 0.45)
        radius *= 58.0 / radius.max()
        xy = np.stack([radius * np.cos(theta), radius * np.sin(theta)], -1)
        closed = np.concatenate([xy, xy[:1]])
        along = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(closed, axis=0), axis=1))])
        length = float(along[-1])
        n = int(length / TRAIL_STEP)
        at = np.arange(n) * (length / n)
        points = np.stack([np.interp(at, along, closed[:, k]) for k in (0, 1)], -1)
        ahead = np.roll(points, -1, 0) - np.roll(points, 1, 0)
        return cls(points, np.arctan2(ahead[:, 1], ahead[:, 0]), length)

    def at(self, s: F64) -> tuple[F64, F64]:
        """Points (N, 2) and headings (N,) at arc lengths ``s`` in metres; the loop repeats."""
        n = len(self.xy_N2)
        position = (np.asarray(s) / self.length * n) % n
        low = np.floor(position).astype(int) % n
        share = (position - np.floor(position))[:, None]
        high = (low + 1) % n
        xy = self.xy_N2[low] * (1 - share) + self.xy_N2[high] * share
        turn = np.angle(np.exp(1j * (self.heading_N[high] - self.heading_N[low])))
        return xy, self.heading_N[low] + turn * share[:, 0]


class Terrain:
    """Relief and ground cover of one world.

    Args:
        rng: The world's generator.
        style: Relief and shares of cover.
        flat: Without relief.

    Attributes:
        trail: The loop that the vehicle follows.
        trail_HW: Distance to its middle in metres, cells of ``RASTER`` metres from (−HALF, −HALF), row = y.
    """

    def __init__(self, rng: np.random.Generator, style: Style, *, flat: bool = False) -> None:
        self._style = style
        self._frames = [Frame2D.random(rng) for _ in range(3)]
        self.cover_frame = self._frames[2]
        self.trail = Trail.random(rng)
        self._tree = cKDTree(self.trail.xy_N2)
        self.trail_HW = _distance_raster(self.trail)
        self._thresholds = _cover_thresholds(style)
        self._axis = _axis()
        x, y = np.meshgrid(self._axis, self._axis)
        self._relief_m = self._gentle_relief()
        self._z = np.zeros_like(x) if flat else self._relief(x, y)
        if not flat:
            self._press_trail(x, y)

    def _gentle_relief(self) -> float:
        """The style's relief, reduced so far that the trail is nowhere steeper than ``STEEPEST``."""
        profile = _low_pass(relief(self._frames[0], *self.trail.xy_N2.T, _HILLS))
        grade = np.abs(np.roll(profile, -8) - profile).max() / (8 * TRAIL_STEP)
        return min(self._style.relief_m, STEEPEST / float(grade))

    def _relief(self, x: F64, y: F64) -> F64:
        style = self._style
        hills = self._relief_m * relief(self._frames[0], x, y, _HILLS)
        bumps = 0.09 * relief(self._frames[1], x, y, 37.0)
        distance = np.hypot(x, y)
        ranges = relief(self._frames[1], x, y, 5200.0)
        ranges = np.clip(ranges + 0.4, 0, None)
        if style.mesas:
            # One cliff between a sloping foot and a nearly flat top.
            ranges = 0.35 * ranges + 0.9 * smoothstep(0.75, 1.0, ranges)
        # The far plain sinks a little, so that the horizon is ranges and not the mesh's end.
        far = smoothstep(260.0, 1100.0, distance)
        return hills * (1.0 - 0.7 * far) + bumps * (1.0 - far) + far * style.mountains_m * ranges

    def _press_trail(self, x: F64, y: F64) -> None:
        profile = self._bilinear(*self.trail.xy_N2.T)
        smooth = _low_pass(profile)
        near = (np.abs(x) <= HALF) & (np.abs(y) <= HALF)
        points = np.stack([x[near], y[near]], -1)
        distance, index = self._tree.query(points, distance_upper_bound=9.0)
        hit = np.isfinite(distance)
        level = smooth[np.where(hit, index, 0)]
        weight = np.where(hit, 1.0 - smoothstep(TRAIL_HALF_WIDTH, 7.0, np.where(hit, distance, 99.0)), 0.0)
        # A washed-out trail lies a hand's breadth below its banks.
        sunk = 0.10 * (1.0 - smoothstep(0.9, 2.6, np.where(hit, distance, 99.0)))
        self._z[near] = self._z[near] * (1 - weight) + level * weight - sunk

    def _bilinear(self, x: F64, y: F64) -> F64:
        axis, z = self._axis, self._z
        i = np.clip(np.searchsorted(axis, x, side="right") - 1, 0, len(axis) - 2)
        j = np.clip(np.searchsorted(axis, y, side="right") - 1, 0, len(axis) - 2)
        u = (x - axis[i]) / (axis[i + 1] - axis[i])
        v = (y - axis[j]) / (axis[j + 1] - axis[j])
        # The same two triangles as the mesh: the diagonal runs from (i, j) to (i + 1, j + 1).
        z00, z10, z01, z11 = z[j, i], z[j, i + 1], z[j + 1, i], z[j + 1, i + 1]
        lower = z00 + u * (z10 - z00) + v * (z11 - z10)
        upper = z00 + v * (z01 - z00) + u * (z11 - z01)
        return np.where(u >= v, lower, upper)

    def height(self, x: F64, y: F64) -> F64:
        """Height of the mesh at world places of any shape, metres."""
        return self._bilinear(np.asarray(x, np.float64), np.asarray(y, np.float64))

    def trail_distance(self, x: F64, y: F64, limit: float = 1e9) -> F64:
        """Distance to the trail's middle, metres; infinite beyond ``limit``."""
        points = np.stack([np.ravel(x), np.ravel(y)], -1)
        distance, _ = self._tree.query(points, distance_upper_bound=limit)
        return distance.reshape(np.shape(x))

    def near_trail(self, x: F64, y: F64) -> F64:
        """``trail_distance`` to within a hand's breadth, and much faster, for places in the square."""
        n = len(self.trail_HW)
        i = np.clip(((x + HALF) / RASTER).astype(int), 0, n - 1)
        j = np.clip(((y + HALF) / RASTER).astype(int), 0, n - 1)
        return self.trail_HW[j, i].astype(np.float64)

    def mesh(self) -> tuple[F32, F32, NDArray[np.int32]]:
        """Vertices (V, 3), unit normals (V, 3) and triangles (F, 3)."""
        axis, z = self._axis, self._z
        n = len(axis)
        x, y = np.meshgrid(axis, axis)
        dz_dy, dz_dx = np.gradient(z, axis, axis)
        normals = np.stack([-dz_dx, -dz_dy, np.ones_like(z)], -1)
        normals /= np.linalg.norm(normals, axis=-1, keepdims=True)
        index = np.arange(n * n, dtype=np.int32).reshape(n, n)
        a, b, c, d = index[:-1, :-1], index[:-1, 1:], index[1:, 1:], index[1:, :-1]
        faces = np.concatenate(
            [np.stack([a, b, c], -1).reshape(-1, 3), np.stack([a, c, d], -1).reshape(-1, 3)]
        )
        vertices = np.stack([x, y, z], -1).reshape(-1, 3).astype(np.float32)
        return vertices, normals.reshape(-1, 3).astype(np.float32), faces

    def cover(self, x: F64, y: F64, off_trail: F64 | None = None) -> F32:
        """Ground cover at flat arrays of places.

        Args:
            x: World x, shape (N,).
            y: World y, shape (N,).
            off_trail: 1 away from the trail, 0 on it, shape (N,); worked out where not given.

        Returns:
            Array (N, 3) of grass, stones and flowers, each 0 (none) to 1 (dense); 0.5 is the edge of a patch.
        """
        fields = sample(field_tile(), self.cover_frame, x, y, _FIELD_PERIOD)
        ragged = sample(field_tile(), self.cover_frame, x, y, _FIELD_PERIOD / 9.0)
        if off_trail is None:
            off_trail = smoothstep(0.9, 1.9, self.trail_distance(x, y, 3.0).clip(max=3.0))
        cover = np.empty((len(fields), 3), np.float32)
        for k, threshold in enumerate(self._thresholds):
            value = fields[:, k] + 0.35 * ragged[:, (k + 1) % 4]
            cover[:, k] = smoothstep(threshold - 0.45, threshold + 0.45, value) * off_trail
        # Far ranges are bare: what covers them is too small to be told apart.
        cover *= (1.0 - smoothstep(220.0, 420.0, np.hypot(x, y)))[:, None]
        # Stones lie where grass does not.
        cover[:, 1] *= 1.0 - 0.8 * cover[:, 0]
        return cover


def _low_pass(profile_N: F64) -> F64:
    """Heights along the loop without what is shorter than about 6 m: a track that a vehicle could have made."""
    n = len(profile_N)
    frequency = np.fft.rfftfreq(n, TRAIL_STEP)
    return np.asarray(np.fft.irfft(np.fft.rfft(profile_N) * np.exp(-((frequency * 6.0) ** 2)), n))


def _distance_raster(trail: Trail) -> F32:
    n = round(2 * HALF / RASTER)
    off = np.full((n, n), 255, np.uint8)
    pixels = ((trail.xy_N2 + HALF) / RASTER - 0.5).round().astype(np.int32)
    cv2.polylines(off, [pixels.reshape(-1, 1, 2)], isClosed=True, color=0, thickness=1)
    return np.asarray(cv2.distanceTransform(off, cv2.DIST_L2, cv2.DIST_MASK_PRECISE) * RASTER, np.float32)


def _cover_thresholds(style: Style) -> tuple[float, float, float]:
    """Values of the fields above which each cover's share of the ground lies."""
    every = field_tile()[::8, ::8, :3].reshape(-1, 3)
    shares = (style.grass, style.clutter, style.flowers)
    first, second, third = (float(np.quantile(every[:, k], 1.0 - share)) for k, share in enumerate(shares))
    return first, second, third
