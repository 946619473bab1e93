# SPDX-License-Identifier: Apache-2.0
"""The host work of a straightforward node, to measure ours against: what one writes first, in plain numpy.

    python benchmarks/host_work.py      # runs both side by side

Copies as cv_bridge makes them, normalisation in float32, logits at the network's size that are scaled up to the image,
softmax and argmax there, a palette, rays and points of every pixel, ``np.maximum.at`` into a grid. It fuses nothing and
knows no occlusion: ours does more.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from nav_msgs.msg import OccupancyGrid
from sensor_msgs.msg import Image, PointCloud2

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from offroad_seg.camera import CameraModel
    from offroad_seg.ontology import Ontology
    from offroad_seg.transforms import Transform

STAGES = ("receive", "normalise", "argmax", "overlay", "points", "grid", "messages")
_MEAN = np.array([0.485, 0.456, 0.406], np.float32)
_STD = np.array([0.229, 0.224, 0.225], np.float32)


class NaiveNode:
    """One camera's frames.

    Args:
        ontology: Colours and costs.
        camera: Intrinsics; distortion is ignored.
        logits_CHW: What the network would say, float32 at its own size.
        cells: Cells along each side of the grid.
        resolution: Metres a cell.
        max_range: Metres.
    """

    def __init__(
        self,
        ontology: Ontology,
        camera: CameraModel,
        logits_CHW: NDArray[np.float32],
        *,
        cells: int,
        resolution: float,
        max_range: float,
    ) -> None:
        self._camera, self._logits_CHW = camera, logits_CHW
        self._palette = np.array([c.color for c in ontology.classes], np.uint8)
        self._costs = np.asarray(ontology.costs_256, np.int16)
        self._cells, self._resolution, self._max_range = cells, resolution, max_range
        self.timings_ms: dict[str, float] = {}

    def process(self, message: Image, base_T_camera: Transform, odom_T_base: Transform) -> list[Any]:
        """All output messages of one frame."""
        clock = [time.perf_counter()]

        def lap() -> None:
            clock.append(time.perf_counter())

        image = np.frombuffer(message.data, np.uint8).reshape(message.height, message.width, 3).copy()
        bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)  # imgmsg_to_cv2(message, "bgr8")
        lap()
        height, width = self._logits_CHW.shape[1:]
        rgb = cv2.cvtColor(cv2.resize(bgr, (width, height)), cv2.COLOR_BGR2RGB)
        _batch = ((rgb.astype(np.float32) / 255.0 - _MEAN) / _STD).transpose(2, 0, 1)[None].copy()
        lap()
        labels, confidence = self._argmax(message.width, message.height)
        lap()
        overlay = (0.5 * image + 0.5 * self._palette[labels]).astype(np.uint8)
        lap()
        points = self._points(base_T_camera)
        lap()
        grid = self._grid(points, labels, confidence, odom_T_base @ base_T_camera, odom_T_base)
        lap()
        messages = self._messages(message, labels, confidence, overlay, points, grid)
        lap()
        self.timings_ms = {
            stage: 1e3 * (after - before)
            for stage, before, after in zip(STAGES, clock[:-1], clock[1:], strict=True)
        }
        return messages

    def _argmax(self, width: int, height: int) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
        logits = np.stack([cv2.resize(plane, (width, height)) for plane in self._logits_CHW])
        exponent = np.exp(logits - logits.max(axis=0))
        probability = exponent / exponent.sum(axis=0)
        return probability.argmax(axis=0).astype(np.uint8), probability.max(axis=0)

    def _points(self, base_T_camera: Transform) -> NDArray[np.float64]:
        """Where every pixel's ray meets the plane z = 0 of the base frame, (H, W, 3) in the camera's frame."""
        camera = self._camera
        u, v = np.meshgrid(np.arange(camera.width), np.arange(camera.height))
        rays = np.stack([(u - camera.cx) / camera.fx, (v - camera.cy) / camera.fy, np.ones(u.shape)], axis=-1)
        down = rays @ base_T_camera.rotation_33[2]
        with np.errstate(divide="ignore"):
            depth = -base_T_camera.translation_3[2] / down
        points = rays * depth[..., None]
        points[(depth <= 0) | (np.linalg.norm(points, axis=-1) > self._max_range)] = np.nan
        return points

    def _grid(
        self,
        points: NDArray[np.float64],
        labels: NDArray[np.uint8],
        confidence: NDArray[np.float32],
        odom_T_camera: Transform,
        odom_T_base: Transform,
    ) -> NDArray[np.int16]:
        good = np.isfinite(points[..., 0]) & (confidence > 0.35)
        places = points[good] @ odom_T_camera.rotation_33.T + odom_T_camera.translation_3
        corner = odom_T_base.translation_3[:2] - self._cells * self._resolution / 2
        columns, rows = np.floor((places[:, :2] - corner) / self._resolution).astype(int).T
        inside = (columns >= 0) & (rows >= 0) & (columns < self._cells) & (rows < self._cells)
        grid = np.full((self._cells, self._cells), -1, np.int16)
        np.maximum.at(grid, (rows[inside], columns[inside]), self._costs[labels[good][inside]])
        return grid

    def _messages(
        self,
        message: Image,
        labels: NDArray[np.uint8],
        confidence: NDArray[np.float32],
        overlay: NDArray[np.uint8],
        points: NDArray[np.float64],
        grid: NDArray[np.int16],
    ) -> list[Any]:
        height, width = labels.shape
        cloud = np.concatenate(
            [points.astype(np.float32), labels[..., None].astype(np.float32), confidence[..., None]], axis=-1
        )
        images = [
            Image(header=message.header, height=height, width=width, encoding=encoding, step=step, data=data)
            for encoding, step, data in (
                ("mono8", width, labels.tobytes()),
                ("mono8", width, (255 * confidence).astype(np.uint8).tobytes()),
                ("rgb8", 3 * width, overlay.tobytes()),
            )
        ]
        points_message = PointCloud2(header=message.header, height=height, width=width, point_step=20)
        points_message.data = cloud.tobytes()
        occupancy = OccupancyGrid(header=message.header)
        occupancy.info.width = occupancy.info.height = self._cells
        occupancy.data = grid.ravel().tolist()
        return [*images, points_message, occupancy]
