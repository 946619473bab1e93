# SPDX-License-Identifier: Apache-2.0
"""Runs launch files where ROS 2's ``launch`` is not: its classes stand in that only keep what they were given."""

from __future__ import annotations

import importlib.util
import sys
import types
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

MODULES = {
    "launch": ("Action", "LaunchContext", "LaunchDescription"),
    "launch.actions": (
        "DeclareLaunchArgument",
        "EmitEvent",
        "ExecuteProcess",
        "IncludeLaunchDescription",
        "OpaqueFunction",
        "RegisterEventHandler",
        "SetEnvironmentVariable",
        "TimerAction",
    ),
    "launch.event_handlers": ("OnProcessExit", "OnProcessStart"),
    "launch.events": ("Shutdown", "matches_action"),
    "launch.launch_description_sources": ("PythonLaunchDescriptionSource",),
    "launch.substitutions": ("LaunchConfiguration",),
    "launch_ros": (),
    "launch_ros.actions": ("LifecycleNode", "Node"),
    "launch_ros.event_handlers": ("OnStateTransition",),
    "launch_ros.events": (),
    "launch_ros.events.lifecycle": ("ChangeState",),
    "lifecycle_msgs": (),
    "lifecycle_msgs.msg": ("Transition",),
}


class Kept:
    """What an action was made with.

    Attributes:
        args: Positional arguments.
        given: Arguments by name.
    """

    TRANSITION_CONFIGURE, TRANSITION_ACTIVATE = 1, 3

    def __init__(self, *args: Any, **given: Any) -> None:
        self.args, self.given = args, given

    @property
    def kind(self) -> str:
        return type(self).__name__


def load(path: Path) -> types.ModuleType:
    """Import a launch file with the stand-ins; what is really installed is untouched afterwards."""
    made = {name: types.ModuleType(name) for name in MODULES}
    for name, classes in MODULES.items():
        for each in classes:
            setattr(made[name], each, type(each, (Kept,), {}))
    saved = {name: sys.modules.get(name) for name in MODULES}
    sys.modules.update(made)
    try:
        spec = importlib.util.spec_from_file_location(path.name.split(".")[0], path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    finally:
        for name, module_ in saved.items():
            if module_ is None:
                del sys.modules[name]
            else:
                sys.modules[name] = module_
    return module


def arguments(module: types.ModuleType) -> dict[str, str | None]:
    """Launch argument → its default."""
    return {
        a.args[0]: a.given.get("default_value")
        for a in _entities(module)
        if a.kind == "DeclareLaunchArgument"
    }


def run(module: types.ModuleType, **given: str) -> list[Kept]:
    """The actions that a launch with these arguments begins with, in their order."""
    context = types.SimpleNamespace(launch_configurations={**arguments(module), **given})
    actions: list[Kept] = []
    for entity in _entities(module):
        if entity.kind == "OpaqueFunction":
            actions += entity.given["function"](context)
        elif entity.kind != "DeclareLaunchArgument":
            actions.append(entity)
    return actions


def only(actions: list[Kept], kind: str) -> Kept:
    """The one action of a kind."""
    (action,) = [a for a in actions if a.kind == kind]
    return action


def _entities(module: types.ModuleType) -> list[Kept]:
    return list(module.generate_launch_description().args[0])
