# SPDX-License-Identifier: Apache-2.0
"""Flicker with the camera's motion taken out: where a pixel now shows what another pixel showed in the frame before.

By depth and odometry where both frames have them: exact for whatever stands still. Else by optical flow (DIS, Kroeger
et al. 2016) on a small grey image, forward and backward: a pixel counts only where the two agree. Both work on a small
image, because only shares are wanted.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from offroad_seg.counting import count_bytes
from offroad_seg.native.motion import believe_flow, count_moved
from offroad_seg.types import UNLABELLED

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from offroad_seg.camera import CameraModel
    from offroad_seg.replay.frames import BagFrame
    from offroad_seg.transforms import Transform

    U8 = NDArray[np.uint8]
    F32 = NDArray[np.float32]
    Mask = NDArray[np.bool_]

SIDE = 320
"""Pixels of the longer side of the small image."""
AGREE_PX = 1.0
"""Small pixels by which flow there and back may miss where it began."""
MIN_SIDE = 16
"""Small images whose shorter side has less are not measured: there is nothing to follow."""
DEPTH_SHARE = 0.05
"""Share by which the depth before may differ from what the motion says, before something else is in front."""


@dataclass(frozen=True)
class _Before:
    """What is kept of a frame: small images of one size."""

    image_size: tuple[int, int]
    grey_HW: U8
    labels_HW: U8
    truth_HW: U8 | None
    depth_HW: F32 | None
    camera: CameraModel | None
    odom_T_camera: Transform | None


class MotionCompensation:
    """Compares each frame's labels with those of the frame before of its camera, moved as the scene moved.

    Args:
        n_classes: Number of classes.
    """

    def __init__(self, n_classes: int) -> None:
        self._n = n_classes
        self._before: dict[str, _Before] = {}
        self._flow = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_FAST)  # type: ignore[attr-defined]
        # It works in stripes, one a thread; with it the flow would depend on how many there are.
        self._flow.setUseSpatialPropagation(False)

    def reset(self) -> None:
        """The next frames have none before them."""
        self._before.clear()

    def add(self, frame: BagFrame, labels_HW: U8) -> dict[str, Any] | None:
        """One more frame.

        Args:
            frame: Its image, and depth, calibration and poses where they are known.
            labels_HW: Its labels.

        Returns:
            ``by``: ``depth`` or ``flow``; ``compared``: for each class the pixels (of the small image) that the frame
            before showed as that class and that are found again; ``changed``: those that now have another label;
            ``truth``: [changed, compared] of the true labels, where both frames have them. None for a camera's first
            frame, and where images are too small.
        """
        before, now = self._before.get(frame.camera), _kept(frame, labels_HW)
        self._before[frame.camera] = now
        if before is None or before.image_size != now.image_size or min(now.grey_HW.shape) < MIN_SIDE:
            return None
        found = _by_depth(before, now)
        by = "depth" if found is not None else "flow"
        where_HW2, valid_HW = found or self._by_flow(before.grey_HW, now.grey_HW)
        compared_C, changed_C = self._changes(before.labels_HW, now.labels_HW, where_HW2, valid_HW)
        result = {"by": by, "compared": compared_C.tolist(), "changed": changed_C.tolist(), "truth": None}
        if before.truth_HW is not None and now.truth_HW is not None:
            compared_C, changed_C = self._changes(before.truth_HW, now.truth_HW, where_HW2, valid_HW)
            result["truth"] = [int(changed_C.sum()), int(compared_C.sum())]
        return result

    def _changes(
        self, before_HW: U8, now_HW: U8, where_HW2: F32, valid_HW: Mask
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Pixels of each class before that are found again, and those of them that now have another label."""
        moved_HW = cv2.remap(
            before_HW, where_HW2, None, cv2.INTER_NEAREST, borderMode=cv2.BORDER_CONSTANT,
            borderValue=UNLABELLED,
        )  # fmt: skip
        counted = count_moved(moved_HW, now_HW, valid_HW)
        if counted is not None:
            return counted[0][: self._n], counted[1][: self._n]
        both = valid_HW & (moved_HW != UNLABELLED) & (now_HW != UNLABELLED)
        compared = count_bytes(moved_HW, both.view(np.uint8))
        both &= moved_HW != now_HW
        changed = count_bytes(moved_HW, both.view(np.uint8))
        return compared[: self._n], changed[: self._n]

    def _by_flow(self, before_HW: U8, now_HW: U8) -> tuple[F32, Mask]:
        """Where each pixel of now was before, (H, W, 2) as x, y; and whether that can be believed."""
        back_HW2 = self._flow.calc(now_HW, before_HW, None)
        there_HW2 = self._flow.calc(before_HW, now_HW, None)
        where_HW2 = _grid(*now_HW.shape) + back_HW2
        again_HW2 = cv2.remap(there_HW2, where_HW2, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        valid_HW = believe_flow(back_HW2, again_HW2, where_HW2, AGREE_PX)
        if valid_HW is not None:
            return where_HW2, valid_HW
        missed_HW2 = back_HW2 + again_HW2
        missed_HW = missed_HW2[:, :, 0] ** 2 + missed_HW2[:, :, 1] ** 2
        return where_HW2, (missed_HW < AGREE_PX**2) & _inside(where_HW2)


def _kept(frame: BagFrame, labels_HW: U8) -> _Before:
    image_HWC, depth_HW = frame.frame.image_HWC, frame.frame.depth_HW
    height, width = image_HWC.shape[:2]
    scale = min(1.0, SIDE / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    # Small first: the rest then touches few pixels.
    small = cv2.resize(image_HWC, size, interpolation=cv2.INTER_AREA)
    camera, pose = frame.frame.camera, None
    if frame.odom_T_base is not None and frame.base_T_camera is not None:
        pose = frame.odom_T_base @ frame.base_T_camera
    return _Before(
        (height, width),
        np.asarray(cv2.cvtColor(small, cv2.COLOR_RGB2GRAY), np.uint8),
        _nearest(labels_HW, size),
        None if frame.truth_HW is None else _nearest(frame.truth_HW, size),
        None if depth_HW is None else _nearest(depth_HW, size),
        None if camera is None else camera.scaled(size[1], size[0]),
        pose,
    )


def _by_depth(before: _Before, now: _Before) -> tuple[F32, Mask] | None:
    """As ``_by_flow``, from depth now and the motion between; None where something is missing."""
    if now.depth_HW is None or before.depth_HW is None or now.camera is None or before.camera is None:
        return None
    if now.odom_T_camera is None or before.odom_T_camera is None:
        return None
    height, width = now.depth_HW.shape
    depth_N = now.depth_HW.ravel().astype(np.float64)
    known_N = np.isfinite(depth_N) & (depth_N > 0)
    rays_N3 = _rays(now.camera)
    with np.errstate(invalid="ignore", divide="ignore"):
        points_N3 = rays_N3 * (depth_N / rays_N3[:, 2])[:, None]
        moved_N3 = (before.odom_T_camera.inverse() @ now.odom_T_camera).apply(points_N3[known_N])
        uv_N2, seen_N = before.camera.project(moved_N3)
    where_HW2: F32 = np.full((height * width, 2), -1.0, np.float32)
    where_HW2[known_N] = np.where(seen_N[:, None], uv_N2, -1.0)
    expected_HW = np.full(height * width, np.nan)
    expected_HW[known_N] = moved_N3[:, 2]
    where_HW2, expected_HW = where_HW2.reshape(height, width, 2), expected_HW.reshape(height, width)
    was_HW = cv2.remap(
        before.depth_HW,
        where_HW2,
        None,
        cv2.INTER_NEAREST,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=np.nan,
    )
    with np.errstate(invalid="ignore"):
        same_HW = np.abs(was_HW - expected_HW) < DEPTH_SHARE * expected_HW
    return where_HW2, same_HW & _inside(where_HW2)


@lru_cache(maxsize=8)
def _rays(camera: CameraModel) -> NDArray[np.float64]:
    """The rays of all pixels, worked out once for each camera."""
    uv_N2 = _grid(camera.height, camera.width).reshape(-1, 2).astype(np.float64)
    return camera.rays(uv_N2)


@lru_cache(maxsize=8)
def _grid(height: int, width: int) -> F32:
    """X and y of each pixel, (H, W, 2): kept, and read-only."""
    y_HW, x_HW = np.mgrid[:height, :width]
    grid: F32 = np.stack([x_HW, y_HW], axis=2).astype(np.float32)
    grid.setflags(write=False)
    return grid


def _inside(where_HW2: F32) -> Mask:
    height, width = where_HW2.shape[:2]
    x_HW, y_HW = where_HW2[:, :, 0], where_HW2[:, :, 1]
    inside: Mask = (x_HW > -0.5) & (x_HW < width - 0.5) & (y_HW > -0.5) & (y_HW < height - 0.5)
    return inside


def _nearest(array: Any, size: tuple[int, int]) -> Any:
    return cv2.resize(array, size, interpolation=cv2.INTER_NEAREST_EXACT)
