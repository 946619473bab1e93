# SPDX-License-Identifier: Apache-2.0
"""A costmap that moves with the vehicle and remembers what the camera saw, for a while."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from offroad_seg.errors import InputError, OffroadSegError
from offroad_seg.mapping.bounds import check_fusion, check_sure_confidence, unlabelled_value
from offroad_seg.mapping.evidence import CellEvidence, Rules
from offroad_seg.mapping.grid import origin_cell
from offroad_seg.ontology import cost_value
from offroad_seg.types import COST_LETHAL, COST_UNKNOWN, Costmap, GridSpec

if TYPE_CHECKING:
    from offroad_seg.mapping.grid import GridSize
    from offroad_seg.ontology import Cost, Ontology
    from offroad_seg.transforms import Transform
    from offroad_seg.types import GridObservation

# Evidence is stored times exp(age of the reference / decay time), so that ageing touches no cell; beyond this
# factor it is scaled back.
_MAX_SCALE = 1e6


class RollingCostmap:
    """Evidence for each class in each cell (Dirichlet counts), in odom, decaying with age.

    Each observation adds its evidence (0–1) to the count of its class. Counts shrink by exp(−age / decay_time) and
    their sum is held at ``max_evidence``, so that a change is believed after about as many frames. A cell is
    unknown while its sum is below ``min_evidence``: one clear look is enough, a far one needs several. Of lethal
    evidence a fifth is enough, for to stop for nothing costs less than not to stop. It is lethal when lethal classes
    hold at least ``lethal_share`` of the evidence; else its cost is the evidence-weighted mean, lethal evidence
    counting 98. Nothing is inflated.

    Doubt costs. Beside a look's evidence, which is confidence × worth, what was doubted is kept, (1 − confidence) ×
    worth: evidence / (evidence + doubted) is the mean confidence of a cell. Below ``sure_confidence`` a cell that is
    not lethal costs more than its classes do, evenly up to 98 at ``min_confidence``, below which pixels are not seen
    at all. Observations that say nothing of confidence are sure.

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
        min_confidence: The projector's: what is less sure is not in the observations.
        sure_confidence: Mean confidence below which a cell costs more, 0–1. Up to ``min_confidence``, or 0: none does.

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
        min_confidence: float = 0.0,
        sure_confidence: float = 0.0,
    ) -> None:
        check_fusion(decay_time, min_evidence, max_evidence, lethal_share)
        check_sure_confidence(sure_confidence)
        self._ontology = ontology
        self._size = size
        self._frame_id = frame_id
        self._decay_ns = decay_time * 1e9
        self._min_evidence = min_evidence
        self._max_evidence = max_evidence
        self._min_confidence = min_confidence
        self._costs_C = [int(c) for c in ontology.costs_256[: ontology.n_classes]]
        self._costs_C += [unlabelled_value(unlabelled_cost), COST_LETHAL]
        rules = Rules.of(self._costs_C, lethal_share)
        self._rules = rules.with_doubt(sure_confidence, min_confidence)
        self._shape = (size.cells_y, size.cells_x)
        self._cells = CellEvidence(*self._shape, len(self._costs_C))
        self.reset()

    def reset(self) -> None:
        """Forget everything, and the time too."""
        self._cells.clear()
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
        self._cells.clear_source(list(self._newest).index(source))

    def set_class_cost(self, name: str, cost: Cost) -> None:
        """Change what a class costs; what was seen before counts at the new cost at once.

        Raises:
            OntologyError: There is no such class, or it is not a cost.
        """
        self._costs_C[self._ontology.id_of(name)] = cost_value(cost, where=f"class_cost.{name}")
        self._rules = self._rules.with_costs(self._costs_C)
        self._cells.refresh(self._rules)

    def set_sure_confidence(self, sure_confidence: float) -> None:
        """Change the confidence from which a cell is sure; it counts for what was seen before at once.

        Raises:
            InputError: It is out of bounds.
        """
        check_sure_confidence(sure_confidence)
        self._rules = self._rules.with_doubt(sure_confidence, self._min_confidence)
        self._cells.refresh(self._rules)

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
            InputError: The observation's cells are of another size, or its arrays of another shape than its grid.
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
        _check_shape(observation)
        if odom_T_base is None:
            cell = origin_cell(observation.grid)
        else:
            x, y, _ = odom_T_base.translation_3.tolist()
            cell = self._size.cell_around(x, y)
        if self._stamp_ns is None or stamp_ns >= self._stamp_ns:
            self._scale(stamp_ns)
            self._move(cell)
            self._stamp_ns = stamp_ns
        self._newest[source] = stamp_ns
        self._add(observation, list(self._newest).index(source))
        return self.costmap()

    def costmap(self) -> Costmap:
        """The grid as it stands at the newest observation; a new array.

        Raises:
            OffroadSegError: Nothing was observed yet.
        """
        if self._stamp_ns is None or self._cell is None:
            raise OffroadSegError("the costmap has seen nothing yet", mend="call update() first")
        (x, y), (height, width) = self._cell, self._shape
        least = self._min_evidence * self._scale(self._stamp_ns)
        cost_HW = self._cells.grid((y % height, x % width), least)
        return Costmap(cost_HW, self._grid(), self._frame_id, self._stamp_ns)

    def unknown(self, stamp_ns: int, odom_T_base: Transform | None = None) -> Costmap:
        """A grid that is unknown as a whole, where the map last was (or around a pose). Forgets nothing."""
        grid = (
            self._grid()
            if odom_T_base is None
            else self._size.around(*odom_T_base.translation_3[:2].tolist())
        )
        return Costmap(np.full(self._shape, COST_UNKNOWN, np.int8), grid, self._frame_id, stamp_ns)

    def _grid(self) -> GridSpec:
        if self._cell is None:
            return self._size.around(0.0, 0.0)
        (height, width), resolution = self._shape, self._size.resolution
        x, y = self._cell
        return GridSpec(width, height, resolution, x * resolution, y * resolution)

    def _scale(self, stamp_ns: int) -> float:
        """What evidence of weight 1 at that time counts in the stored unit; scales the store back when it is large."""
        if self._stamp_ns is None:
            self._reference_ns = stamp_ns
        scale = math.exp(max(-80.0, min((stamp_ns - self._reference_ns) / self._decay_ns, 80.0)))
        if scale > _MAX_SCALE:
            self._cells.scale_by(1.0 / scale)
            self._reference_ns = stamp_ns
            return 1.0
        return scale

    def _move(self, cell: tuple[int, int]) -> None:
        if self._cell is not None and self._cell != cell:
            moves = zip(self._cell[::-1], cell[::-1], self._shape, strict=True)
            for axis, (old, new, count) in enumerate(moves):
                # Cells that come into the window take the slots of those that leave it.
                if new > old:
                    self._cells.clear_lines(axis, old + count, new - old)
                elif new < old:
                    self._cells.clear_lines(axis, new, old - new)
        self._cell = cell

    def _add(self, observation: GridObservation, source: int) -> None:
        assert self._cell is not None
        assert self._stamp_ns is not None
        newest = self._scale(self._stamp_ns)
        scale = newest if observation.stamp_ns == self._stamp_ns else self._scale(observation.stamp_ns)
        grid, (height, width) = observation.grid, self._shape
        (x, y), (left, bottom) = self._cell, origin_cell(grid)
        # Of the observation's cells, those that lie in the window.
        rows = (max(y - bottom, 0), min(y - bottom + height, grid.height))
        columns = (max(x - left, 0), min(x - left + width, grid.width))
        if rows[0] < rows[1] and columns[0] < columns[1]:
            self._cells.add(
                observation,
                (*rows, *columns),
                ((bottom + rows[0]) % height, (left + columns[0]) % width),
                self._rules,
                scale=scale,
                limit=self._max_evidence * newest,
                source=source,
            )


def _check_shape(observation: GridObservation) -> None:
    shape = (observation.grid.height, observation.grid.width)
    for array_HW in (observation.labels_HW, observation.evidence_HW, observation.confidence_HW):
        if array_HW is not None and array_HW.shape != shape:
            raise InputError(f"the observation's grid has {shape} cells, one of its arrays {array_HW.shape}")
