# SPDX-License-Identifier: Apache-2.0
"""The node's parameters in one table: name, type, default, bounds, meaning. No rclpy here.

A value is checked in one step (``check_value``) and applied in another, by whoever owns what it changes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

from offroad_seg.errors import InputError
from offroad_seg.types import COST_LETHAL, COST_MAX_GRADED

if TYPE_CHECKING:
    from offroad_seg.ontology import Cost

COST_PREFIX = "class_cost."
NOT_GIVEN = math.nan


@dataclass(frozen=True)
class Rule:
    """What a parameter may be.

    Attributes:
        name: ROS name; dots make groups in YAML.
        default: Default value; its type is the parameter's type.
        description: For ``ros2 param describe`` and the documentation.
        low: Smallest value.
        high: Largest value.
        choices: The allowed values, where it is one of a few.
        dynamic: May be changed while the node is configured.
        optional: NaN means "not given".
    """

    name: str
    default: Any
    description: str
    low: float | None = None
    high: float | None = None
    choices: tuple[Any, ...] = ()
    dynamic: bool = False
    optional: bool = False


def _p(default: Any, description: str, *, name: str = "", **rule: Any) -> Any:
    return field(default=default, metadata={"description": description, "name": name, **rule})


def _mount(axis: str, unit: str, limit: float) -> Any:
    text = f"camera_link in the base frame, {axis} ({unit}). .nan = not given: the transform comes from /tf"
    return _p(NOT_GIVEN, text, name=f"camera_mount.{axis}", low=-limit, high=limit, optional=True)


def _costmap(default: float, name: str, description: str, low: float, high: float) -> Any:
    return _p(default, description, name=f"costmap.{name}", low=low, high=high)


@dataclass(frozen=True)
class Settings:
    """Values of all parameters but ``class_cost.*``, which depend on the bundle's classes."""

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
    min_confidence: float = _p(0.35, "Pixels below it say nothing about the ground (0–1)", low=0.0, high=1.0)
    ood_action: str = _p(
        "unknown",
        "Pixels out of distribution, by the score of the bundle, say nothing about the ground, or count as they are",
        choices=("unknown", "ignore"),
    )
    base_frame: str = _p("base_link", "The vehicle's frame: x forward, y left, z up")
    odom_frame: str = _p("odom", "The frame in which frames are fused")
    costmap_frame: str = _p("", "Frame of the costmap: empty or the odom frame, or the base frame")
    tf_timeout: float = _p(
        0.1, "How long to wait for the transform at the image's stamp (s)", low=0.0, high=5.0, dynamic=True
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
    costmap_unlabelled_cost: int = _p(
        -1,
        "Cost of pixels without a class: -1 unknown, 1-98, 100 lethal",
        name="costmap.unlabelled_cost",
        low=-1,
        high=100,
    )

    @classmethod
    def from_values(cls, values: dict[str, Any]) -> Settings:
        """From ROS names → checked values; what is missing takes its default."""
        by_name = {_rule_name(f): f.name for f in fields(cls)}
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

    def mount(self) -> tuple[float, float, float, float, float, float] | None:
        """x, y, z, roll, pitch, yaw of the camera mount, or None where it is not given.

        Angles and offsets that are left out count as 0, but never the height.

        Raises:
            InputError: A mount is given without its height.
        """
        given = (self.mount_x, self.mount_y, self.mount_z, self.mount_roll, self.mount_pitch, self.mount_yaw)
        if all(math.isnan(v) for v in given):
            return None
        if math.isnan(self.mount_z):
            raise InputError(
                "the camera mount has no height",
                where="parameter camera_mount.z",
                mend="set camera_mount.z to the camera's height in the base frame (m)",
            )
        x, y, z, roll, pitch, yaw = (0.0 if math.isnan(v) else v for v in given)
        return x, y, z, roll, pitch, yaw


def _rule_name(entry: Any) -> str:
    return str(entry.metadata["name"] or entry.name)


def _rule(entry: Any) -> Rule:
    extra = {k: v for k, v in entry.metadata.items() if k not in ("name", "description")}
    return Rule(_rule_name(entry), entry.default, entry.metadata["description"], **extra)


RULES: dict[str, Rule] = {_rule_name(f): _rule(f) for f in fields(Settings)}


def check_value(rule: Rule, value: Any) -> Any:
    """The value in the parameter's own type.

    Raises:
        InputError: Wrong type or out of bounds; the message names the parameter and what it may be.
    """
    kind = type(rule.default)
    where = f"parameter {rule.name}"
    if kind is tuple:
        return _check_size(rule, value, where)
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)  # 1 for 1.0 is what everybody writes
    if type(value) is not kind:
        raise InputError(f"{value!r} is not a {_TYPE_NAMES[kind]}", where=where, mend=rule.description)
    if rule.choices and value not in rule.choices:
        raise InputError(
            f"{value!r} is not allowed", where=where, mend=f"one of: {', '.join(map(str, rule.choices))}"
        )
    if kind in (int, float):
        _check_bounds(rule, value, where)
    if rule.name == "costmap.unlabelled_cost" and (value == 0 or COST_MAX_GRADED < value < COST_LETHAL):
        raise InputError(
            f"{value} is not allowed: unknown is never free",
            where=where,
            mend="-1 unknown, 1 to 98, 100 lethal",
        )
    return value


def check_cost(name: str, value: Any) -> Cost:
    """A value of ``class_cost.<name>`` as the ontology takes it: 0–98, ``lethal`` or ``unknown``.

    Raises:
        InputError: It is none of these; 100 means lethal, 99 is Nav2's own.
    """
    if value == "lethal":
        return "lethal"
    if value == "unknown":
        return "unknown"
    if isinstance(value, int) and not isinstance(value, bool):
        if 0 <= value <= COST_MAX_GRADED:
            return value
        if value == COST_LETHAL:
            return "lethal"
    raise InputError(
        f"{value!r} is not a cost",
        where=f"parameter {COST_PREFIX}{name}",
        mend="0 to 98, 100, lethal or unknown",
    )


def _check_size(rule: Rule, value: Any, where: str) -> tuple[int, ...]:
    """Two whole numbers, or nothing, which is the default."""
    if isinstance(value, (str, bytes)) or not hasattr(value, "__len__"):
        raise InputError(f"{value!r} is not a list", where=where, mend=rule.description)
    numbers = tuple(value)
    if not numbers:
        return tuple(rule.default)
    if len(numbers) != 2 or any(type(n) is not int for n in numbers) or (0 in numbers) != (numbers == (0, 0)):
        raise InputError(f"{list(numbers)} is no size", where=where, mend=rule.description)
    for number in numbers:
        _check_bounds(rule, number, where)
    return numbers


_TYPE_NAMES = {float: "number", int: "whole number", str: "text", bool: "true or false"}


def _check_bounds(rule: Rule, value: float, where: str) -> None:
    if math.isnan(value) and rule.optional:
        return
    low = -math.inf if rule.low is None else rule.low
    high = math.inf if rule.high is None else rule.high
    if not (math.isfinite(value) and low <= value <= high):
        raise InputError(
            f"{value} is out of bounds", where=where, mend=f"{low:g} to {high:g}: {rule.description}"
        )
