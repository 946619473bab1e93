# SPDX-License-Identifier: Apache-2.0
"""Declaring the parameters of ``settings.py`` on a node, and refusing what they may not be."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from rcl_interfaces.msg import (
    FloatingPointRange,
    IntegerRange,
    ParameterDescriptor,
    ParameterType,
    SetParametersResult,
)
from rclpy.exceptions import InvalidParameterValueException

from offroad_seg.errors import InputError
from offroad_seg.ros.rules import COST_PREFIX, check_cost, check_value, plain_name
from offroad_seg.ros.settings import AXES, MOUNT_PREFIX, NOT_GIVEN, RULES, Settings, mount_rule

if TYPE_CHECKING:
    from collections.abc import Callable

    from rclpy.node import Node
    from rclpy.parameter import Parameter

    from offroad_seg.ontology import Cost, Ontology
    from offroad_seg.ros.rules import Rule
    from offroad_seg.ros.settings import Mount

_QOS_PREFIX = "qos_overrides."  # rclpy declares these itself when it makes a subscription

_ROS_TYPES = {
    float: ParameterType.PARAMETER_DOUBLE,
    int: ParameterType.PARAMETER_INTEGER,
    str: ParameterType.PARAMETER_STRING,
    bool: ParameterType.PARAMETER_BOOL,
    tuple: ParameterType.PARAMETER_INTEGER_ARRAY,
}


class NodeParameters:
    """The parameters of one node.

    Args:
        node: The node; the fixed parameters are declared at once.
        is_configured: Whether parameters that are not dynamic are in use, so that they may not change now.
        apply: Takes the checked changes (ROS name → value) that came in while the node runs.

    Raises:
        InputError: A value that was given on start is wrong.
    """

    def __init__(
        self, node: Node, is_configured: Callable[[], bool], apply: Callable[[dict[str, Any]], None]
    ) -> None:
        self._node = node
        self._is_configured = is_configured
        self._apply = apply
        self._classes: tuple[str, ...] = ()
        self._declaring = False
        for rule in RULES.values():
            _declare(node, rule)
        node.add_on_set_parameters_callback(self._on_set)
        self._has_post_set = hasattr(node, "add_post_set_parameters_callback")
        if self._has_post_set:
            node.add_post_set_parameters_callback(self._on_applied)

    def settings(self) -> Settings:
        """All values now.

        Raises:
            InputError: A mount was given for a camera that is not among ``cameras``.
        """
        settings = Settings.from_values(
            {name: check_value(rule, self._node.get_parameter(name).value) for name, rule in RULES.items()}
        )
        return replace(settings, mounts=self._mounts(settings.cameras))

    def _mounts(self, cameras: tuple[str, ...]) -> dict[str, Mount]:
        """``camera_mount.<camera>.<axis>`` by camera. They are declared when the camera is known."""
        for name in self._node._parameter_overrides:  # rclpy has no public way to list them
            of_a_camera = name.startswith(MOUNT_PREFIX) and name not in RULES
            if of_a_camera and mount_rule(name, cameras) is None:
                raise _unknown_mount(name, cameras)
        mounts: dict[str, Mount] = {}
        for camera in map(plain_name, cameras):
            names = [f"{MOUNT_PREFIX}{camera}.{axis}" for axis in AXES]
            x, y, z, roll, pitch, yaw = (self._mount_value(name, cameras) for name in names)
            mounts[camera] = (x, y, z, roll, pitch, yaw)
        return mounts

    def _mount_value(self, name: str, cameras: tuple[str, ...]) -> float:
        rule = mount_rule(name, cameras)
        assert rule is not None
        if not self._node.has_parameter(name):
            self._declaring = True
            try:
                self._node.declare_parameter(name, NOT_GIVEN, _descriptor(rule))
            finally:
                self._declaring = False
        return float(check_value(rule, self._node.get_parameter(name).value))

    def declare_costs(self, ontology: Ontology) -> dict[str, Cost]:
        """Declare ``class_cost.<class name>`` for each class; returns those that differ from the ontology.

        Raises:
            InputError: A cost was given for a class that the bundle does not have, or is no cost.
        """
        self.undeclare_costs()
        given = _given_costs(self._node, ontology)
        costs = {c.name: check_cost(c.name, given.get(c.name, c.cost)) for c in ontology.classes}
        self._classes = tuple(costs)
        self._declaring = True  # rclpy calls the callbacks for a declaration, too
        try:
            for name, cost in costs.items():
                text = f"Cost of {name}: 0 (free) to 98, 100 or lethal, unknown"
                descriptor = ParameterDescriptor(description=text, dynamic_typing=True)
                self._node.declare_parameter(COST_PREFIX + name, cost, descriptor, ignore_override=True)
        finally:
            self._declaring = False
        return {c.name: costs[c.name] for c in ontology.classes if costs[c.name] != c.cost}

    def undeclare_costs(self) -> None:
        """Forget the costs of the classes of the bundle that was unloaded."""
        for name in self._classes:
            self._node.undeclare_parameter(COST_PREFIX + name)
        self._classes = ()

    def _on_set(self, parameters: list[Parameter]) -> SetParametersResult:
        try:
            changes = self._check(parameters)
        except InputError as error:
            return SetParametersResult(successful=False, reason=error.one_line())
        if not self._has_post_set and not self._declaring and changes:  # Humble
            self._apply(changes)
        return SetParametersResult(successful=True)

    def _on_applied(self, parameters: list[Parameter]) -> None:
        changes = self._check(parameters)
        if changes and not self._declaring:
            self._apply(changes)

    def _check(self, parameters: list[Parameter]) -> dict[str, Any]:
        changes: dict[str, Any] = {}
        for parameter in parameters:
            name, value = parameter.name, parameter.value
            if name.startswith(COST_PREFIX):
                changes[name] = self._check_class_cost(name[len(COST_PREFIX) :], value)
            elif name in RULES:
                rule = RULES[name]
                checked = check_value(rule, value)
                if not rule.dynamic and self._is_configured():
                    raise _not_now(name)
                changes[name] = checked
            elif name.startswith(MOUNT_PREFIX):
                self._check_mount(name, value)
            elif not self._node.has_parameter(name) and not name.startswith(_QOS_PREFIX):
                raise InputError(
                    "there is no such parameter", where=f"parameter {name}", mend="ros2 param list shows all"
                )
        return changes

    def _check_mount(self, name: str, value: Any) -> None:
        cameras = check_value(RULES["cameras"], self._node.get_parameter("cameras").value)
        rule = mount_rule(name, cameras)
        if rule is None:
            raise _unknown_mount(name, cameras)
        check_value(rule, value)
        if self._is_configured() and not self._declaring:
            raise _not_now(name)

    def _check_class_cost(self, class_name: str, value: Any) -> Cost:
        if class_name not in self._classes:
            raise _unknown_class(class_name, self._classes)
        return check_cost(class_name, value)


def _declare(node: Node, rule: Rule) -> None:
    # Untyped, so that 1 is taken for 1.0 and a wrong type is refused in our words, not with a stack trace.
    try:
        default = list(rule.default) if isinstance(rule.default, tuple) else rule.default
        if rule.texts and not default:
            default = [""]  # ROS cannot tell what an empty list holds
        value = node.declare_parameter(rule.name, default, _descriptor(rule)).value
    except InvalidParameterValueException:
        value = node._parameter_overrides[rule.name].value
    check_value(rule, value)


def _descriptor(rule: Rule) -> ParameterDescriptor:
    text = rule.description
    if rule.choices:
        text = f"{text} ({' | '.join(map(str, rule.choices))})"
    kind = ParameterType.PARAMETER_STRING_ARRAY if rule.texts else _ROS_TYPES[type(rule.default)]
    descriptor = ParameterDescriptor(name=rule.name, type=kind, description=text, dynamic_typing=True)
    if rule.low is not None and rule.high is not None:
        span = FloatingPointRange if isinstance(rule.default, float) else IntegerRange
        bounds = [span(from_value=rule.low, to_value=rule.high)]
        # For tools to show. rclpy would test NaN, which means "not given", against a range: leave it out there.
        if isinstance(rule.default, float) and not rule.optional:
            descriptor.floating_point_range = bounds
        elif isinstance(rule.default, int):
            descriptor.integer_range = bounds
        descriptor.additional_constraints = f"{rule.low:g} to {rule.high:g}"
    return descriptor


def _given_costs(node: Node, ontology: Ontology) -> dict[str, Any]:
    """Costs from YAML or the command line, by class name; Lush_Bushes stands for 'Lush Bushes'."""
    # `-p` on the command line takes no blank in a name, YAML does.
    by_plain_name = {name.replace(" ", "_"): name for name in ontology.names}
    given: dict[str, Any] = {}
    # rclpy has no public way to list them.
    for name, parameter in node._parameter_overrides.items():
        if name.startswith(COST_PREFIX):
            word = name[len(COST_PREFIX) :]
            known = word if word in ontology.names else by_plain_name.get(word)
            if known is None:
                raise _unknown_class(word, tuple(ontology.names))
            given[known] = parameter.value
    return given


def _not_now(name: str) -> InputError:
    return InputError(
        f"{name} cannot change while the node is configured",
        where=f"parameter {name}",
        mend="deactivate and clean up the node first",
    )


def _unknown_mount(name: str, cameras: tuple[str, ...]) -> InputError:
    known = ", ".join(map(plain_name, cameras)) or "cameras is empty: one camera, camera_mount.z and so on"
    return InputError("there is no such camera or axis", where=f"parameter {name}", mend=f"cameras: {known}")


def _unknown_class(name: str, known: tuple[str, ...]) -> InputError:
    return InputError(
        f"the bundle has no class '{name}'",
        where=f"parameter {COST_PREFIX}{name}",
        mend=f"classes: {', '.join(known)}"
        if known
        else "configure the node first: its bundle names the classes",
    )
