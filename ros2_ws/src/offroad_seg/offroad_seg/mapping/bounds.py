# SPDX-License-Identifier: Apache-2.0
"""What the numbers of projection and fusion may be."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from offroad_seg.errors import InputError
from offroad_seg.ontology import cost_value

if TYPE_CHECKING:
    from offroad_seg.ontology import Cost

MAX_STANDING_PX = 4


def unlabelled_value(cost: Cost) -> int:
    """The grid value of cells that were seen but carry no label.

    Raises:
        InputError: It is 0: unknown is never free.
    """
    value = cost_value(cost, where="costmap.unlabelled_cost")
    if value == 0:
        raise InputError(
            "cells without a label cannot be free",
            where="costmap.unlabelled_cost",
            mend="give 1 to 98, lethal, or unknown",
        )
    return value


def check_fusion(decay_time: float, min_evidence: float, max_evidence: float, lethal_share: float) -> None:
    """Refuse numbers with which evidence cannot be fused.

    Raises:
        InputError: One is out of bounds.
    """
    if not (math.isfinite(decay_time) and decay_time > 0):
        raise InputError(
            f"decay_time is {decay_time!r}",
            where="costmap.decay_time",
            mend="give a positive number of seconds",
        )
    if not 0.0 < min_evidence < max_evidence < math.inf:
        raise InputError(
            f"min_evidence is {min_evidence!r} and max_evidence {max_evidence!r}",
            where="costmap.min_evidence, costmap.max_evidence",
            mend="keep 0 < min_evidence < max_evidence",
        )
    if not 0.0 < lethal_share <= 1.0:
        raise InputError(
            f"lethal_share is {lethal_share!r}",
            where="costmap.lethal_share",
            mend="give a number above 0 up to 1",
        )


def check_sure_confidence(sure_confidence: float) -> None:
    """Refuse what is no probability.

    Raises:
        InputError: It is out of bounds.
    """
    if not 0.0 <= sure_confidence <= 1.0:
        raise InputError(
            f"sure_confidence is {sure_confidence!r}",
            where="costmap.sure_confidence",
            mend="give a number from 0 (doubt costs nothing) to 1",
        )


def check_view_limits(
    max_range: float, min_confidence: float, ground_height: float, min_standing_px: int
) -> None:
    """Refuse numbers with which no projector can look at an image.

    Raises:
        InputError: One is out of bounds.
    """
    if not (math.isfinite(max_range) and max_range > 0):
        raise InputError(f"max_range is {max_range!r}", where="costmap.max_range", mend="give metres above 0")
    if not 0.0 <= min_confidence <= 1.0:
        raise InputError(
            f"min_confidence is {min_confidence!r}", where="min_confidence", mend="give a number from 0 to 1"
        )
    if not math.isfinite(ground_height):
        raise InputError(f"ground_height is {ground_height!r}", where="ground_height", mend="give metres")
    if not 1 <= min_standing_px <= MAX_STANDING_PX:
        raise InputError(
            f"min_standing_px is {min_standing_px!r}",
            where="min_standing_px",
            mend=f"give 1 to {MAX_STANDING_PX}",
        )


def check_contact_slope(contact_slope: float, name: str = "contact_slope") -> None:
    """Refuse a slope that no ground has.

    Raises:
        InputError: It is out of bounds.
    """
    if not 0.0 <= contact_slope <= 15.0:
        raise InputError(f"{name} is {contact_slope!r}", where=name, mend="give 0 to 15 degrees")


def check_depth(max_step: float, max_slope: float, clearance: float) -> None:
    """Refuse what no vehicle can do.

    Raises:
        InputError: A number is out of bounds.
    """
    for name, value, most in (("max_step", max_step, 2.0), ("clearance", clearance, 10.0)):
        if not 0.0 < value <= most:
            raise InputError(f"{name} is {value!r}", where=name, mend=f"give metres above 0, up to {most:g}")
    if not 0.0 < max_slope <= 60.0:
        raise InputError(
            f"max_slope is {max_slope!r}", where="max_slope", mend="give degrees above 0, up to 60"
        )
    if clearance <= max_step:
        raise InputError(
            f"clearance is {clearance:g} m and max_step {max_step:g} m",
            where="clearance, max_step",
            mend="clearance is the vehicle's height: more than a step",
        )
