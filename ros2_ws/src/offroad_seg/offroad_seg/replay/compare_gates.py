# SPDX-License-Identifier: Apache-2.0
"""``--fail-if``: conditions under which a comparison fails. ``docs/compare.md`` gives the same grammar to users.

::

    gate  = subject OP NUMBER [ "%" ] [ "certain" ]
    subject = KEY             the figure itself, of every result but the first
            | "delta:" KEY    the figure minus that of the first result
            | KEY "drop"      how far it fell below the first's: −delta
            | KEY "rise"      how far it rose above the first's: delta
    OP    = "<" | "<=" | ">" | ">="
    KEY   = a key of metrics.json, with dots: miou, per_class.Dry Grass.iou, latency_ms.total.p99

``certain`` fails only if the condition holds on the whole 95 % interval of the difference.
"""

from __future__ import annotations

import math
import operator
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from offroad_seg.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable

    from offroad_seg.replay.compare_bootstrap import Interval

_OPERATORS: dict[str, Callable[[float, float], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_GRAMMAR = re.compile(
    r"(?P<delta>delta:)?\s*(?P<key>[^<>=]+?)(?:\s+(?P<way>drop|rise))?\s*(?P<op><=|>=|<|>)\s*"
    r"(?P<number>[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)\s*(?P<percent>%)?(?P<certain>\s+certain)?"
)
PASSED, FAILED, UNKNOWN = "passed", "failed", "not known"
_MEND = "such as 'miou<0.5', 'miou drop>0.02', 'delta:per_class.Rocks.iou<-5%' or 'flicker rise>0.01 certain'"


@dataclass(frozen=True)
class Gate:
    """One condition.

    Attributes:
        text: As it was given.
        key: Of ``metrics.json``.
        sign: 0 for the figure itself, 1 for its difference to the first result, −1 for the difference turned round.
        op: ``<``, ``<=``, ``>`` or ``>=``.
        limit: The number.
        certain: Whether the whole interval must lie beyond the limit.
    """

    text: str
    key: str
    sign: int
    op: str
    limit: float
    certain: bool


@dataclass(frozen=True)
class Verdict:
    """What a gate says of one result.

    Attributes:
        gate: The condition.
        label: The result.
        state: ``PASSED``, ``FAILED``, or ``UNKNOWN`` where the figure is not defined, which fails too.
        value: What was compared with the limit.
        words: In a sentence.
    """

    gate: Gate
    label: str
    state: str
    value: float | None
    words: str


def parse_gate(text: str) -> Gate:
    """A condition from its text.

    Raises:
        InputError: It does not follow the grammar.
    """
    match = _GRAMMAR.fullmatch(text.strip())
    if match is None:
        raise InputError(f"'{text}' is not a condition", where="--fail-if", mend=_MEND)
    if match["delta"] and match["way"]:
        raise InputError(f"'{text}' says delta and {match['way']}", where="--fail-if", mend="leave one out")
    sign = -1 if match["way"] == "drop" else 1 if match["way"] or match["delta"] else 0
    if match["certain"] and sign == 0:
        raise InputError(
            f"'{text}': only a difference has an interval",
            where="--fail-if",
            mend="compare delta:, drop or rise",
        )
    limit = float(match["number"]) / (100 if match["percent"] else 1)
    return Gate(text.strip(), match["key"].strip(), sign, match["op"], limit, bool(match["certain"]))


def judge(
    gate: Gate, label: str, value: float | None, delta: float | None, interval: Interval | None
) -> Verdict:
    """What a gate says of one result.

    Args:
        gate: The condition.
        label: Name of the result.
        value: Its figure, None where it is not defined.
        delta: Its difference to the first result's.
        interval: Of that difference, where there is one.
    """
    compared = value if gate.sign == 0 else None if delta is None else gate.sign * delta
    if compared is None or not math.isfinite(compared):
        return Verdict(gate, label, UNKNOWN, None, f"{gate.key} is not defined there, so it cannot be judged")
    holds = _OPERATORS[gate.op]
    what = {0: gate.key, 1: f"{gate.key} rose by", -1: f"{gate.key} fell by"}[gate.sign]
    words = f"{what} {compared:.6g}"
    failed = holds(compared, gate.limit)
    if gate.certain:
        if interval is None or not math.isfinite(interval.low):
            return Verdict(gate, label, UNKNOWN, compared, f"{words}, but that figure has no interval")
        low, high = sorted((gate.sign * interval.low, gate.sign * interval.high))
        words += f" (95 %: {low:.6g} to {high:.6g})"
        failed = holds(low, gate.limit) and holds(high, gate.limit)
    relation = "which is" if failed else "which is not"
    return Verdict(
        gate, label, FAILED if failed else PASSED, compared, f"{words}, {relation} {gate.op} {gate.limit:g}"
    )
