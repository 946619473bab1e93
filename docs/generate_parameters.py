# SPDX-License-Identifier: Apache-2.0
"""Writes the node's parameters from the code: the table in docs/node.md and config/perception.yaml.

    python docs/generate_parameters.py            # write both
    python docs/generate_parameters.py --check    # exit 1 where they differ from the code

Name, default, bounds and meaning stand in ``offroad_seg/ros/settings.py`` and nowhere else.
"""

from __future__ import annotations

import argparse
import math
import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from offroad_seg.ros.settings import RULES

if TYPE_CHECKING:
    from offroad_seg.ros.rules import Rule

ROOT = Path(__file__).resolve().parents[1]
BEGIN = "<!-- parameters: written by docs/generate_parameters.py from the code -->"
END = "<!-- end of parameters -->"
COST_ROW = (
    "| `class_cost.<class name>` • | the ontology's | 0–98, 100, `lethal`, `unknown` | Cost of a class. Declared when "
    "the bundle is loaded. On the command line write `_` for a blank: `-p class_cost.Dry_Grass:=10` |"
)
MOUNT_ROW = (
    "| `camera_mount.<camera>.x` … `.yaw` | not given | as `camera_mount.x` … `.yaw` | The same for each of `cameras` "
    "(`cameras/left` is `cameras_left` here) |"
)
# Words of the first parameter of each part of the file.
PARTS = {
    "bundle": "The network",
    "autostart": "The node",
    "cameras": "The cameras",
    "min_contrast": "What is believed",
    "bond_heartbeat_period": "Nav2",
    "base_frame": "Frames and poses",
    "ground_height": "The ground",
    "costmap": "The costmap",
}
HEADER = """\
# SPDX-License-Identifier: Apache-2.0
# Parameters of the node `perception`: every one, with its default. docs/generate_parameters.py writes
# this file from the code. Bounds: docs/node.md, or `ros2 param describe /perception NAME`.
# (live): can change while the node runs.
/**:
  ros__parameters:
"""
FOOTER = """\

    # Costs that differ from the bundle's ontology: 0 (free) to 98, 100 or lethal, unknown (live)
    # class_cost:
    #   Rocks: lethal
    #   Dry Grass: 10
"""
MOUNT = "camera_mount"
# A mount that is not given comes from /tf: it has no default to write down.
MOUNT_LINES = [
    "    # Pose of camera_link (x forward, y left, z up) in the base frame. Leave it out where /tf_static has it. With",
    "    # `cameras`, one below the other: camera_mount: {front: {z: 1.2, pitch: 0.2}, left: {z: 1.2, yaw: 1.57}}",
    "    # camera_mount: {x: 0.5, y: 0.0, z: 1.2, roll: 0.0, pitch: 0.2, yaw: 0.0}   # m, rad; pitch > 0 looks down",
]
_WIDTH = 112


def table() -> str:
    """The table for docs/node.md, without a line break at its end."""
    rows = ["| name | default | allowed | meaning |", "|---|---|---|---|"]
    for rule in RULES.values():
        live = " •" if rule.dynamic else ""
        rows.append(f"| `{rule.name}`{live} | {_default(rule)} | {_allowed(rule)} | {rule.description} |")
        if rule.name == "camera_mount.yaw" and "cameras" in RULES:
            rows.append(MOUNT_ROW)
    return "\n".join([*rows, COST_ROW])


def page(text: str) -> str:
    """docs/node.md with the table as the code has it."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise SystemExit(f"error: docs/node.md has no lines {BEGIN} and {END}")
    return f"{before}{BEGIN}\n\n{table()}\n\n{END}{after}"


def parameter_file() -> str:
    """config/perception.yaml, every line."""
    lines: list[str] = []
    group = ""
    for rule in RULES.values():
        head, _, tail = rule.name.rpartition(".")
        if title := PARTS.get(rule.name) or (PARTS.get(head) if head != group else None):
            lines += ["", f"    # --- {title}"]
        if head == MOUNT and head != group:
            lines += MOUNT_LINES
        elif head and head != group:
            lines.append(f"    {head}:")
        group = head
        if head != MOUNT:
            indent = "      " if head else "    "
            lines += [*_comment(rule, indent), f"{indent}{tail}: {_yaml(rule.default)}"]
    return HEADER + "\n".join(lines).lstrip("\n") + "\n" + FOOTER


def _comment(rule: Rule, indent: str) -> list[str]:
    choices = " | ".join(str(choice) for choice in rule.choices)
    facts = [fact for fact in (choices, "live" if rule.dynamic else "") if fact]
    text = rule.description + "".join(f" ({fact})" for fact in facts)
    start = f"{indent}# "
    return textwrap.wrap(text, _WIDTH, initial_indent=start, subsequent_indent=start)


def _yaml(value: Any) -> str:
    if value == "":
        return '""'
    text = yaml.safe_dump(list(value) if isinstance(value, tuple) else value, default_flow_style=True)
    return text.splitlines()[0]


def _default(rule: Rule) -> str:
    value = rule.default
    if isinstance(value, float) and math.isnan(value):
        return "not given"
    if isinstance(value, tuple):
        return ", ".join(map(str, value)) or "–"
    if isinstance(value, bool):
        return str(value).lower()
    return f"`{value}`" if isinstance(value, str) and value else f"{value}" if value != "" else "–"


def _allowed(rule: Rule) -> str:
    if rule.choices:
        return ", ".join(f"`{choice}`" if isinstance(choice, str) else str(choice) for choice in rule.choices)
    if isinstance(rule.default, bool):
        return "`true`, `false`"
    if rule.low is None or rule.high is None:
        return ""
    return f"{_number(rule.low)} to {_number(rule.high)}"


def _number(value: float) -> str:
    return f"{value:.4g}".replace("-", "−") if abs(value) < 1e4 else f"{value:.0f}"


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 where something differs")
    arguments = parser.parse_args()
    node_page, parameters = ROOT / "docs/node.md", ROOT / "config/perception.yaml"
    wanted = {node_page: page(node_page.read_text(encoding="utf-8")), parameters: parameter_file()}
    old = {path for path, text in wanted.items() if path.read_text(encoding="utf-8") != text}
    for path in sorted(old):
        if arguments.check:
            print(
                f"{path.relative_to(ROOT)} differs from the code: python docs/generate_parameters.py",
                file=sys.stderr,
            )
        else:
            path.write_text(wanted[path], encoding="utf-8")
            print(f"wrote {path.relative_to(ROOT)}")
    return 1 if old and arguments.check else 0


if __name__ == "__main__":
    sys.exit(main())
