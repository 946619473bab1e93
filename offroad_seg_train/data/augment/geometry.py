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
        zoom: Size of what is seen, relative to the letterboxed whole.
        whole: The letterbox itself: nothing is varied.
    """

    source_T_view_33: F64
    zoom: float = 1.0
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

    def draw(self, rng: np.random.Generator, height: int, width: int, focus_xy: Point | None = None) -> View:
        """A view of a frame.

        Args:
            rng: Where the numbers come from.
            height: Rows of the source.
            width: Columns of the source.
            focus_xy: A point of the source, in pixels, that a zoomed view is centred on as far as the image's edges
                let it; None for a random place.
        """
        config, box = self.config, self.letterbox
        zoom = rng.uniform(config.scale_min, config.scale_max) if self._zooms else 1.0
        mirrored = bool(config.flip) and rng.random() < config.flip
        place = box.geometry(height, width)
        per_view_px = np.array([width / (place.width * zoom), height / (place.height * zoom)])
        linear_22 = np.diag([-per_view_px[0] if mirrored else per_view_px[0], per_view_px[1]])
        if self._zooms:
            centre = self._centre(rng, linear_22, per_view_px, np.array([width, height], float), focus_xy)
        else:
            # The letterbox's own place, which rounding can put half a pixel beside the middle.
            middle = np.array([box.width / 2 - place.left, box.height / 2 - place.top])
            centre = middle * per_view_px
            if mirrored:
                centre[0] = width - centre[0]
        matrix = np.eye(3)
        matrix[:2, :2] = linear_22
        matrix[:2, 2] = centre - linear_22 @ np.array([box.width / 2, box.height / 2])
        return View(matrix, zoom, whole=not (self._zooms or mirrored))

    def _centre(
        self, rng: np.random.Generator, linear_22: F64, per_view_px: F64, size_2: F64, focus_xy: Point | None
    ) -> F64:
        """The source point (x, y) in the middle of the view.

        A view that is smaller than the image lies inside it; a larger one holds all of it.
        """
        box = self.letterbox
        corners = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * (box.width / 2, box.height / 2)
        reach_2 = np.abs(corners @ linear_22.T).max(axis=0)
        upright_2 = per_view_px * (box.width / 2, box.height / 2)
        room_2 = np.where(2 * reach_2 <= size_2, size_2 / 2 - reach_2, np.abs(size_2 / 2 - upright_2))
        if focus_xy is not None:
            focus_2 = np.asarray(focus_xy, float)
            return np.clip(focus_2, size_2 / 2 - room_2, size_2 / 2 + room_2)
        return size_2 / 2 + rng.uniform(-1, 1, 2) * room_2


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
    if view.zoom < _FILTERED_BELOW:
        image_HWC, matrix = _reduced(image_HWC, matrix, view.zoom, letterbox)
    image = _warp(image_HWC, matrix, size, cv2.INTER_LINEAR, None)
    if inside is not None:
        image[inside == 0] = letterbox.pad_value
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


def _covers(source_T_view_33: F64, shape: tuple[int, ...], letterbox: Letterbox) -> bool:
    """Whether the view lies inside the image altogether."""
    w, h = letterbox.width, letterbox.height
    corners = np.array([[0, w, w, 0], [0, 0, h, h], [1, 1, 1, 1]], float)
    x, y, z = source_T_view_33 @ corners
    tolerance = 1e-6 * max(shape)
    x, y = x / z, y / z
    return bool(
        x.min() >= -tolerance
        and y.min() >= -tolerance
        and x.max() <= shape[1] + tolerance
        and y.max() <= shape[0] + tolerance
    )


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
