# SPDX-License-Identifier: Apache-2.0
"""The node's parameters in one table: name, type, default, bounds, meaning. No rclpy here.

A value is checked in one step (``rules.check_value``) and applied in another, by whoever owns what it changes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any

from offroad_seg.errors import InputError
from offroad_seg.ros.rules import Rule, plain_name
from offroad_seg.sight import MAX_MIN_CONTRAST, MIN_CONTRAST

if TYPE_CHECKING:
    from collections.abc import Mapping

MOUNT_PREFIX = "camera_mount."
AXES = ("x", "y", "z", "roll", "pitch", "yaw")
NOT_GIVEN = math.nan

Mount = tuple[float, float, float, float, float, float]
"""x, y, z (m), roll, pitch, yaw (rad) of a camera's camera_link in the base frame."""


def _p(default: Any, description: str, *, name: str = "", **rule: Any) -> Any:
    return field(default=default, metadata={"description": description, "name": name, **rule})


def _mount(axis: str, unit: str, limit: float) -> Any:
    text = f"camera_link in the base frame, {axis} ({unit}). .nan = not given: the transform comes from /tf"
    return _p(NOT_GIVEN, text, name=f"camera_mount.{axis}", low=-limit, high=limit, optional=True)


def _costmap(default: float, name: str, description: str, low: float, high: float) -> Any:
    return _p(default, description, name=f"costmap.{name}", low=low, high=high)


@dataclass(frozen=True)
class Settings:
    """Values of all parameters but ``class_cost.*``, which depend on the bundle's classes.

    ``mounts`` has ``camera_mount.<camera>.*`` by the camera's plain name; NaN where a number is not given.
    """

    bundle: str = _p("", "Folder of the bundle to run")
    backend: str = _p(
        "", "Back end that runs it; empty = the one it was built for, or the best that works here"
    )
    device: str = _p(
        "auto", "Where it runs; auto = a GPU where there is one", choices=("auto", "cpu", "cuda")
    )
    threads: int = _p(0, "CPU threads for inference; 0 = the back end's own choice", low=0, high=256)
    autostart: bool = _p(True, "Configure and activate by itself; false under a lifecycle manager")
    output_size: tuple[int, ...] = _p(
        (0, 0),
        "Width and height of `labels`, `confidence`, `overlay` and `points`; empty or 0, 0 = the image's size",
        low=0,
        high=8192,
    )
    camera_rotation: int = _p(
        0,
        "Degrees clockwise that set the image upright, for a camera on its side or head",
        choices=(0, 90, 180, 270),
    )
    label_grouping: str = _p(
        "", "YAML file that merges classes in `labels` for a consumer; the costmap uses all classes"
    )
    cameras: tuple[str, ...] = _p(
        (),
        "Namespaces of several cameras, each with its own image, camera_info, depth and outputs; empty = one camera"
        " in the node's own",
        texts=True,
    )
    image_transport: str = _p(
        "raw", "What `image` carries: Image or CompressedImage", choices=("raw", "compressed")
    )
    max_age: float = _p(
        0.5, "Older frames are dropped (s of ROS time); 0 = never", low=0.0, high=3600.0, dynamic=True
    )
    max_rate: float = _p(
        0.0, "Frames a second at most; 0 = every newest frame", low=0.0, high=1000.0, dynamic=True
    )
    stall_timeout: float = _p(
        1.0, "The camera is dead after so long without a usable frame (s)", low=0.05, high=3600.0
    )
    stall_action: str = _p(
        "unknown",
        "When it is dead: one costmap of unknown cells, or no costmap",
        choices=("unknown", "stop"),
        dynamic=True,
    )
    min_contrast: float = _p(
        MIN_CONTRAST,
        "A picture with less structure shows nothing (standard deviation of its blocks, grey levels): the lens is"
        " covered, the frame is dropped, and the camera counts as dead; 0 = all count",
        low=0.0,
        high=MAX_MIN_CONTRAST,
    )
    min_confidence: float = _p(0.35, "Pixels below it say nothing about the ground (0–1)", low=0.0, high=1.0)
    ood_action: str = _p(
        "unknown",
        "Pixels out of distribution, by the score of the bundle, say nothing about the ground, or count as they are",
        choices=("unknown", "ignore"),
    )
    bond_heartbeat_period: float = _p(
        0.1,
        "How often Nav2's lifecycle manager hears that the node lives (s), where bond is installed; 0 = never",
        low=0.0,
        high=10.0,
    )
    base_frame: str = _p("base_link", "The vehicle's frame: x forward, y left, z up")
    odom_frame: str = _p("odom", "The frame in which frames are fused")
    costmap_frame: str = _p("", "Frame of the costmap: empty or the odom frame, or the base frame")
    attitude: str = _p(
        "odom",
        "Where roll and pitch come from: the pose in odom, as odometry or /tf give it, or the IMU; never one in place"
        " of the other",
        choices=("odom", "imu"),
    )
    tf_timeout: float = _p(
        0.1,
        "How long to wait for the transform, and the depth, at the image's stamp (s)",
        low=0.0,
        high=5.0,
        dynamic=True,
    )
    projection: str = _p(
        "ground_plane",
        "How pixels find the ground: by the plane under the vehicle, or by `depth`; never one in place of the other",
        choices=("ground_plane", "depth"),
    )
    contact_slope: float = _p(
        5.0,
        "With the plane: by how much the ground may rise or fall up to the foot of something lethal, one standard"
        " deviation (degrees). It is marked wherever it may then stand",
        low=0.0,
        high=15.0,
    )
    contact_slope_least: float = _p(
        2.0,
        "Down to this `contact_slope` shrinks where the ground that was driven is more even (degrees). As much or more:"
        " it stays",
        low=0.0,
        high=15.0,
    )
    max_step: float = _p(
        0.25, "With depth: ground that rises or falls by more at once is lethal (m)", low=0.01, high=2.0
    )
    max_slope: float = _p(30.0, "With depth: steeper ground is lethal (degrees)", low=1.0, high=60.0)
    clearance: float = _p(
        2.0, "With depth: the vehicle's height; what hangs higher does not block (m)", low=0.1, high=10.0
    )
    depth_tolerance: float = _p(
        0.01, "A depth image belongs to the image whose stamp is so near (s)", low=0.0, high=1.0, dynamic=True
    )
    mount_x: float = _mount("x", "m", 100.0)
    mount_y: float = _mount("y", "m", 100.0)
    mount_z: float = _mount("z", "m", 100.0)
    mount_roll: float = _mount("roll", "rad", 2 * math.pi)
    mount_pitch: float = _mount("pitch", "rad, positive looks down", 2 * math.pi)
    mount_yaw: float = _mount("yaw", "rad", 2 * math.pi)
    ground_height: float = _p(
        0.0, "Height of the base frame's origin above the ground (m)", low=-100.0, high=100.0
    )
    costmap_width: float = _costmap(20.0, "width", "Size along x (m)", 1.0, 1000.0)
    costmap_height: float = _costmap(20.0, "height", "Size along y (m)", 1.0, 1000.0)
    costmap_resolution: float = _costmap(0.1, "resolution", "Size of a cell (m)", 0.01, 10.0)
    costmap_max_range: float = _costmap(
        15.0, "max_range", "Ground further away is not believed (m)", 0.5, 1000.0
    )
    costmap_decay_time: float = _costmap(
        10.0, "decay_time", "Evidence fades with this time (s)", 0.1, 86400.0
    )
    costmap_sure_confidence: float = _p(
        0.6,
        "A cell whose mean confidence is lower costs more, evenly up to 98 at `min_confidence`, below which nothing is"
        " known; 0 = doubt costs nothing. Pixels out of distribution are doubted, too",
        name="costmap.sure_confidence",
        low=0.0,
        high=1.0,
        dynamic=True,
    )
    costmap_unlabelled_cost: int = _p(
        -1,
        "Cost of pixels without a class: -1 unknown, 1-98, 100 lethal",
        name="costmap.unlabelled_cost",
        low=-1,
        high=100,
    )
    mounts: Mapping[str, Mount] = field(default_factory=dict)

    @classmethod
    def from_values(cls, values: dict[str, Any]) -> Settings:
        """From ROS names → checked values; what is missing takes its default."""
        by_name = {_rule_name(f): f.name for f in fields(cls) if f.metadata}
        return cls(**{by_name[name]: value for name, value in values.items()})

    @property
    def grid_frame(self) -> str:
        """The costmap's frame."""
        return self.costmap_frame or self.odom_frame

    @property
    def in_base_frame(self) -> bool:
        """Whether the costmap lies in the base frame, each frame by itself: then odometry is not needed."""
        return self.grid_frame == self.base_frame

    @property
    def size_of_labels(self) -> tuple[int, int] | None:
        """(width, height) of the labels; None for the image's."""
        return (self.output_size[0], self.output_size[1]) if any(self.output_size) else None

    @property
    def camera_names(self) -> tuple[str, ...]:
        """Namespaces of the cameras; one empty name for the one camera in the node's own."""
        return self.cameras or ("",)

    def mount(self, camera: str = "") -> Mount | None:
        """Where a camera is mounted, or None where that is not given.

        Angles and offsets that are left out count as 0, but never the height.

        Args:
            camera: One of ``camera_names``.

        Raises:
            InputError: A mount is given without its height, or for the one camera where there are several.
        """
        own = (self.mount_x, self.mount_y, self.mount_z, self.mount_roll, self.mount_pitch, self.mount_yaw)
        given = self.mounts.get(plain_name(camera), (NOT_GIVEN,) * 6) if camera else own
        prefix = MOUNT_PREFIX + (f"{plain_name(camera)}." if camera else "")
        if camera and not all(math.isnan(v) for v in own):
            raise InputError(
                "camera_mount.* is where the one camera sits, but there are several",
                where="parameter camera_mount",
                mend=f"set {prefix}z and so on for each, or let /tf_static say it",
            )
        if all(math.isnan(v) for v in given):
            return None
        if math.isnan(given[2]):
            raise InputError(
                "the camera mount has no height",
                where=f"parameter {prefix}z",
                mend=f"set {prefix}z to the camera's height in the base frame (m)",
            )
        x, y, z, roll, pitch, yaw = (0.0 if math.isnan(v) else v for v in given)
        return x, y, z, roll, pitch, yaw


def _rule_name(entry: Any) -> str:
    return str(entry.metadata["name"] or entry.name)


def _rule(entry: Any) -> Rule:
    extra = {k: v for k, v in entry.metadata.items() if k not in ("name", "description")}
    return Rule(_rule_name(entry), entry.default, entry.metadata["description"], **extra)


RULES: dict[str, Rule] = {_rule_name(f): _rule(f) for f in fields(Settings) if f.metadata}
"""Every parameter with a fixed name. There are also ``class_cost.<class>`` and ``camera_mount.<camera>.<axis>``."""


def mount_rule(name: str, cameras: tuple[str, ...]) -> Rule | None:
    """The rule of ``camera_mount.<camera>.<axis>``, or None where there is no such camera or axis."""
    camera, _, axis = name[len(MOUNT_PREFIX) :].rpartition(".")
    if not name.startswith(MOUNT_PREFIX) or axis not in AXES or camera not in map(plain_name, cameras):
        return None
    return replace(RULES[MOUNT_PREFIX + axis], name=name)
