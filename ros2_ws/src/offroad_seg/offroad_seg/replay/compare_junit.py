# SPDX-License-Identifier: Apache-2.0
"""A comparison's gates as JUnit XML: GitLab, Jenkins, GitHub actions and Azure show it beside other tests.

The form is what the Ant/Jenkins schema has in common: ``testsuites`` of one ``testsuite`` a result, whose
``testcase`` elements are the gates.
"""

from __future__ import annotations

import platform
import re
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

from offroad_seg.replay.compare_gates import FAILED, PASSED, UNKNOWN

if TYPE_CHECKING:
    from collections.abc import Sequence

    from offroad_seg.replay.compare_gates import Verdict

# What XML 1.0 cannot hold, whatever a bag or a class is called.
_FORBIDDEN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def junit_xml(
    verdicts: Sequence[Verdict], figures: dict[str, dict[str, float]], *, when: str, seconds: float
) -> bytes:
    """The document.

    Args:
        verdicts: What each gate says of each result.
        figures: Result → key → value; kept as properties.
        when: Time of the comparison, ISO 8601 without a time zone, as the schema wants it.
        seconds: How long it took.
    """
    root = ET.Element("testsuites")
    for number, (label, values) in enumerate(figures.items()):
        mine = [v for v in verdicts if v.label == label]
        suite = ET.SubElement(
            root,
            "testsuite",
            {
                "name": _clean(label),
                "package": "offroad_seg.compare",
                "id": str(number),
                "timestamp": when,
                "hostname": _clean(platform.node()) or "localhost",
                "tests": str(max(1, len(mine))),
                "failures": str(sum(v.state == FAILED for v in mine)),
                "errors": str(sum(v.state == UNKNOWN for v in mine)),
                "time": f"{seconds:.3f}",
            },
        )
        properties = ET.SubElement(suite, "properties")
        for key, value in values.items():
            ET.SubElement(properties, "property", {"name": _clean(key), "value": f"{value:.9g}"})
        for verdict in mine:
            _case(suite, label, verdict)
        if not mine:
            ET.SubElement(
                suite,
                "testcase",
                {"classname": _clean(label), "name": "compared, no gate was given", "time": "0"},
            )
        ET.SubElement(suite, "system-out").text = _clean("\n".join(f"{v.gate.text}: {v.words}" for v in mine))
        ET.SubElement(suite, "system-err")
    body: bytes = ET.tostring(root, encoding="utf-8")
    return b'<?xml version="1.0" encoding="UTF-8"?>\n' + body + b"\n"


def _case(suite: ET.Element, label: str, verdict: Verdict) -> None:
    case = ET.SubElement(
        suite,
        "testcase",
        {"classname": _clean(label), "name": f"fail if {_clean(verdict.gate.text)}", "time": "0"},
    )
    if verdict.state != PASSED:
        kind = "failure" if verdict.state == FAILED else "error"
        found = ET.SubElement(case, kind, {"message": _clean(verdict.words), "type": f"gate.{kind}"})
        found.text = _clean(f"{label}: {verdict.words} (fail if {verdict.gate.text})")


def _clean(text: str) -> str:
    return _FORBIDDEN.sub("�", text)
