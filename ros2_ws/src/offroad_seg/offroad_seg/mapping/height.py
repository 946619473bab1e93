# SPDX-License-Identifier: Apache-2.0
"""How high the ground lies in each cell, from points, and where its shape alone stops a vehicle.

Heights are metres above the ground plane, which leans as the vehicle does: what is judged is how the ground departs
from it. Grids hold ``UNSEEN`` where no point fell.

Widths are those of a vehicle, not of a survey: ground that rises out of, or falls below, all that lies within
``NARROW`` metres is a block or a ditch; what is wider is a terrace, whose sides are steps or slopes.
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

    F32 = NDArray[np.float32]
    Bool = NDArray[np.bool_]
    Index = NDArray[np.intp]

NARROW = 2.0
UNSEEN = np.float32(1e6)
# Heights are kept to a millimetre or so within these bounds; what lies beyond is at them.
_REACH = 8.0
_HEIGHT_BITS = 14
_TRIM = 10  # one point in so many, at either end, may be wrong
_SLOPE_SMOOTH, _SLOPE_BASE = 0.5, 0.8
_CROSS = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))


@dataclass(frozen=True)
class Limits:
    """What the vehicle can do.

    Attributes:
        step: Metres by which the ground may rise or fall at once.
        slope: Gradient (rise over run) that it can climb.
        resolution: Metres a cell.
    """

    step: float
    slope: float
    resolution: float

    @property
    def tellable_step(self) -> float:
        """``step``, or where cells are large the rise of three of them at the steepest slope: no less can be told."""
        return max(self.step, 3 * self.resolution * self.slope)

    @property
    def rough(self) -> float:
        """Rise within one cell that no slope explains, metres; 5 cm are left to noise."""
        return math.sqrt(2) * self.resolution * self.slope + 0.05


@dataclass(frozen=True)
class Stacks:
    """Points sorted by cell, and within a cell by height.

    Attributes:
        shape: Rows and columns of the grid.
        cell_N: Flat index of each point's cell, rising.
        up_N: float32 metres, to a millimetre or so, rising within a cell.
        kind_N: uint8, as given.
    """

    shape: tuple[int, int]
    cell_N: Index
    up_N: F32
    kind_N: NDArray[np.uint8]

    def extremes(self, some_N: Bool | None = None) -> tuple[F32, F32, Index, Index]:
        """Lowest and highest of some points in every cell that has any, without a tenth of them at either end.

        Returns:
            Two float32 grids, metres, ``UNSEEN`` where there is no such point; the second holds *minus* the height,
            so that the least of it is what stands highest. The cells that have points, and how many.
        """
        cell_N, up_N = (
            (self.cell_N, self.up_N) if some_N is None else (self.cell_N[some_N], self.up_N[some_N])
        )
        low_HW, high_HW = np.full(self.shape, UNSEEN, np.float32), np.full(self.shape, UNSEEN, np.float32)
        if cell_N.size == 0:
            return low_HW, high_HW, cell_N, cell_N
        edge = np.flatnonzero(cell_N[1:] != cell_N[:-1])
        first = np.concatenate([[0], edge + 1])
        last = np.append(edge, cell_N.size - 1)
        trim = (last - first) // _TRIM
        cells = cell_N[first]
        low_HW.ravel()[cells] = up_N[first + trim]
        high_HW.ravel()[cells] = -up_N[last - trim]
        return low_HW, high_HW, cells, last - first + 1


def stack(
    cell_N: Index, up_N: F32, kind_N: NDArray[np.uint8], shape: tuple[int, int], scratch: Scratch
) -> Stacks:
    """Sort points by cell and height.

    Args:
        cell_N: Flat index of each point's cell.
        up_N: float32 metres; beyond ``_REACH`` they count as there.
        kind_N: uint8, 0 to 3.
        shape: Rows and columns of the grid.
        scratch: Kept memory; names starting with ``stack`` are used.
    """
    # Cell, height and kind in one number: a single plain sort, which is far quicker than sorting by several keys.
    bits = min(_HEIGHT_BITS, 30 - max(1, (shape[0] * shape[1] - 1).bit_length()))
    steps = (1 << bits) - 1
    level = np.add(up_N, np.float32(_REACH), out=scratch.get("stack_level", up_N.shape))
    np.multiply(level, np.float32(steps / (2 * _REACH)), out=level)
    np.clip(level, 0.0, np.float32(steps), out=level)
    key = scratch.get("stack_key", up_N.shape, np.uint32)
    part = scratch.get("stack_part", up_N.shape, np.uint32)
    np.copyto(key, cell_N, casting="unsafe")
    np.left_shift(key, np.uint32(bits), out=key)
    np.copyto(part, level, casting="unsafe")
    np.bitwise_or(key, part, out=key)
    np.left_shift(key, np.uint32(2), out=key)
    np.bitwise_or(key, kind_N, out=key)
    key.sort()
    kind = np.bitwise_and(key, np.uint32(3), out=part).astype(np.uint8)
    np.right_shift(key, np.uint32(2), out=key)
    up = np.bitwise_and(key, np.uint32(steps), out=part).astype(np.float32)
    np.multiply(up, np.float32(2 * _REACH / steps), out=up)
    np.subtract(up, np.float32(_REACH), out=up)
    np.right_shift(key, np.uint32(bits), out=key)
    return Stacks(shape, key.astype(np.intp), up, kind)


def _least(height_HW: F32, kernel: NDArray[np.uint8]) -> F32:
    """Least of the seen values within a kernel; ``UNSEEN`` where there is none."""
    return np.asarray(cv2.erode(height_HW, kernel, borderType=cv2.BORDER_CONSTANT, borderValue=float(UNSEEN)))


def _turned(height_HW: F32) -> F32:
    """Heights with their sign changed; what is unseen stays so."""
    out = np.negative(height_HW)
    out[height_HW >= UNSEEN] = UNSEEN
    return out


def without_bumps(height_HW: F32, resolution: float) -> F32:
    """The ground without what rises out of it: opening over ``NARROW``; also fills cells near seen ones."""
    kernel = square(NARROW, resolution)
    return _turned(_least(_turned(_least(height_HW, kernel)), kernel))


def without_dips(height_HW: F32, resolution: float) -> F32:
    """The ground with narrow dips filled up to their sides: closing over ``NARROW``."""
    kernel = square(NARROW, resolution)
    return _least(_turned(_least(_turned(height_HW), kernel)), kernel)


def hazards(
    low_HW: F32,
    high_HW: F32,
    soft_HW: F32 | None,
    ground_HW: F32,
    lean: tuple[float, float],
    limits: Limits,
) -> tuple[Bool, Bool]:
    """Where the shape of solid ground stops a vehicle, and where it may.

    Args:
        low_HW: Lowest solid point of each cell.
        high_HW: Minus the highest solid point of each cell.
        soft_HW: Lowest point of soft ground, which is held to the slope only; None where there is none.
        ground_HW: The ground without bumps; finite everywhere.
        lean: Gradient of the plane that heights are measured from, along x and y.
        limits: What the vehicle can do.

    Returns:
        Lethal: seen cells at a step, in a narrow dip, on a narrow bump, or on too steep a slope. Doubtful: seen cells
        that rise within themselves by more than a slope does, such as the far side of a ditch, and those beside them.
    """
    step = np.float32(limits.tellable_step)
    seen_low, seen_high = low_HW < UNSEEN, high_HW < UNSEEN
    foot = _least(low_HW, _CROSS)
    np.copyto(foot, ground_HW, where=foot >= UNSEEN)
    # Sums with what is unseen are huge, and mean nothing: the masks leave them out.
    lethal = (high_HW + foot < -step) & seen_high
    lethal |= (_least(high_HW, _CROSS) + low_HW < -step) & seen_low
    rough = (high_HW + low_HW < np.float32(-limits.rough)) & seen_low
    even = np.where(rough, UNSEEN, low_HW)
    dip = without_dips(even, limits.resolution) - low_HW
    lethal |= ((low_HW - ground_HW > step) | ((dip > step) & (dip < UNSEEN / 2))) & seen_low
    lethal |= _steep(low_HW, seen_low, lean, limits) & (seen_low | seen_high)
    if soft_HW is not None:
        # Apart from solid ground: from bare ground to high grass is no slope.
        seen_soft = soft_HW < UNSEEN
        lethal |= _steep(soft_HW, seen_soft, lean, limits) & seen_soft
    doubtful = cv2.dilate(rough.view(np.uint8), _CROSS).view(np.bool_)
    return lethal, doubtful & ~lethal


def _steep(height_HW: F32, seen_HW: Bool, lean: tuple[float, float], limits: Limits) -> Bool:
    """Where the smoothed ground is steeper than the limit, over about a wheelbase."""
    size = _odd(_SLOPE_SMOOTH, limits.resolution)
    reach = max(1, round(_SLOPE_BASE / 2 / limits.resolution))
    weight, total = (
        cv2.boxFilter(grid, -1, (size, size), normalize=False, borderType=cv2.BORDER_CONSTANT)
        for grid in (seen_HW.astype(np.float32), np.where(seen_HW, height_HW, np.float32(0.0)))
    )
    smooth = np.full(height_HW.shape, np.nan, np.float32)
    np.divide(total, weight, out=smooth, where=weight > 0.5)
    run = np.float32(2 * reach * limits.resolution)
    squared = np.zeros(height_HW.shape, np.float32)
    for axis, own in ((1, lean[0]), (0, lean[1])):
        gradient = np.zeros(height_HW.shape, np.float32)
        if height_HW.shape[axis] > 2 * reach:
            ahead, behind = _span(axis, 2 * reach, None), _span(axis, 0, -2 * reach)
            middle = _span(axis, reach, -reach)
            rise = smooth[ahead] - smooth[behind]
            # Where the ground ahead or behind was not seen, it leans as the plane does, for all that is known.
            np.copyto(gradient[middle], rise / run, where=~np.isnan(rise))
        gradient += np.float32(own)
        gradient *= gradient
        squared += gradient
    return np.asarray(squared > np.float32(limits.slope**2))


def _span(axis: int, first: int, last: int | None) -> tuple[slice, ...]:
    """Part of a grid along one axis."""
    return (slice(first, last), slice(None)) if axis == 0 else (slice(None), slice(first, last))


def _odd(metres: float, resolution: float) -> int:
    return 2 * max(1, round(metres / 2 / resolution)) + 1


def square(metres: float, resolution: float) -> NDArray[np.uint8]:
    """A kernel of about that width, of odd size."""
    size = _odd(metres, resolution)
    return np.ones((size, size), np.uint8)
