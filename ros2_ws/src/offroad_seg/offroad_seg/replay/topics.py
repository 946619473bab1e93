# SPDX-License-Identifier: Apache-2.0
"""The topics of a bag that are replayed, and their types."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from offroad_seg.replay.bag import Topic

IMAGE, COMPRESSED = "sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage"
CAMERA_INFO, ODOMETRY = "sensor_msgs/msg/CameraInfo", "nav_msgs/msg/Odometry"
GRID, TF = "nav_msgs/msg/OccupancyGrid", "tf2_msgs/msg/TFMessage"
# What image_transport appends to a topic.
_TRANSPORTS = re.compile(r"/(compressed|ffmpeg|theora|zstd)$")


@dataclass(frozen=True)
class CameraTopics:
    """The topics of one camera; None where the bag has none.

    Attributes:
        name: The camera's name in the results.
        image: Image or CompressedImage.
        camera_info: Its calibration.
        truth: True class ids of each image (mono8), for scoring.
        depth: Depth aligned with the image.
        calibration: A calibration file that holds in place of ``camera_info``.
        masks: A folder of true masks that holds in place of ``truth``.
    """

    name: str
    image: Topic
    camera_info: Topic | None
    truth: Topic | None
    depth: Topic | None = None
    calibration: Path | None = None
    masks: Path | None = None

    @property
    def compressed(self) -> bool:
        """Whether the images are JPEG or PNG."""
        return self.image.msgtype == COMPRESSED


@dataclass(frozen=True)
class Topics:
    """The topics that a replay reads; None where the bag has none.

    Attributes:
        cameras: At least one.
        odometry: The vehicle's pose.
        grid: The world's true costmap, for scoring.
        notes: What was guessed among several, in words.
    """

    cameras: tuple[CameraTopics, ...]
    odometry: Topic | None
    grid: Topic | None
    notes: tuple[str, ...] = ()

    @property
    def image(self) -> Topic:
        """The first camera's image topic."""
        return self.cameras[0].image

    @property
    def camera_info(self) -> Topic | None:
        """The first camera's calibration."""
        return self.cameras[0].camera_info

    @property
    def truth(self) -> Topic | None:
        """The first camera's true labels."""
        return self.cameras[0].truth

    @property
    def compressed(self) -> bool:
        """Whether the first camera's images are JPEG or PNG."""
        return self.cameras[0].compressed

    @property
    def names(self) -> tuple[str, ...]:
        """Of the cameras."""
        return tuple(camera.name for camera in self.cameras)

    @property
    def images(self) -> int:
        """Number of image messages of all cameras."""
        return sum(camera.image.count for camera in self.cameras)


def without_transport(topic: str) -> str:
    """The image topic of which this one is a compressed form, or the topic itself."""
    return _TRANSPORTS.sub("", topic)


def camera_name(topic: str) -> str:
    """A camera's name, from its image topic: the namespace, else the topic itself."""
    parts = without_transport(topic).strip("/").split("/")
    return "/".join(parts[:-1]) or parts[0]
