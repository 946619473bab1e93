# SPDX-License-Identifier: Apache-2.0
"""The verdict of a replay: what its checks say together, and what nobody could judge."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from offroad_seg.replay.report_checks import CHECKS, FAIL, NEVER, PASS, UNKNOWN, WARN

if TYPE_CHECKING:
    from collections.abc import Sequence

    from offroad_seg.replay.report_checks import Check

    Metrics = dict[str, Any]


@dataclass(frozen=True)
class Result:
    """A check and what came of it.

    Attributes:
        check: The question.
        value: Its figure, or None.
        state: ``pass``, ``warn``, ``fail`` or ``unknown``.
    """

    check: Check
    value: float | None
    state: str

    @property
    def figure(self) -> str:
        """The figure in words."""
        return "–" if self.value is None else said(self.value, self.check.unit)

    @property
    def limits(self) -> str:
        """What passes and what fails."""
        c = self.check
        more, less = ("at most", "above") if c.bad >= c.good else ("at least", "below")
        passes = f"{more} {said(c.good, c.unit)}" if c.good else "should be none"
        fails = "" if c.bad == NEVER else f", fails {less} {said(c.bad, c.unit)}" if c.bad != c.good else ""
        return passes + fails


@dataclass(frozen=True)
class Verdict:
    """The whole.

    Attributes:
        state: ``pass``, ``warn`` or ``fail``.
        title: In a few words.
        reason: In a sentence or two.
        results: Every check, the gravest first.
    """

    state: str
    title: str
    reason: str
    results: tuple[Result, ...]


def verdict(metrics: Metrics, checks: Sequence[Check] = CHECKS) -> Verdict:
    """Judge the figures of a replay.

    Args:
        metrics: What ``metrics.json`` holds.
        checks: What to ask.
    """
    results = [Result(c, value := c.read(metrics), c.state(value)) for c in checks]
    order = (FAIL, WARN, PASS, UNKNOWN)
    results.sort(key=lambda r: order.index(r.state))
    of = {state: [r for r in results if r.state == state] for state in order}
    proven = [r for r in results if r.check.proof and r.state != UNKNOWN]
    state = next(s for s in (FAIL, WARN, PASS) if of[s] or s == PASS)
    judged = len(results) - len(of[UNKNOWN])
    if state == FAIL:
        title = "Not fit to drive on"
    elif state == WARN:
        title = "Look before you drive on it"
    else:
        title = "Passes every check that could be made" if proven else "No fault found, and nothing proven"
    parts = []
    for s, word in ((FAIL, "failed"), (WARN, "with a warning")):
        if of[s]:
            parts.append(f"{len(of[s])} of {judged} checks {word}: " + _listed(of[s]))
    if not parts:
        parts.append(f"{judged} of {judged} checks passed")
    return Verdict(state, title, ". ".join([*parts, *_honest(metrics)]) + ".", tuple(results))


def said(value: float, unit: str) -> str:
    """A figure with its unit, short."""
    if unit == "%":
        return f"{100 * value:.3g} %"
    return f"{value:.3g}{unit and ' ' + unit}"


def _listed(results: Sequence[Result]) -> str:
    return ", ".join(f"{r.check.name[0].lower()}{r.check.name[1:]} ({r.figure})" for r in results)


def _honest(metrics: Metrics) -> list[str]:
    labels, grid = bool(metrics["images"]), bool((metrics.get("costmap") or {}).get("frames"))
    if labels and grid:
        return []
    if not labels and not grid:
        driven = (metrics.get("driven_path") or {}).get("false_lethal_rate") is not None
        but = ", but for the ground that was driven over" if driven else ""
        return [f"No truth in this bag: whether labels and costmap are right was not judged{but}"]
    what = (
        "true grid in this bag: whether the costmap is"
        if labels
        else "true labels in this bag: whether they are"
    )
    return [f"No {what} right was not judged"]
