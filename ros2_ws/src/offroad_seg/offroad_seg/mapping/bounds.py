# SPDX-License-Identifier: Apache-2.0
"""What the numbers of fusion may be."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from offroad_seg.errors import InputError
from offroad_seg.ontology import cost_value

if TYPE_CHECKING:
    from offroad_seg.ontology import Cost


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
