# SPDX-License-Identifier: Apache-2.0
"""What a replay measures, frame by frame; the keys of ``metrics.json`` are defined in ``docs/replay.md``."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from offroad_seg.metrics import SegmentationMetrics
from offroad_seg.replay.costmap_truth import CostmapScore
from offroad_seg.types import COST_UNKNOWN, UNLABELLED

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from offroad_seg.ontology import Ontology
    from offroad_seg.replay.frames import BagFrame, Drop
    from offroad_seg.transforms import Transform
    from offroad_seg.types import Costmap, Perception

    U8 = NDArray[np.uint8]

PERCENTILES = (50, 95, 99)
TIME_KEYS = ("seconds", "frames_per_second", "latency_ms", "created")
"""Keys that differ from run to run; everything else is the same for the same bag, bundle and machine."""


@dataclass(frozen=True)
class FrameRow:
    """The figures of one frame, for the report's timeline.

    Attributes:
        index: Number of the image in the bag.
        time_s: Seconds since the first frame.
        miou: Mean IoU over the classes of this frame alone, None without truth.
        confidence: Mean confidence.
        changed: Share of pixels whose label differs from the frame before, None for the first.
        latency_ms: The whole frame.
        known_share: Share of the costmap's cells that are known, None without a costmap.
        costmap_reason: Why there is no costmap.
        pose: x and y in metres and heading in radians of the vehicle in the odometry's frame, None where not known.
    """

    index: int
    time_s: float
    miou: float | None
    confidence: float
    changed: float | None
    latency_ms: float
    known_share: float | None
    costmap_reason: str = ""
    pose: tuple[float, float, float] | None = None


@dataclass(frozen=True)
class DropRow:
    """One image that gave nothing, for the report's timeline.

    Attributes:
        index: Number of the image in the bag.
        time_s: Seconds since the first frame; None before there was one.
        cause: One word.
        reason: In words.
    """

    index: int
    time_s: float | None
    cause: str
    reason: str


class Changes:
    """Share of pixels whose label differs from the frame before, over frames of one size."""

    def __init__(self) -> None:
        self._before: U8 | None = None
        self._changed = self._compared = 0

    def reset(self) -> None:
        """The next frame has none before it."""
        self._before = None

    def add(self, labels_HW: U8) -> float | None:
        """One more frame; the share of its pixels that changed, or None for the first."""
        before, self._before = self._before, labels_HW.copy()
        if before is None or before.shape != labels_HW.shape:
            return None
        both = (before != UNLABELLED) & (labels_HW != UNLABELLED)
        compared = int(np.count_nonzero(both))
        changed = int(np.count_nonzero(both & (before != labels_HW)))
        self._changed += changed
        self._compared += compared
        return changed / compared if compared else None

    def share(self) -> float | None:
        """Over all frames."""
        return self._changed / self._compared if self._compared else None


@dataclass
class Evaluation:
    """Adds up everything; hand it each frame with its result, and each drop.

    Args:
        ontology: The bundle's.
        true_costmap: The world's grid, or None.
    """

    ontology: Ontology
    true_costmap: Costmap | None = None
    rows: list[FrameRow] = field(default_factory=list)
    drops: Counter[str] = field(default_factory=Counter)
    drop_reasons: dict[str, str] = field(default_factory=dict)
    drop_rows: list[DropRow] = field(default_factory=list)
    costmap_reasons: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.segmentation = SegmentationMetrics(self.ontology.names)
        self.costmap = None if self.true_costmap is None else CostmapScore(self.true_costmap)
        self._changes, self._true_changes = Changes(), Changes()
        self._latencies: dict[str, list[float]] = {}
        self._label_counts: NDArray[np.int64] = np.zeros(256, np.int64)
        self._first_ns: int | None = None
        self._costmaps = 0

    def add(self, bag_frame: BagFrame, perception: Perception) -> FrameRow:
        """One frame that gave labels."""
        if bag_frame.time_ran_back:
            self._changes.reset()
            self._true_changes.reset()
        result, frame = perception.segmentation, bag_frame.frame
        self._first_ns = frame.stamp_ns if self._first_ns is None else self._first_ns
        miou = self._score(bag_frame, perception)
        for stage, milliseconds in perception.timings_ms.items():
            self._latencies.setdefault(stage, []).append(milliseconds)
        self._label_counts += np.bincount(result.labels_HW.ravel(), minlength=256)
        row = FrameRow(
            index=bag_frame.index,
            time_s=(frame.stamp_ns - self._first_ns) / 1e9,
            miou=miou,
            confidence=result.mean_confidence,
            changed=self._changes.add(result.labels_HW),
            latency_ms=perception.timings_ms.get("total", 0.0),
            known_share=self._map(bag_frame, perception),
            costmap_reason=perception.costmap_reason,
            pose=_pose(bag_frame.odom_T_base),
        )
        self.rows.append(row)
        return row

    def drop(self, drop: Drop) -> None:
        """One image that gave nothing."""
        self.drops[drop.cause] += 1
        self.drop_reasons.setdefault(drop.cause, drop.reason)
        since = None if self._first_ns is None else (drop.stamp_ns - self._first_ns) / 1e9
        self.drop_rows.append(DropRow(drop.index, since, drop.cause, drop.reason))

    def metrics(self) -> dict[str, Any]:
        """Everything under the keys of ``metrics.json`` that does not depend on who ran it."""
        scored = self.segmentation.images > 0
        result: dict[str, Any] = self.segmentation.result() if scored else {"images": 0}
        total = int(self._label_counts.sum())
        result |= {
            "frames": len(self.rows),
            "frames_dropped": sum(self.drops.values()),
            "dropped": {
                cause: {"frames": n, "first_reason": self.drop_reasons[cause]}
                for cause, n in self.drops.items()
            },
            "mean_confidence": float(np.mean([r.confidence for r in self.rows])) if self.rows else None,
            "flicker": self._changes.share(),
            "predicted_share": {
                c.name: float(self._label_counts[c.id] / total) if total else None
                for c in self.ontology.classes
            },
            "costmap_frames": self._costmaps,
            "no_costmap": dict(self.costmap_reasons.most_common()),
            "latency_ms": self._percentiles(),
        }
        if scored:
            result["flicker_truth"] = self._true_changes.share()
        known = [r.known_share for r in self.rows if r.known_share is not None]
        if self.costmap is not None:
            result["costmap"] = self.costmap.result()
        if known:
            result["costmap_known_share"] = float(np.mean(known))
        return result

    def _score(self, bag_frame: BagFrame, perception: Perception) -> float | None:
        if bag_frame.truth_HW is None:
            return None
        self._true_changes.add(bag_frame.truth_HW)
        result = perception.segmentation
        miou = self.segmentation.update(result.labels_HW, bag_frame.truth_HW, result.confidence_HW)[
            "miou_present"
        ]
        return None if miou is None else float(miou)

    def _map(self, bag_frame: BagFrame, perception: Perception) -> float | None:
        costmap, pose = perception.costmap, bag_frame.odom_T_base
        if costmap is None:
            self.costmap_reasons[_without_numbers(perception.costmap_reason) or "none came"] += 1
            return None
        self._costmaps += 1
        if self.costmap is not None and pose is not None:
            self.costmap.add(costmap, float(pose.translation_3[0]), float(pose.translation_3[1]))
        return float(np.mean(costmap.cost_HW != COST_UNKNOWN))

    def _percentiles(self) -> dict[str, dict[str, float]]:
        return {
            stage: {
                **{f"p{q}": float(np.percentile(values, q)) for q in PERCENTILES},
                "mean": float(np.mean(values)),
                "max": float(np.max(values)),
            }
            for stage, values in self._latencies.items()
        }


def _pose(odom_T_base: Transform | None) -> tuple[float, float, float] | None:
    if odom_T_base is None:
        return None
    x, y = (float(v) for v in odom_T_base.translation_3[:2])
    return x, y, odom_T_base.roll_pitch_yaw()[2]


def _without_numbers(reason: str) -> str:
    """One key for reasons that differ in times only."""
    return re.sub(r"\d+\.\d+ s|\d+\.\d+ to \d+\.\d+ s", "… s", reason)
