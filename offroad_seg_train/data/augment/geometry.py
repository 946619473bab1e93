# SPDX-License-Identifier: Apache-2.0
"""Where a training image is cut from its source: one map from network pixels to source pixels, one resampling.

Zoom, flips, turns and perspective are multiplied into one 3×3 matrix, so that a pixel is interpolated once, from the
frame as it is stored, and a crop of a frame that is stored larger than the network shows the detail that it has.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

from offroad_seg.types import UNLABELLED

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from offroad_seg.image import Letterbox
    from offroad_seg_train.data.augment.config import AugmentConfig

    U8 = NDArray[np.uint8]
    F64 = NDArray[np.float64]
    Point = tuple[float, float]

# Shrinking by less than this needs no low-pass filter beyond that of the letterbox.
_FILTERED_BELOW = 0.9


@dataclass(frozen=True)
class View:
    """One choice of what the network sees of a frame.

    Attributes:
        source_T_view_33: float64 homography from network pixels to source pixels, in continuous coordinates: the
            centre of the first pixel is (0.5, 0.5).
        whole: The letterbox itself: nothing is varied.
    """

    source_T_view_33: F64
    whole: bool = False


class ViewSampler:
    """Draws views.

    Args:
        config: What to vary.
        letterbox: The network's size, and where the whole image lies in it at zoom 1.
    """

    def __init__(self, config: AugmentConfig, letterbox: Letterbox) -> None:
        self.config = config
        self.letterbox = letterbox
        self._zooms = config.scale_min != 1 or config.scale_max != 1
        self._view_2 = np.array([letterbox.width, letterbox.height], float)

    def draw(self, rng: np.random.Generator, height: int, width: int, focus_xy: Point | None = None) -> View:
        """A view of a frame.

        Args:
            rng: Where the numbers come from.
            height: Rows of the source.
            width: Columns of the source.
            focus_xy: A point of the source, in pixels, that a zoomed view is centred on as far as the image's edges
                let it; None for a random place.
        """
        config = self.config
        zoom = rng.uniform(config.scale_min, config.scale_max) if self._zooms else 1.0
        mirrored = chance(rng, config.flip)
        upside_down = chance(rng, config.flip_vertical)
        quarters = int(rng.integers(1, 4)) if chance(rng, config.quarter_turns) else 0
        degrees = rng.uniform(-config.rotation, config.rotation) if config.rotation else 0.0
        warp_33 = self._perspective(rng) if config.perspective else np.eye(3)

        # The letterbox of the turned image, so that a turn by 90° keeps all of it in view.
        turned_hw = (width, height) if quarters % 2 else (height, width)
        place = self.letterbox.geometry(*turned_hw)
        scale_2 = np.array([turned_hw[1] / place.width, turned_hw[0] / place.height]) / zoom
        flips_2 = np.array([-1 if mirrored else 1, -1 if upside_down else 1])
        linear_22 = _quarter_turn(quarters) @ np.diag(scale_2) @ _turn(degrees) @ np.diag(flips_2)

        size_2 = np.array([width, height], float)
        if self._zooms:
            upright_2 = (scale_2[::-1] if quarters % 2 else scale_2) * (
                self._view_2[::-1] if quarters % 2 else self._view_2
            )
            centre_2 = self._centre(rng, linear_22, warp_33, upright_2, size_2, focus_xy)
        else:
            # The letterbox's own place, which rounding can put half a pixel beside the middle.
            middle_2 = np.array([place.left + place.width / 2, place.top + place.height / 2])
            centre_2 = size_2 / 2 - linear_22 @ (middle_2 - self._view_2 / 2)
        matrix = np.eye(3)
        matrix[:2, :2] = linear_22
        matrix[:2, 2] = centre_2
        varied = self._zooms or mirrored or upside_down or quarters or degrees or config.perspective
        return View(matrix @ warp_33 @ _shift(-self._view_2 / 2), whole=not varied)

    def _centre(
        self,
        rng: np.random.Generator,
        linear_22: F64,
        warp_33: F64,
        upright_2: F64,
        size_2: F64,
        focus_xy: Point | None,
    ) -> F64:
        """The source point (x, y) in the middle of the view.

        A view that fits into the image lies inside it, corners included; one that is larger than the image holds all
        of it, but for what its turn cuts off.
        """
        corners_24 = linear_22 @ _project(warp_33, _CORNERS_24 * self._view_2[:, None] / 2)
        low_2, high_2 = corners_24.min(axis=1), corners_24.max(axis=1)
        fits = high_2 - low_2 <= size_2
        room_2 = np.abs(size_2 - upright_2) / 2
        from_2 = np.where(fits, -low_2, size_2 / 2 - room_2)
        to_2 = np.where(fits, size_2 - high_2, size_2 / 2 + room_2)
        if focus_xy is not None:
            return np.clip(np.asarray(focus_xy, float), from_2, to_2)
        return from_2 + rng.random(2) * (to_2 - from_2)

    def _perspective(self, rng: np.random.Generator) -> F64:
        """A homography of the view about its centre that moves each corner by its own amount."""
        corners_24 = _CORNERS_24 * self._view_2[:, None] / 2
        moved_24 = corners_24 * (1 - rng.uniform(0, self.config.perspective, (2, 4)))
        return cv2.getPerspectiveTransform(
            corners_24.T.astype(np.float32), moved_24.T.astype(np.float32)
        ).astype(np.float64)


_CORNERS_24 = np.array([[-1, 1, 1, -1], [-1, -1, 1, 1]], float)


def chance(rng: np.random.Generator, probability: float) -> bool:
    """True with a probability; a probability of 0 draws no number."""
    return probability > 0 and rng.random() < probability


def _turn(degrees: float) -> F64:
    c, s = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    return np.array([[c, -s], [s, c]])


def _quarter_turn(quarters: int) -> F64:
    """Exact, so that a turned image keeps its pixels."""
    return np.linalg.matrix_power(np.array([[0, -1], [1, 0]]), quarters).astype(np.float64)


def _shift(by_2: F64) -> F64:
    matrix = np.eye(3)
    matrix[:2, 2] = by_2
    return matrix


def _project(matrix_33: F64, points_2N: F64) -> F64:
    x_N, y_N, z_N = matrix_33 @ np.vstack([points_2N, np.ones(points_2N.shape[1])])
    return np.vstack([x_N, y_N]) / z_N


def take_view(image_HWC: U8, labels_HW: U8, view: View, letterbox: Letterbox) -> tuple[U8, U8, U8 | None]:
    """Cut a view out of a frame.

    Args:
        image_HWC: uint8 (h, w, 3), of any size.
        labels_HW: uint8 (h, w).
        view: What to see.
        letterbox: The network's size and the grey outside the image.

    Returns:
        Image (H, W, 3), labels (H, W) with 255 outside the image, and where the image is: uint8 (H, W), 1 inside and
        0 outside, or None where it fills the view.
    """
    if view.whole:
        return letterbox.apply(image_HWC), letterbox.apply_mask(labels_HW), inside_of(labels_HW, letterbox)
    size = (letterbox.width, letterbox.height)
    matrix = view.source_T_view_33
    inside = None if _covers(matrix, labels_HW.shape, letterbox) else np.ones_like(labels_HW)
    labels = _warp(labels_HW, matrix, size, cv2.INTER_NEAREST, UNLABELLED)
    if inside is not None:
        inside = _warp(inside, matrix, size, cv2.INTER_NEAREST, 0)
    zoom = _mean_zoom(matrix, labels_HW.shape, letterbox)
    if zoom < _FILTERED_BELOW:
        image_HWC, matrix = _reduced(image_HWC, matrix, zoom, letterbox)
    image = _warp(image_HWC, matrix, size, cv2.INTER_LINEAR, None)
    if inside is not None:
        cv2.copyTo(np.full_like(image, letterbox.pad_value), 1 - inside, image)
    return image, labels, inside


def inside_of(labels_HW: U8, letterbox: Letterbox) -> U8 | None:
    """Where the letterboxed whole is: 1 inside and 0 in the padding, or None where there is none."""
    place = letterbox.geometry(*labels_HW.shape)
    if (place.height, place.width) == (letterbox.height, letterbox.width):
        return None
    inside = np.zeros((letterbox.height, letterbox.width), np.uint8)
    inside[place.top : place.top + place.height, place.left : place.left + place.width] = 1
    return inside


def _reduced(image_HWC: U8, source_T_view_33: F64, zoom: float, letterbox: Letterbox) -> tuple[U8, F64]:
    """The image shrunk to the view's zoom, and the map to it: a far view must not sparkle.

    First to the letterbox's size as on the vehicle, then by area: what a camera farther away would show.
    """
    height, width = image_HWC.shape[:2]
    place = letterbox.geometry(height, width)
    if place.width < width:
        image_HWC = cv2.resize(image_HWC, (place.width, place.height), interpolation=cv2.INTER_LINEAR)
    new_w = max(1, round(place.width * zoom))
    new_h = max(1, round(place.height * zoom))
    small = cv2.resize(image_HWC, (new_w, new_h), interpolation=cv2.INTER_AREA)
    return small, np.diag([new_w / width, new_h / height, 1.0]) @ source_T_view_33


def _mean_zoom(source_T_view_33: F64, shape: tuple[int, ...], letterbox: Letterbox) -> float:
    """How much larger things are than in the letterboxed whole, by the area of source that the view covers."""
    x_4, y_4 = _corners_in_source(source_T_view_33, letterbox)
    covered = abs(x_4 @ np.roll(y_4, -1) - y_4 @ np.roll(x_4, -1)) / 2  # the shoelace formula
    place = letterbox.geometry(shape[0], shape[1])
    whole = letterbox.height * letterbox.width * (shape[0] / place.height) * (shape[1] / place.width)
    return float(np.sqrt(whole / covered))


def _covers(source_T_view_33: F64, shape: tuple[int, ...], letterbox: Letterbox) -> bool:
    """Whether the view lies inside the image altogether."""
    x_4, y_4 = _corners_in_source(source_T_view_33, letterbox)
    tolerance = 1e-6 * max(shape)
    return bool(
        min(x_4.min(), y_4.min()) >= -tolerance
        and x_4.max() <= shape[1] + tolerance
        and y_4.max() <= shape[0] + tolerance
    )


def _corners_in_source(source_T_view_33: F64, letterbox: Letterbox) -> F64:
    return _project(source_T_view_33, (_CORNERS_24 + 1) / 2 * [[letterbox.width], [letterbox.height]])


def _warp(source: U8, source_T_view_33: F64, size: tuple[int, int], how: int, outside: int | None) -> U8:
    """Resample; ``outside`` None repeats the border's pixels."""
    # OpenCV has pixel centres at whole numbers.
    half = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1]])
    matrix = np.linalg.inv(half) @ source_T_view_33 @ half
    flags = how | cv2.WARP_INVERSE_MAP
    border = cv2.BORDER_REPLICATE if outside is None else cv2.BORDER_CONSTANT
    value = 0 if outside is None else outside
    if matrix[2, 0] == 0 and matrix[2, 1] == 0:  # half the time of a perspective map
        affine = matrix[:2] / matrix[2, 2]
        return cv2.warpAffine(source, affine, size, flags=flags, borderMode=border, borderValue=value)
    return cv2.warpPerspective(source, matrix, size, flags=flags, borderMode=border, borderValue=value)
