# SPDX-License-Identifier: Apache-2.0
"""``offroad-seg doctor``: what works on this machine, what is missing, and the command that mends it."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from offroad_seg.cli.command import Command

if TYPE_CHECKING:
    import argparse

    from offroad_seg.cli.doctor_checks import Check

_MARKS = {"ok": "✓", "missing": "✗", "broken": "✗", "note": "·"}
_COLORS = {"ok": "32", "missing": "31", "broken": "31", "note": "33"}


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print the findings as JSON")


def _run(args: argparse.Namespace) -> int:
    from offroad_seg.cli.doctor_checks import all_checks

    if not args.json:
        print("Looking, and trying what is there; this takes some seconds …", file=sys.stderr)
    checks = all_checks()
    print(as_json(checks) if args.json else as_text(checks, color=sys.stdout.isatty()))
    return 0


def as_json(checks: list[Check]) -> str:
    """``{"checks": […], "works": {…}}``."""
    import json
    from dataclasses import asdict

    return json.dumps(
        {"checks": [asdict(c) for c in checks], "works": works(checks)}, indent=2, ensure_ascii=False
    )


def works(checks: list[Check]) -> dict[str, bool]:
    """What a user can do on this machine."""
    state = {(c.section, c.name): c.state for c in checks}

    def good(section: str, *names: str) -> bool:
        found = [s for (where, name), s in state.items() if where == section and (not names or name in names)]
        return bool(found) and all(s in ("ok", "note") for s in found)

    runtime = good("Runtime") and "ok" in (state.get(("Engines", n)) for n in ("onnxruntime", "torch"))
    return {
        "replay": runtime and good("Replay"),
        "node": runtime and good("ROS 2", "rclpy") and good("ROS 2", "messages", "images over DDS"),
        "train": state.get(("Commands", "trainer")) == "ok" and state.get(("Engines", "torch")) == "ok",
    }


def as_text(checks: list[Check], *, color: bool) -> str:
    """The table, by section, with the commands that mend."""

    def paint(text: str, code: str) -> str:
        return f"\033[{code}m{text}\033[0m" if color else text

    width = max(len(c.name) for c in checks)
    lines: list[str] = []
    section = ""
    for check in checks:
        if check.section != section:
            section = check.section
            lines += ["", paint(section, "1")]
        mark = paint(_MARKS[check.state], _COLORS[check.state])
        lines.append(f"  {mark} {check.name:<{width}}  {check.detail}")
        if check.mend:
            lines.append(f"    {'':<{width}}  → {check.mend}")
    answers = [f"{'✓' if yes else '✗'} {name}" for name, yes in works(checks).items()]
    return "\n".join([*lines, "", f"Works here: {'   '.join(answers)}"]).lstrip("\n")


COMMAND = Command(
    name="doctor",
    help="what is installed, which back ends work, what is missing and the command that mends it",
    add_arguments=_add_arguments,
    run=_run,
)
