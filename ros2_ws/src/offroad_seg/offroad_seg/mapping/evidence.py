# SPDX-License-Identifier: Apache-2.0
"""What is known of every cell of a window, and what that makes it cost."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from offroad_seg.native import fusion
from offroad_seg.types import COST_LETHAL, COST_MAX_GRADED, COST_UNKNOWN, OBSTACLE

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from offroad_seg.types import GridObservation

    I8 = NDArray[np.int8]
    U8 = NDArray[np.uint8]
    F32 = NDArray[np.float32]
    Index = NDArray[np.intp]

CAUTION = 5.0
"""Of lethal evidence a fifth is enough to be known."""

_MORE = CAUTION - 1.0
_LEAST = np.float32(1e-30)
_GRADED = np.float32(COST_MAX_GRADED)
# A full look of confidence c/255 is worth as much evidence and leaves the rest doubted: that many times the evidence.
_DOUBT_256 = ((255.0 - np.arange(256)) / np.maximum(np.arange(256), 1)).astype(np.float32)


@dataclass(frozen=True)
class Rules:
    """How evidence becomes cost.

    Channels are the ontology's classes, then what has no label, then what is lethal by its shape.

    Attributes:
        weights_3C: float32, for each channel: known (1 or 0), cost with lethal as 98, lethal (1 or 0). Unknown ones
            count nothing.
        channel_256: uint8, the channel of each label.
        lethal_share: Share of lethal evidence from which a cell is lethal.
        sure: Mean confidence from which a cell costs what its classes cost.
        gain: By how much of what is left to 98 it costs more, for each 1 that it is less sure; 0 for nothing.
    """

    weights_3C: F32
    channel_256: U8
    lethal_share: np.float32
    sure: np.float32
    gain: np.float32

    @cached_property
    def tables(self) -> fusion.Tables:
        """For the kernel."""
        return fusion.Tables(self.channel_256, self.weights_3C, _DOUBT_256)

    @cached_property
    def numbers(self) -> tuple[float, float, float]:
        """For the kernel."""
        return float(self.lethal_share), float(self.sure), float(self.gain)

    @classmethod
    def of(cls, costs_C: list[int], lethal_share: float) -> Rules:
        """Rules by which doubt costs nothing.

        Args:
            costs_C: Grid values of the channels, −1 unknown, 100 lethal.
            lethal_share: 0–1.
        """
        n_classes = len(costs_C) - 2
        channel_256 = np.full(256, n_classes, np.uint8)
        channel_256[:n_classes] = np.arange(n_classes)
        channel_256[OBSTACLE] = n_classes + 1
        share, nothing = np.float32(lethal_share), np.float32(0.0)
        return cls(_weights(costs_C), channel_256, share, nothing, nothing)

    def with_costs(self, costs_C: list[int]) -> Rules:
        """The same with other costs."""
        return replace(self, weights_3C=_weights(costs_C))

    def with_doubt(self, sure_confidence: float, min_confidence: float) -> Rules:
        """The same with cells that cost more the less sure they are: all of 98 at ``min_confidence``.

        With ``sure_confidence`` not above ``min_confidence`` doubt costs nothing: what is less sure is not seen at all.
        """
        if not sure_confidence > min_confidence:
            return replace(self, sure=np.float32(0.0), gain=np.float32(0.0))
        gain = 1.0 / max(sure_confidence - min_confidence, 1e-3)
        return replace(self, sure=np.float32(sure_confidence), gain=np.float32(gain))


def _weights(costs_C: list[int]) -> F32:
    costs = np.array(costs_C)
    known = costs != COST_UNKNOWN
    graded = np.where(known, np.minimum(costs, COST_MAX_GRADED), 0)
    return np.stack([known, graded, costs == COST_LETHAL]).astype(np.float32)


class CellEvidence:
    """Evidence of each channel in each cell, its sums, and the cost that follows.

    Cells are slots of a window that wraps around in both directions; where they lie is not known here. All evidence is
    in one unit, which the caller makes grow with time, so that ageing touches no cell.

    The sums follow each look instead of being added up anew: known evidence, evidence × cost, lethal evidence, and what
    was doubted, which is to the known as (1 − confidence) to confidence. C and numpy do the same operations on float32
    in the same order, and so give the same values.

    Args:
        height: Rows of the window.
        width: Its columns.
        n_channels: As in ``Rules``.
    """

    def __init__(self, height: int, width: int, n_channels: int) -> None:
        self._shape = (height, width)
        n_cells = height * width
        self._evidence_NC = np.zeros((n_cells, n_channels), np.float32)
        self._sums_4N = np.zeros((4, n_cells), np.float32)
        self._cost_N = np.zeros(n_cells, np.int8)
        # Who spoke last of each cell.
        self._source_N = np.zeros(n_cells, np.uint8)
        self._store = fusion.Store(
            self._shape, self._evidence_NC, self._sums_4N, self._cost_N, self._source_N
        )

    def clear(self) -> None:
        """Nothing is known."""
        for array in (self._evidence_NC, self._sums_4N, self._cost_N, self._source_N):
            array.fill(0)

    def clear_lines(self, axis: int, first: int, count: int) -> None:
        """Nothing is known of some rows (axis 0) or columns (axis 1), which may wrap around."""
        size = self._shape[axis]
        evidence_HWC = self._evidence_NC.reshape(*self._shape, -1)
        sums_4HW = self._sums_4N.reshape(4, *self._shape)
        begin, count = first % size, min(count, size)
        if fusion.clear(self._store, axis, begin, count):
            return
        for part in (slice(begin, min(begin + count, size)), slice(0, max(begin + count - size, 0))):
            if axis == 0:
                evidence_HWC[part] = 0.0
                sums_4HW[:, part] = 0.0
            else:
                evidence_HWC[:, part] = 0.0
                sums_4HW[:, :, part] = 0.0

    def clear_source(self, source: int) -> None:
        """Nothing is known of the cells of which this source spoke last."""
        gone_N = np.flatnonzero(self._source_N == source)
        self._evidence_NC[gone_N] = 0.0
        self._sums_4N[:, gone_N] = 0.0

    def scale_by(self, factor: float) -> None:
        """Another unit."""
        self._evidence_NC *= np.float32(factor)
        self._sums_4N *= np.float32(factor)

    def add(
        self,
        observation: GridObservation,
        part: tuple[int, int, int, int],
        slot: tuple[int, int],
        rules: Rules,
        *,
        scale: float,
        limit: float,
        source: int,
    ) -> None:
        """Add a look, cap what is saturated, and work out the cost of the cells that were seen.

        Args:
            observation: Cells with evidence count, more than 1 as 1.
            part: First row, end, first column, end of those of its cells that lie in the window, at most as many as it
                has.
            slot: Row and column of the slot of the first of them.
            rules: From evidence to cost.
            scale: What evidence of 1 counts.
            limit: Sum of known evidence at which a cell is saturated.
            source: Who looks, 0–255.
        """
        rounded = np.float32(scale), np.float32(limit)
        if fusion.fuse(
            observation.labels_HW,
            observation.evidence_HW,
            observation.confidence_HW,
            part,
            slot,
            self._store,
            rules.tables,
            source,
            (*map(float, rounded), *rules.numbers),
        ):
            return
        top, bottom, left, right = part
        evidence_hw = observation.evidence_HW[top:bottom, left:right]
        seen_N = np.flatnonzero(evidence_hw > 0)
        if seen_N.size == 0:
            return
        slots_N = np.take(self._slots(evidence_hw.shape, slot), seen_N)
        channel_N = np.take(rules.channel_256, np.take(observation.labels_HW[top:bottom, left:right], seen_N))
        weight_N = np.minimum(np.take(evidence_hw, seen_N), np.float32(1.0))
        weight_N *= np.float32(scale)
        self._evidence_NC.ravel()[slots_N * self._evidence_NC.shape[1] + channel_N] += weight_N
        sums_4n = np.take(self._sums_4N, slots_N, axis=1)
        sums_4n[:3] += np.take(rules.weights_3C, channel_N, axis=1) * weight_N
        if observation.confidence_HW is not None:
            sure_N = np.take(observation.confidence_HW[top:bottom, left:right], seen_N)
            sums_4n[3] += weight_N * np.take(_DOUBT_256, sure_N)
        full = np.flatnonzero(sums_4n[0] > np.float32(limit))
        if full.size:
            shrink = np.float32(limit) / sums_4n[0, full]
            self._evidence_NC[slots_N[full]] *= shrink[:, None]
            sums_4n[:, full] *= shrink
        for all_N, some_n in zip(self._sums_4N, sums_4n, strict=True):
            all_N[slots_N] = some_n
        self._cost_N[slots_N] = _costs(sums_4n, rules)
        self._source_N[slots_N] = source

    def refresh(self, rules: Rules) -> None:
        """Work out all sums and costs anew, by other rules."""
        self._sums_4N[:3] = 0.0
        for channel, weights_3 in enumerate(rules.weights_3C.T):
            self._sums_4N[:3] += weights_3[:, None] * self._evidence_NC[:, channel]
        self._cost_N[:] = _costs(self._sums_4N, rules)

    def grid(self, slot: tuple[int, int], least: float) -> I8:
        """Costs of all cells, unknown where there is less evidence; a new array (H, W).

        Args:
            slot: Row and column of the slot of cell (0, 0).
            least: Known evidence, lethal several times, from which a cell is known.
        """
        out_HW = np.empty(self._shape, np.int8)
        enough = np.float32(least)
        if fusion.unroll(self._store, slot, (_MORE, float(enough)), out_HW):
            return out_HW
        known_N = self._sums_4N[0] + np.float32(_MORE) * self._sums_4N[2] >= enough
        cost_HW = np.where(known_N, self._cost_N, np.int8(COST_UNKNOWN)).reshape(self._shape)
        (height, width), (sy, sx) = self._shape, slot
        out_HW[: height - sy, : width - sx] = cost_HW[sy:, sx:]
        out_HW[: height - sy, width - sx :] = cost_HW[sy:, :sx]
        out_HW[height - sy :, : width - sx] = cost_HW[:sy, sx:]
        out_HW[height - sy :, width - sx :] = cost_HW[:sy, :sx]
        return out_HW

    def _slots(self, shape: tuple[int, int], slot: tuple[int, int]) -> Index:
        height, width = self._shape
        row_H, column_W = (np.arange(n) + first for n, first in zip(shape, slot, strict=True))
        slots_HW: Index = (row_H % height * width)[:, None] + (column_W % width)[None, :]
        return slots_HW


def _costs(sums_4N: F32, rules: Rules) -> I8:
    """Grid values of cells that are known."""
    total_N, graded_N, lethal_N, doubted_N = sums_4N
    safe_N = np.maximum(total_N, _LEAST)
    mean_N = graded_N / safe_N
    if rules.gain > 0:
        extra_N = np.clip((rules.sure - total_N / (safe_N + doubted_N)) * rules.gain, 0.0, 1.0)
        mean_N += (_GRADED - mean_N) * extra_N
    cost_N: I8 = np.minimum(np.rint(mean_N), _GRADED).astype(np.int8)
    np.copyto(cost_N, COST_LETHAL, where=lethal_N >= rules.lethal_share * safe_N)
    return cost_N
