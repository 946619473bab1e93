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


def extremes(cell_N: Index, up_N: F32, shape: tuple[int, int], scratch: Scratch) -> tuple[F32, F32]:
    """Lowest and highest points of every cell, without the tenth of them at either end.

    Args:
        cell_N: Flat index of each point's cell.
        up_N: float32 metres.
        shape: Rows and columns of the grid.
        scratch: Kept memory; names starting with ``height`` are used.

    Returns:
        Two float32 grids; ``UNSEEN`` where there is no point.
    """
    size = shape[0] * shape[1]
    low_HW, high_HW = np.full(shape, UNSEEN, np.float32), np.full(shape, UNSEEN, np.float32)
    if cell_N.size == 0:
        return low_HW, high_HW
    # Cell and height in one number: a single sort gives every order statistic of every cell.
    bits = min(_HEIGHT_BITS, 32 - max(1, (size - 1).bit_length()))
    steps = (1 << bits) - 1
    level = np.add(up_N, np.float32(_REACH), out=scratch.get("height_level", up_N.shape))
    np.multiply(level, np.float32(steps / (2 * _REACH)), out=level)
    np.clip(level, 0.0, np.float32(steps), out=level)
    key = scratch.get("height_key", up_N.shape, np.uint32)
    np.copyto(key, cell_N, casting="unsafe")
    np.left_shift(key, np.uint32(bits), out=key)
    np.bitwise_or(key, level.astype(np.uint32), out=key)
    key.sort()
    cell = key >> np.uint32(bits)
    first = np.flatnonzero(np.concatenate([[True], cell[1:] != cell[:-1]]))
    last = np.append(first[1:], key.size) - 1
    trim = (last - first) // _TRIM
    where = cell[first].astype(np.intp)
    for out, at in ((low_HW, first + trim), (high_HW, last - trim)):
        out.ravel()[where] = (key[at] & np.uint32(steps)) * np.float32(2 * _REACH / steps) - np.float32(
            _REACH
        )
    return low_HW, high_HW


def lowest_around(height_HW: F32, kernel: NDArray[np.uint8]) -> F32:
    """Least seen height within a kernel; ``UNSEEN`` where there is none."""
    return np.asarray(cv2.erode(height_HW, kernel, borderType=cv2.BORDER_CONSTANT, borderValue=float(UNSEEN)))


def highest_around(height_HW: F32, kernel: NDArray[np.uint8]) -> F32:
    """Greatest seen height within a kernel; ``UNSEEN`` where there is none."""
    flipped = np.where(height_HW >= UNSEEN, UNSEEN, -height_HW)
    low = lowest_around(flipped, kernel)
    return np.where(low >= UNSEEN, UNSEEN, -low)


def without_bumps(height_HW: F32, resolution: float) -> F32:
    """The ground without what rises out of it: opening over ``NARROW``; also fills cells near seen ones."""
    kernel = square(NARROW, resolution)
    return highest_around(lowest_around(height_HW, kernel), kernel)


def without_dips(height_HW: F32, resolution: float) -> F32:
    """The ground with narrow dips filled up to their sides: closing over ``NARROW``."""
    kernel = square(NARROW, resolution)
    return lowest_around(highest_around(height_HW, kernel), kernel)


def hazards(
    low_HW: F32,
    high_HW: F32,
    soft_HW: F32,
    ground_HW: F32,
    lean: tuple[float, float],
    limits: Limits,
) -> tuple[Bool, Bool]:
    """Where the shape of solid ground stops a vehicle, and where it may.

    Args:
        low_HW: Lowest solid point of each cell.
        high_HW: Highest solid point.
        soft_HW: Lowest point of soft ground, which is held to the slope only.
        ground_HW: The ground without bumps; finite everywhere.
        lean: Gradient of the plane that heights are measured from, along x and y.
        limits: What the vehicle can do.

    Returns:
        Lethal: seen cells at a step, in a narrow dip, on a narrow bump, or on too steep a slope. Doubtful: seen cells
        that rise within themselves by more than a slope does, such as the far side of a ditch, and those beside them.
    """
    seen_high = high_HW < UNSEEN
    seen_low = low_HW < UNSEEN
    step = limits.tellable_step
    foot = lowest_around(low_HW, _CROSS)
    np.copyto(foot, ground_HW, where=foot >= UNSEEN)
    top = highest_around(high_HW, _CROSS)
    with np.errstate(over="ignore"):
        lethal = (high_HW - foot > step) & seen_high
        lethal |= (top - low_HW > step) & seen_low & (top < UNSEEN)
        even = np.where(high_HW - low_HW > limits.rough, UNSEEN, low_HW)
        lethal |= (low_HW - ground_HW > step) & seen_low
        lethal |= (without_dips(even, limits.resolution) - low_HW > step) & seen_low
        lethal |= _steep(low_HW, lean, limits) & (seen_low | seen_high)
        # Apart from solid ground: from bare ground to high grass is no slope.
        seen_soft = soft_HW < UNSEEN
        if seen_soft.any():
            lethal |= _steep(soft_HW, lean, limits) & seen_soft
        rough = (high_HW - low_HW > limits.rough) & seen_low
    doubtful = cv2.dilate(rough.view(np.uint8), _CROSS).view(np.bool_)
    return lethal, doubtful & ~lethal


def _steep(height_HW: F32, lean: tuple[float, float], limits: Limits) -> Bool:
    """Where the smoothed ground is steeper than the limit, over about a wheelbase."""
    seen = height_HW < UNSEEN
    size = _odd(_SLOPE_SMOOTH, limits.resolution)
    reach = max(1, round(_SLOPE_BASE / 2 / limits.resolution))
    weight = cv2.boxFilter(
        seen.astype(np.float32), -1, (size, size), normalize=False, borderType=cv2.BORDER_CONSTANT
    )
    total = cv2.boxFilter(
        np.where(seen, height_HW, np.float32(0.0)),
        -1,
        (size, size),
        normalize=False,
        borderType=cv2.BORDER_CONSTANT,
    )
    smooth = np.full(height_HW.shape, np.nan, np.float32)
    np.divide(total, weight, out=smooth, where=weight > 0.5)
    run = np.float32(2 * reach * limits.resolution)
    squared = np.zeros(height_HW.shape, np.float32)
    for axis, own in ((1, lean[0]), (0, lean[1])):
        gradient = np.full(height_HW.shape, np.nan, np.float32)
        if height_HW.shape[axis] > 2 * reach:
            middle: list[slice] = [slice(None), slice(None)]
            ahead, behind = list(middle), list(middle)
            middle[axis], ahead[axis], behind[axis] = (
                slice(reach, -reach),
                slice(2 * reach, None),
                slice(None, -2 * reach),
            )
            gradient[tuple(middle)] = (smooth[tuple(ahead)] - smooth[tuple(behind)]) / run
        # Where the ground ahead or behind was not seen, it leans as the plane does, for all that is known.
        squared += np.square(np.where(np.isnan(gradient), np.float32(0.0), gradient) + np.float32(own))
    return np.asarray(squared > np.float32(limits.slope**2))


def _odd(metres: float, resolution: float) -> int:
    return 2 * max(1, round(metres / 2 / resolution)) + 1


def square(metres: float, resolution: float) -> NDArray[np.uint8]:
    """A kernel of about that width, of odd size."""
    size = _odd(metres, resolution)
    return np.ones((size, size), np.uint8)
