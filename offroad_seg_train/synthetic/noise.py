# SPDX-License-Identifier: Apache-2.0
"""Tileable noise: made once for each process, sampled at any place by many worlds.

A tile is fractal noise synthesised in the frequency domain, so that it repeats without a seam. Worlds differ by
where and at which angle they read it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import cv2
import numpy as np
from scipy import ndimage

if TYPE_CHECKING:
    from numpy.typing import NDArray

TILE = 1024
_REMAP_ROW = 2048


def fractal_tile(seed: int, beta: float, size: int = TILE, lowest: float = 2.0) -> NDArray[np.float32]:
    """One period of noise whose power falls with frequency as ``1 / f ** beta``.

    Args:
        seed: Same seed, same tile.
        beta: 2 is rough, 3 is hilly, 4 is smooth.
        size: Samples along each side.
        lowest: Lowest frequency in periods per tile; below it the spectrum is empty.

    Returns:
        Array (size, size) of mean 0 and standard deviation 1.
    """
    rng = np.random.default_rng([seed, 7919])
    frequency = np.hypot(np.fft.fftfreq(size)[:, None], np.fft.rfftfreq(size)[None, :]) * size
    amplitude = np.where(frequency >= lowest, np.maximum(frequency, 1.0) ** (-beta / 2), 0.0)
    phase = rng.uniform(0, 2 * np.pi, amplitude.shape)
    tile = np.fft.irfft2(amplitude * np.exp(1j * phase), s=(size, size))
    tile -= tile.mean()
    return (tile / tile.std()).astype(np.float32)


@lru_cache(maxsize=1)
def detail_tile() -> NDArray[np.float32]:
    """Surface detail, shape (TILE, TILE, 4): rough value, its slope in u and in v, a second value."""
    rough = fractal_tile(11, 2.3, lowest=4.0)
    other = fractal_tile(12, 2.0, lowest=6.0)
    slope_u = (np.roll(rough, -1, 1) - np.roll(rough, 1, 1)) * 0.5
    slope_v = (np.roll(rough, -1, 0) - np.roll(rough, 1, 0)) * 0.5
    scale = 1.0 / float(np.sqrt(slope_u.var() + slope_v.var()))
    return np.ascontiguousarray(np.stack([rough, slope_u * scale, slope_v * scale, other], -1))


@lru_cache(maxsize=1)
def field_tile() -> NDArray[np.float32]:
    """Soft patches for vegetation cover, shape (TILE, TILE, 4): four independent fields."""
    return np.ascontiguousarray(np.stack([fractal_tile(20 + k, 3.0, lowest=3.0) for k in range(4)], -1))


@lru_cache(maxsize=1)
def cloud_tile() -> NDArray[np.float32]:
    """Heaped clouds, shape (TILE, TILE, 2): density and its blur, each of mean 0 and deviation 1."""
    base = fractal_tile(31, 3.4, lowest=4.0)
    # Folding noise at its zero crossings gives the cauliflower edges of cumulus.
    billow = -np.abs(fractal_tile(32, 2.6, lowest=10.0))
    fine = -np.abs(fractal_tile(33, 2.2, lowest=28.0))
    density = base + 0.50 * billow + 0.16 * fine
    density = (density - density.mean()) / density.std()
    blurred = ndimage.gaussian_filter(density, 7.0, mode="wrap")
    return np.ascontiguousarray(np.stack([density, blurred], -1).astype(np.float32))


@lru_cache(maxsize=1)
def _relief_coefficients() -> NDArray[np.float32]:
    tile = fractal_tile(41, 4.0, size=512, lowest=2.0)
    return ndimage.spline_filter(tile, order=3, mode="grid-wrap").astype(np.float32)


@dataclass(frozen=True)
class Frame2D:
    """Where and at which angle a world reads the tiles; sizes are in metres."""

    cos: float
    sin: float
    offset_u: float
    offset_v: float

    @classmethod
    def random(cls, rng: np.random.Generator) -> Frame2D:
        """A frame drawn by the world's generator."""
        angle = rng.uniform(0, 2 * np.pi)
        return cls(float(np.cos(angle)), float(np.sin(angle)), *(float(v) for v in rng.uniform(0, TILE, 2)))

    def uv(
        self, x: NDArray[np.floating], y: NDArray[np.floating], period: float, size: int = TILE
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Tile coordinates in samples of world places (metres), for a tile of ``period`` metres."""
        scale = size / period
        u = (self.cos * x + self.sin * y) * scale + self.offset_u
        v = (-self.sin * x + self.cos * y) * scale + self.offset_v
        # floor and not %: on large arrays it is several times faster.
        u -= np.floor(u / size) * size
        v -= np.floor(v / size) * size
        return np.asarray(u, np.float32), np.asarray(v, np.float32)


def sample_uv(
    tile: NDArray[np.float32], u_N: NDArray[np.float32], v_N: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Bilinear samples of a repeating tile, shape (N, channels); coordinates in samples, any range ≥ 0."""
    n = u_N.size
    # cv2.remap wants a picture of coordinates; a long row is folded because OpenCV limits a side to 32,767.
    rows = max(1, -(-n // _REMAP_ROW))
    padded = np.zeros((2, rows * _REMAP_ROW), np.float32)
    padded[0, :n] = u_N
    padded[1, :n] = v_N
    maps = padded.reshape(2, rows, _REMAP_ROW)
    out = cv2.remap(tile, maps[0], maps[1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)
    return out.reshape(rows * _REMAP_ROW, -1)[:n]


def sample(
    tile: NDArray[np.float32],
    frame: Frame2D,
    x_N: NDArray[np.floating],
    y_N: NDArray[np.floating],
    period: float,
) -> NDArray[np.float32]:
    """Samples of a tile of ``period`` metres at world places, shape (N, channels)."""
    u, v = frame.uv(x_N, y_N, period)
    return sample_uv(tile, u, v)


def relief(
    frame: Frame2D, x: NDArray[np.floating], y: NDArray[np.floating], period: float
) -> NDArray[np.float64]:
    """Smooth fractal relief of deviation 1, any shape; cubic, so that slopes are continuous."""
    u, v = frame.uv(x, y, period, size=512)
    coords = np.stack([v.ravel(), u.ravel()])
    values = ndimage.map_coordinates(
        _relief_coefficients(), coords, order=3, mode="grid-wrap", prefilter=False
    )
    return values.reshape(np.shape(x)).astype(np.float64)


def smoothstep(low: float, high: float, x: NDArray[np.floating]) -> NDArray[np.floating]:
    """0 below ``low``, 1 above ``high``, smooth between (also where low > high)."""
    t = np.clip((x - low) / (high - low), 0.0, 1.0)
    return t * t * (3.0 - 2.0 * t)
