# SPDX-License-Identifier: Apache-2.0
"""A costmap that moves with the vehicle and remembers what the camera saw, for a while."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from offroad_seg.errors import InputError, OffroadSegError
from offroad_seg.mapping.bounds import check_fusion, unlabelled_value
from offroad_seg.mapping.grid import origin_cell
from offroad_seg.ontology import cost_value
from offroad_seg.types import COST_LETHAL, COST_MAX_GRADED, COST_UNKNOWN, OBSTACLE, Costmap, GridSpec

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from offroad_seg.mapping.grid import GridSize
    from offroad_seg.ontology import Cost, Ontology
    from offroad_seg.transforms import Transform
    from offroad_seg.types import GridObservation

    I8 = NDArray[np.int8]
    F32 = NDArray[np.float32]
    Index = NDArray[np.intp]

# Evidence is stored times exp(age of the reference / decay time), so that ageing touches no cell; beyond this
# factor it is scaled back.
_MAX_SCALE = 1e6
_CAUTION = 5.0


class RollingCostmap:
    """Evidence for each class in each cell (Dirichlet counts), in odom, decaying with age.

    Each observation adds its evidence (0–1) to the count of its class. Counts shrink by exp(−age / decay_time) and
    their sum is held at ``max_evidence``, so that a change is believed after about as many frames. A cell is
    unknown while its sum is below ``min_evidence``: one clear look is enough, a far one needs several. Of lethal
    evidence a fifth is enough, for to stop for nothing costs less than not to stop. It is lethal when lethal classes
    hold at least ``lethal_share`` of the evidence; else its cost is the evidence-weighted mean, lethal evidence
    counting 98. Nothing is inflated.

    A cell that is not seen again goes unknown after ``decay_time × ln(evidence / min_evidence)`` seconds, at the
    latest after ``decay_time × ln(max_evidence / min_evidence)``.

    Several cameras feed one map: each observation names its ``source``. Stamps must not run back within a source;
    between sources they may, and the older observation then counts as much less as it is older. ``forget`` takes back
    what a source that has died was the last to say.

    Cells are kept in place: a cell of odom has a fixed slot (its index modulo the size), and moving only clears the
    slots of cells that leave.

    Args:
        ontology: The classes and their costs.
        size: The window around the vehicle.
        frame_id: Name of the grid's frame.
        decay_time: Seconds after which evidence has shrunk to 37 %.
        min_evidence: Sum of evidence from which a cell is known.
        max_evidence: Sum at which a cell is saturated.
        lethal_share: Share of lethal evidence, 0–1, from which a cell is lethal.
        unlabelled_cost: Cost of cells that were seen but carry no label (label 255 with evidence); never 0.

    Raises:
        InputError: A number is out of bounds.
    """

    def __init__(
        self,
        ontology: Ontology,
        size: GridSize,
        *,
        frame_id: str = "odom",
        decay_time: float = 10.0,
        min_evidence: float = 0.05,
        max_evidence: float = 10.0,
        lethal_share: float = 0.25,
        unlabelled_cost: Cost = "unknown",
    ) -> None:
        check_fusion(decay_time, min_evidence, max_evidence, lethal_share)
        self._ontology = ontology
        self._size = size
        self._frame_id = frame_id
        self._decay_ns = decay_time * 1e9
        self._min_evidence = min_evidence
        self._max_evidence = max_evidence
        self._lethal_share = lethal_share
        self._n_classes = ontology.n_classes
        self._costs_C = [int(c) for c in ontology.costs_256[: self._n_classes]]
        self._costs_C += [unlabelled_value(unlabelled_cost), COST_LETHAL]
        self._n_channels = len(self._costs_C)
        self._channel_256 = np.full(256, self._n_classes, np.intp)
        self._channel_256[: self._n_classes] = np.arange(self._n_classes)
        self._channel_256[OBSTACLE] = self._n_classes + 1
        n_cells = size.cells_x * size.cells_y
        self._evidence_NC = np.zeros((n_cells, self._n_channels), np.float32)
        # Evidence as it counts towards being known: lethal evidence several times.
        self._known_N = np.zeros(n_cells, np.float32)
        self._cost_N = np.zeros(n_cells, np.int8)
        # Which source spoke last of each cell, by its place in ``_newest``.
        self._source_N = np.zeros(n_cells, np.uint8)
        self._weights_3C = self._weights()
        self.reset()

    def reset(self) -> None:
        """Forget everything, and the time too."""
        self._evidence_NC.fill(0.0)
        self._known_N.fill(0.0)
        self._cost_N.fill(0)
        self._cell: tuple[int, int] | None = None
        self._stamp_ns: int | None = None
        self._reference_ns = 0
        self._newest: dict[str, int] = {}

    @property
    def stamp_ns(self) -> int | None:
        """Stamp of the newest observation, or None."""
        return self._stamp_ns

    def newest_ns(self, source: str = "") -> int | None:
        """Stamp of a source's newest observation, or None."""
        return self._newest.get(source)

    def forget(self, source: str = "") -> None:
        """Make unknown, at once, every cell of which this source was the last to say anything.

        For a camera that has died: its sector goes unknown, and so does what it saw before and nobody has seen since.
        What another source has seen after it stays, and the source may speak again. Unknown sources are no error.
        """
        if source not in self._newest:
            return
        gone_N = np.flatnonzero(self._source_N == list(self._newest).index(source))
        self._evidence_NC[gone_N] = 0.0
        self._known_N[gone_N] = 0.0

    def set_class_cost(self, name: str, cost: Cost) -> None:
        """Change what a class costs; what was seen before counts at the new cost at once.

        Raises:
            OntologyError: There is no such class, or it is not a cost.
        """
        self._costs_C[self._ontology.id_of(name)] = cost_value(cost, where=f"class_cost.{name}")
        self._weights_3C = self._weights()
        self._refresh(slice(None))

    def update(
        self, observation: GridObservation, odom_T_base: Transform | None = None, *, source: str = ""
    ) -> Costmap:
        """Move the window to the vehicle and fuse one observation.

        Args:
            observation: Its grid lies on the same whole cells.
            odom_T_base: Where the vehicle was at the observation's stamp; None takes the observation's own window.
                The window never moves back for an observation that is older than another source's.
            source: Which camera it comes from, at most 255 different ones.

        Returns:
            The grid at the stamp of the newest observation of all sources.

        Raises:
            InputError: The observation's cells are of another size.
            OffroadSegError: The observation is older than this source's newest one: ``reset`` first.
        """
        stamp_ns = observation.stamp_ns
        newest_ns = self._newest.get(source)
        if newest_ns is not None and stamp_ns < newest_ns:
            raise OffroadSegError(
                f"time runs back by {(newest_ns - stamp_ns) / 1e9:.3f} s",
                where="RollingCostmap.update",
                mend="call reset() when the clock jumps back, and feed frames in the order of their stamps",
            )
        if observation.grid.resolution != self._size.resolution:
            raise InputError(
                f"the observation's cells are {observation.grid.resolution:g} m, the map's {self._size.resolution:g} m"
            )
        if odom_T_base is None:
            cell = origin_cell(observation.grid)
        else:
            cell = origin_cell(self._size.around(*odom_T_base.translation_3[:2].tolist()))
        if self._stamp_ns is None or stamp_ns >= self._stamp_ns:
            self._scale(stamp_ns)
            self._move(cell)
            self._stamp_ns = stamp_ns
        self._newest[source] = stamp_ns
        self._add(observation, self._scale(stamp_ns), list(self._newest).index(source))
        return self.costmap()

    def costmap(self) -> Costmap:
        """The grid as it stands at the newest observation; a new array.

        Raises:
            OffroadSegError: Nothing was observed yet.
        """
        if self._stamp_ns is None or self._cell is None:
            raise OffroadSegError("the costmap has seen nothing yet", mend="call update() first")
        known_N = self._known_N >= self._min_evidence * self._scale(self._stamp_ns)
        cost_N = np.where(known_N, self._cost_N, np.int8(COST_UNKNOWN))
        return Costmap(self._unrolled(cost_N), self._grid(), self._frame_id, self._stamp_ns)

    def unknown(self, stamp_ns: int, odom_T_base: Transform | None = None) -> Costmap:
        """A grid that is unknown as a whole, where the map last was (or around a pose). Forgets nothing."""
        shape = (self._size.cells_y, self._size.cells_x)
        grid = (
            self._grid()
            if odom_T_base is None
            else self._size.around(*odom_T_base.translation_3[:2].tolist())
        )
        return Costmap(np.full(shape, COST_UNKNOWN, np.int8), grid, self._frame_id, stamp_ns)

    def _grid(self) -> GridSpec:
        if self._cell is None:
            return self._size.around(0.0, 0.0)
        size = self._size
        x, y = self._cell
        return GridSpec(size.cells_x, size.cells_y, size.resolution, x * size.resolution, y * size.resolution)

    def _scale(self, stamp_ns: int) -> float:
        """What evidence of weight 1 at that time counts in the stored unit; scales the store back when it is large."""
        if self._stamp_ns is None:
            self._reference_ns = stamp_ns
        scale = math.exp(max(-80.0, min((stamp_ns - self._reference_ns) / self._decay_ns, 80.0)))
        if scale > _MAX_SCALE:
            self._evidence_NC *= np.float32(1.0 / scale)
            self._known_N *= np.float32(1.0 / scale)
            self._reference_ns = stamp_ns
            return 1.0
        return scale

    def _move(self, cell: tuple[int, int]) -> None:
        if self._cell is None or self._cell == cell:
            self._cell = cell
            return
        width, height = self._size.cells_x, self._size.cells_y
        shape = (height, width)
        known_HW = self._known_N.reshape(shape)
        evidence_HWC = self._evidence_NC.reshape(*shape, -1)
        for axis, (old, new, size) in enumerate(
            zip(self._cell[::-1], cell[::-1], (height, width), strict=True)
        ):
            moved = new - old
            if moved == 0:
                continue
            # Cells that come into the window take the slots of those that leave it.
            first, count = (old + size, moved) if moved > 0 else (new, -moved)
            slots = np.arange(first, first + min(count, size)) % size
            at = (slots, slice(None)) if axis == 0 else (slice(None), slots)
            known_HW[at] = 0.0
            evidence_HWC[at] = 0.0
        self._cell = cell

    def _add(self, observation: GridObservation, scale: float, source: int) -> None:
        slots_N, seen_N = self._seen_slots(observation)
        if slots_N.size == 0:
            return
        channel_N = np.take(self._channel_256, np.take(observation.labels_HW, seen_N))
        weight_N = np.take(observation.evidence_HW, seen_N)
        weight_N *= np.float32(scale)
        self._evidence_NC.ravel()[slots_N * self._n_channels + channel_N] += weight_N
        # A single source has the number that every cell begins with.
        if len(self._newest) > 1:
            self._source_N[slots_N] = source
        assert self._stamp_ns is not None
        self._refresh(slots_N, limit=self._max_evidence * self._scale(self._stamp_ns))

    def _seen_slots(self, observation: GridObservation) -> tuple[Index, Index]:
        """Slots of the cells that were seen and lie in the window, and their flat indices in the observation."""
        grid = observation.grid
        assert self._cell is not None
        width, height = self._size.cells_x, self._size.cells_y
        x, y = origin_cell(grid)
        column, row = np.arange(grid.width) + x, np.arange(grid.height) + y
        slots_HW = (row % height * width)[:, None] + (column % width)[None, :]
        seen_HW = observation.evidence_HW > 0
        if (x, y) != self._cell or (grid.width, grid.height) != (width, height):
            seen_HW &= ((row >= self._cell[1]) & (row < self._cell[1] + height))[:, None]
            seen_HW &= ((column >= self._cell[0]) & (column < self._cell[0] + width))[None, :]
        seen_N = np.flatnonzero(seen_HW)
        return np.take(slots_HW, seen_N), seen_N

    def _weights(self) -> F32:
        """For each class: known (1 or 0), cost with lethal as 98, lethal (1 or 0). Unknown classes count nothing."""
        costs = np.array(self._costs_C)
        known = costs != COST_UNKNOWN
        graded = np.where(known, np.minimum(costs, COST_MAX_GRADED), 0)
        return np.stack([known, graded, costs == COST_LETHAL]).astype(np.float32)

    def _refresh(self, slots: Index | slice, limit: float = math.inf) -> None:
        """Work out sum and cost of some cells from their evidence."""
        # np.take gathers rows three times as fast as an index does.
        rows = self._evidence_NC if isinstance(slots, slice) else np.take(self._evidence_NC, slots, axis=0)
        total, graded, lethal = self._weights_3C @ rows.T
        full = np.flatnonzero(total > limit)
        if full.size:
            shrink = np.float32(limit) / total[full]
            where = full if isinstance(slots, slice) else slots[full]
            self._evidence_NC[where] = np.take(rows, full, axis=0) * shrink[:, None]
            for values in (total, graded, lethal):
                values[full] *= shrink
        safe = np.maximum(total, np.float32(1e-30))
        cost = np.rint(graded / safe)
        np.copyto(cost, COST_LETHAL, where=lethal >= self._lethal_share * safe)
        self._known_N[slots] = total + np.float32(_CAUTION - 1.0) * lethal
        self._cost_N[slots] = cost.astype(np.int8)

    def _unrolled(self, slots_N: I8) -> I8:
        """From slots to the window's rows and columns."""
        assert self._cell is not None
        width, height = self._size.cells_x, self._size.cells_y
        slots_HW = slots_N.reshape(height, width)
        sx, sy = self._cell[0] % width, self._cell[1] % height
        out = np.empty_like(slots_HW)
        out[: height - sy, : width - sx] = slots_HW[sy:, sx:]
        out[: height - sy, width - sx :] = slots_HW[sy:, :sx]
        out[height - sy :, : width - sx] = slots_HW[:sy, sx:]
        out[height - sy :, width - sx :] = slots_HW[:sy, :sx]
        return out
