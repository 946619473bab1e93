# SPDX-License-Identifier: Apache-2.0
"""What a replay measures, frame by frame; the keys of ``metrics.json`` are defined in ``docs/replay.md``."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from offroad_seg.counting import count_bytes
from offroad_seg.mapping.doubt import ood_share
from offroad_seg.metrics import confusion, count_image, metrics_from_confusion
from offroad_seg.native.counting import count_changes
from offroad_seg.replay.costmap_truth import compare
from offroad_seg.replay.driven_path import DrivenPath, Footprint
from offroad_seg.replay.motion import MotionCompensation
from offroad_seg.replay.records import FrameRecord, truth_of
from offroad_seg.replay.rows import DropRow, FrameRow
from offroad_seg.replay.stability import Stability
from offroad_seg.replay.summary import PERCENTILES, TIME_KEYS, Summary
from offroad_seg.types import COST_UNKNOWN, UNLABELLED

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from offroad_seg.ontology import Ontology
    from offroad_seg.replay.frames import BagFrame, Drop
    from offroad_seg.transforms import Transform
    from offroad_seg.types import Costmap, Perception

    U8 = NDArray[np.uint8]

__all__ = ["PERCENTILES", "TIME_KEYS", "DropRow", "Evaluation", "FrameRow", "Measures", "Scorer"]


class Changes:
    """Pixels whose label differs from the frame before of the same camera, over frames of one size."""

    def __init__(self) -> None:
        self._before: dict[str, U8] = {}

    def reset(self) -> None:
        """The next frame has none before it."""
        self._before.clear()

    def add(self, camera: str, labels_HW: U8) -> list[int] | None:
        """One more frame; [changed, compared] pixels, or None for the first."""
        before = self._before.get(camera)
        if before is None or before.shape != labels_HW.shape:
            self._before[camera] = labels_HW.copy()
            return None
        changed, compared = count_changes(before, labels_HW) or _changes(before, labels_HW)
        np.copyto(before, labels_HW)
        return [changed, compared]


def _changes(before_HW: U8, labels_HW: U8) -> tuple[int, int]:
    both_HW = (before_HW != UNLABELLED) & (labels_HW != UNLABELLED)
    return int(np.count_nonzero(both_HW & (before_HW != labels_HW))), int(np.count_nonzero(both_HW))


@dataclass(frozen=True)
class Measures:
    """What is measured beside labels, and with what.

    Attributes:
        odom_frame: Costmaps in it stand still: only those are asked for stability and along the drive.
        footprint: The vehicle's, for the ground that it drove over.
        motion: Measure flicker with the camera's motion taken out.
    """

    odom_frame: str = "odom"
    footprint: Footprint = field(default_factory=Footprint)
    motion: bool = True


class Scorer:
    """Measures each frame against its truth and against the frames before it.

    Args:
        ontology: The bundle's.
        true_costmap: The world's grid, or None.
        measures: None takes the defaults.
    """

    def __init__(
        self, ontology: Ontology, true_costmap: Costmap | None = None, measures: Measures | None = None
    ) -> None:
        measures = measures or Measures()
        self._ontology, self._true_costmap = ontology, true_costmap
        self._odom_frame = measures.odom_frame
        self._changes, self._true_changes = Changes(), Changes()
        self._motion = MotionCompensation(ontology.n_classes) if measures.motion else None
        self._stability, self._driven = Stability(), DrivenPath(measures.footprint)

    def _reset(self) -> None:
        for past in (self._changes, self._true_changes, self._motion, self._stability, self._driven):
            if past is not None:
                past.reset()

    def frame(self, bag_frame: BagFrame, perception: Perception) -> FrameRecord:
        """The record of a frame that gave labels."""
        if bag_frame.time_ran_back:
            self._reset()
        result, camera, n = perception.segmentation, bag_frame.camera, self._ontology.n_classes
        truth, miou = self._truth(bag_frame, perception)
        pixels = count_bytes(result.labels_HW)
        return FrameRecord(
            index=bag_frame.index,
            camera=camera,
            stamp_ns=bag_frame.frame.stamp_ns,
            time_ran_back=bag_frame.time_ran_back,
            mean_confidence=result.mean_confidence,
            ood_share=ood_share(result),
            pixels=[*pixels[:n].tolist(), int(pixels[n:].sum())],
            flicker=self._changes.add(camera, result.labels_HW),
            motion=None if self._motion is None else self._motion.add(bag_frame, result.labels_HW),
            agreement=_agreement(bag_frame.other_HW, result.labels_HW, n),
            truth=truth,
            miou=miou,
            latency_ms=dict(perception.timings_ms),
            costmap=self._costmap(bag_frame, perception),
            costmap_reason=perception.costmap_reason,
            pose=_pose(bag_frame.odom_T_base),
        )

    def drop(self, drop: Drop) -> FrameRecord:
        """The record of an image that gave nothing."""
        return FrameRecord(drop.index, drop.camera, drop.stamp_ns, dropped=drop.cause, reason=drop.reason)

    def _truth(
        self, bag_frame: BagFrame, perception: Perception
    ) -> tuple[dict[str, Any] | None, float | None]:
        truth_HW, result = bag_frame.truth_HW, perception.segmentation
        if truth_HW is None:
            return None, None
        # The node's output_size may ask for labels of another size: they are judged at the truth's.
        labels_HW, confidence_HW = (
            _sized(array, truth_HW.shape) for array in (result.labels_HW, result.confidence_HW)
        )
        counts = count_image(labels_HW, truth_HW, confidence_HW, self._ontology.n_classes)
        miou = metrics_from_confusion(counts.confusion_NN, self._ontology.names)["miou_present"]
        return truth_of(counts) | {"flicker": self._true_changes.add(bag_frame.camera, truth_HW)}, miou

    def _costmap(self, bag_frame: BagFrame, perception: Perception) -> dict[str, Any] | None:
        costmap, pose = perception.costmap, bag_frame.odom_T_base
        if costmap is None:
            return None
        found: dict[str, Any] = {"known_share": float(np.mean(costmap.cost_HW != COST_UNKNOWN))}
        if pose is not None and costmap.frame_id == self._odom_frame:
            found["stability"] = self._stability.add(costmap)
            found["driven"] = self._driven.add(costmap, pose)
        if self._true_costmap is None:
            return found
        if pose is None:
            return found | {"truth": {"skipped": "the vehicle's place is not known"}}
        x, y = float(pose.translation_3[0]), float(pose.translation_3[1])
        return found | {"truth": compare(costmap, self._true_costmap, x, y)}


class Evaluation(Summary):
    """Measures and adds up: hand it each frame with its result, and each drop.

    Args:
        ontology: The bundle's.
        true_costmap: The world's grid, or None.
        cameras: Names of the cameras, where there are several.
        measures: None takes the defaults.

    Attributes:
        last: The newest record.
    """

    last: FrameRecord

    def __init__(
        self,
        ontology: Ontology,
        true_costmap: Costmap | None = None,
        cameras: Sequence[str] = (),
        measures: Measures | None = None,
    ) -> None:
        super().__init__(ontology, cameras)
        self.scorer = Scorer(ontology, true_costmap, measures)

    def add(self, bag_frame: BagFrame, perception: Perception) -> FrameRow:
        """One frame that gave labels."""
        row = self._record(self.scorer.frame(bag_frame, perception))
        assert row is not None
        return row

    def drop(self, drop: Drop) -> None:
        """One image that gave nothing."""
        self._record(self.scorer.drop(drop))

    def _record(self, record: FrameRecord) -> FrameRow | None:
        self.last = record
        return self.take(record)


def _agreement(other_HW: U8 | None, labels_HW: U8, n_classes: int) -> list[int] | None:
    if other_HW is None:
        return None
    counts: list[int] = confusion(_sized(labels_HW, other_HW.shape), other_HW, n_classes).ravel().tolist()
    return counts


def _sized(array_HW: U8, shape: tuple[int, ...]) -> U8:
    if array_HW.shape == shape:
        return array_HW
    size = (shape[1], shape[0])
    return np.asarray(cv2.resize(array_HW, size, interpolation=cv2.INTER_NEAREST_EXACT), np.uint8)


def _pose(odom_T_base: Transform | None) -> list[float] | None:
    if odom_T_base is None:
        return None
    x, y = (float(v) for v in odom_T_base.translation_3[:2])
    return [x, y, odom_T_base.roll_pitch_yaw()[2]]
