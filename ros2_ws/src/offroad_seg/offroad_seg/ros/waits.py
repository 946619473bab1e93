# SPDX-License-Identifier: Apache-2.0
"""How long ``replay --via-ros`` waits for what, in seconds of the wall clock where nothing else is said."""

from __future__ import annotations

ANSWER_S = 30.0
"""For the labels of a frame; the first may have to wait for a slow machine to warm up."""
COSTMAP_S = 5.0
"""For the costmap of a frame whose labels have come."""
SETTLE_S = 0.3
"""Until what was published (a clock, a calibration) has surely been taken."""
LEAD_NS = 100_000_000
"""How far before the first frame the clock is set, nanoseconds of the bag."""
MAX_SILENT = 5
"""Frames in a row without an answer after which the node is given up."""
