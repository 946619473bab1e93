# SPDX-License-Identifier: Apache-2.0
"""What a parameter may be, and the checks of values against it. No rclpy here."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from offroad_seg.errors import InputError
from offroad_seg.types import COST_LETHAL, COST_MAX_GRADED

if TYPE_CHECKING:
    from offroad_seg.ontology import Cost

COST_PREFIX = "class_cost."


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
        texts: A list of words, not of numbers.
    """

    name: str
    default: Any
    description: str
    low: float | None = None
    high: float | None = None
    choices: tuple[Any, ...] = ()
    dynamic: bool = False
    optional: bool = False
    texts: bool = False


def check_value(rule: Rule, value: Any) -> Any:
    """The value in the parameter's own type.

    Raises:
        InputError: Wrong type or out of bounds; the message names the parameter and what it may be.
    """
    kind = type(rule.default)
    where = f"parameter {rule.name}"
    if kind is tuple:
        if value is None:  # what an empty list in YAML comes as
            return ()
        return _check_names(rule, value, where) if rule.texts else _check_size(rule, value, where)
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


# Parts of a ROS name: letters, digits, underscores; no digit first.
_NAMESPACE = re.compile(r"/?[A-Za-z_]\w*(/[A-Za-z_]\w*)*", re.ASCII)


def _check_names(rule: Rule, value: Any, where: str) -> tuple[str, ...]:
    """Different ROS namespaces; an empty word counts for none, as ROS cannot tell what an empty list holds."""
    if isinstance(value, (str, bytes)) or not hasattr(value, "__len__"):
        raise InputError(f"{value!r} is not a list", where=where, mend=rule.description)
    names = tuple(name for name in value if name != "")
    for name in names:
        if not isinstance(name, str) or not _NAMESPACE.fullmatch(name):
            raise InputError(
                f"{name!r} is no ROS namespace", where=where, mend="such as front or cameras/left"
            )
    keys = [plain_name(name) for name in names]
    if len(set(keys)) < len(keys):
        raise InputError(f"{list(names)} holds a name twice", where=where, mend="name each camera once")
    return names


def plain_name(namespace: str) -> str:
    """A camera's namespace as a word: in parameter names and diagnostics."""
    return namespace.strip("/").replace("/", "_")


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
