# SPDX-License-Identifier: Apache-2.0
"""The node's parameters, from its own YAML files and ``NAME=VALUE``: replay runs by them offline and via ROS alike."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from offroad_seg.errors import InputError
from offroad_seg.ros.rules import COST_PREFIX, check_cost, check_value
from offroad_seg.ros.settings import RULES, Settings

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from offroad_seg.ontology import Cost

_NODES = ("/**", "perception", "/perception")


def read_parameters(files: Iterable[Path], assignments: Iterable[str]) -> dict[str, Any]:
    """ROS name → value, later ones winning; checked.

    Raises:
        InputError: A file or an assignment is malformed, or a value is not allowed.
    """
    values: dict[str, Any] = {}
    for file in files:
        values |= _read_file(file)
    values |= dict(_assignment(text) for text in assignments)
    for name, value in values.items():
        if name.startswith(COST_PREFIX):
            check_cost(name[len(COST_PREFIX) :], value)
        elif name in RULES:
            values[name] = check_value(RULES[name], value)
        elif name != "use_sim_time" and not name.startswith("qos_overrides."):
            raise InputError(
                f"the node has no parameter '{name}'",
                where=name,
                mend="`offroad-seg node` and docs/node.md list them",
            )
    return values


def settings_of(values: dict[str, Any]) -> tuple[Settings, dict[str, Cost]]:
    """The node's settings, and the costs of classes that were given."""
    costs: dict[str, Cost] = {
        name[len(COST_PREFIX) :]: check_cost(name[len(COST_PREFIX) :], value)
        for name, value in values.items()
        if name.startswith(COST_PREFIX)
    }
    return Settings.from_values({name: value for name, value in values.items() if name in RULES}), costs


def _read_file(file: Path) -> dict[str, Any]:
    import yaml

    try:
        data = yaml.safe_load(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"the parameters cannot be read: {error.strerror}", where=str(file)) from None
    except yaml.YAMLError as error:
        raise InputError(f"not valid YAML: {' '.join(str(error).split())}", where=str(file)) from None
    values: dict[str, Any] = {}
    for node in _NODES:
        entry = data.get(node) if isinstance(data, dict) else None
        if isinstance(entry, dict):
            values |= _flat(entry.get("ros__parameters") or {}, "")
    if not values:
        raise InputError(
            "no parameters of the node perception in it", where=str(file), mend="/**: {ros__parameters: {…}}"
        )
    return values


def _flat(tree: dict[str, Any], prefix: str) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for name, value in tree.items():
        if isinstance(value, dict):
            values |= _flat(value, f"{prefix}{name}.")
        else:
            values[f"{prefix}{name}"] = value
    return values


def _assignment(text: str) -> tuple[str, Any]:
    import yaml

    name, sign, value = text.partition("=")
    if not sign or not name.strip():
        raise InputError(f"'{text}' is not a parameter", where="--param", mend="write NAME=VALUE")
    try:
        return name.strip(), yaml.safe_load(value)
    except yaml.YAMLError:
        raise InputError(
            f"'{value}' is not a value", where=f"--param {name}", mend="quote it as in YAML"
        ) from None
