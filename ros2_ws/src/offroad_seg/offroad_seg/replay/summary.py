# SPDX-License-Identifier: Apache-2.0
"""From frames' records to ``metrics.json``: every figure is summed from them, whoever made them, in order."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np

from offroad_seg.metrics import SegmentationMetrics
from offroad_seg.replay.costmap_truth import CostmapScore
from offroad_seg.replay.driven_path import DrivenSum
from offroad_seg.replay.records import counts_of
from offroad_seg.replay.report_measures import camera_period_ms
from offroad_seg.replay.rows import DropRow, FrameRow
from offroad_seg.replay.stability import StabilitySum
from offroad_seg.replay.sums import AgreementSum, MotionSum, Ratio

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from offroad_seg.ontology import Ontology
    from offroad_seg.replay.records import FrameRecord

PERCENTILES = (50, 95, 99)
TIME_KEYS = ("seconds", "frames_per_second", "latency_ms", "created")
"""Keys that differ from run to run; everything else is the same for the same bag, bundle and machine."""


class Summary:
    """Adds up records.

    Args:
        ontology: The bundle's.
        cameras: Names of the cameras, where there are several: each then has figures of its own.

    Attributes:
        rows: A row for each frame with labels.
        drop_rows: A row for each image without.
        segmentation: Everything that is counted against true labels.
    """

    def __init__(self, ontology: Ontology, cameras: Sequence[str] = ()) -> None:
        self.ontology = ontology
        self.rows: list[FrameRow] = []
        self.drop_rows: list[DropRow] = []
        self.drops: Counter[str] = Counter()
        self.drop_reasons: dict[str, str] = {}
        self.costmap_reasons: Counter[str] = Counter()
        self.segmentation = SegmentationMetrics(ontology.names)
        self._cameras = {name: Summary(ontology) for name in cameras} if len(cameras) > 1 else {}
        self._flicker, self._true_flicker = Ratio(), Ratio()
        self._latencies: dict[str, list[float]] = {}
        self._pixels: NDArray[np.int64] = np.zeros(ontology.n_classes + 1, np.int64)
        self._first_ns: int | None = None
        self._costmaps = 0
        self._costmap_score = CostmapScore()
        self._costmap_truth = False
        self._stability, self._driven = StabilitySum(), DrivenSum()
        self._motion, self._agreement = MotionSum(ontology), AgreementSum(ontology)

    def take(self, record: FrameRecord, bag: str = "") -> FrameRow | None:
        """One more record; its row, or None for a drop. ``bag`` names its bag where there are several."""
        if record.camera in self._cameras:
            self._cameras[record.camera].take(record, bag)
        if record.dropped is not None:
            self._drop(record, record.dropped)
            return None
        self._first_ns = record.stamp_ns if self._first_ns is None else self._first_ns
        self._labels(record, bag)
        self._costmap(record, bag)
        flicker = record.flicker
        row = FrameRow(
            index=record.index,
            time_s=(record.stamp_ns - self._first_ns) / 1e9,
            miou=record.miou,
            confidence=0.0 if record.mean_confidence is None else record.mean_confidence,
            changed=flicker[0] / flicker[1] if flicker and flicker[1] else None,
            latency_ms=record.latency_ms.get("total", 0.0),
            known_share=record.costmap["known_share"] if record.costmap else None,
            costmap_reason=record.costmap_reason,
            pose=None if record.pose is None else (record.pose[0], record.pose[1], record.pose[2]),
            ood_share=record.ood_share,
            camera=record.camera,
            bag=bag,
            **without_truth(record),
        )
        self.rows.append(row)
        return row

    def metrics(self) -> dict[str, Any]:
        """Everything under the keys of ``metrics.json`` that does not depend on who ran it."""
        result = self._label_metrics() | self._costmap_metrics()
        result["camera_period_ms"] = camera_period_ms(self.rows)
        if self._cameras:
            result["cameras"] = {name: camera._label_metrics() for name, camera in self._cameras.items()}
        return result

    def _drop(self, record: FrameRecord, cause: str) -> None:
        self.drops[cause] += 1
        self.drop_reasons.setdefault(cause, record.reason)
        since = None if self._first_ns is None else (record.stamp_ns - self._first_ns) / 1e9
        self.drop_rows.append(DropRow(record.index, since, cause, record.reason))

    def _labels(self, record: FrameRecord, bag: str) -> None:
        for stage, milliseconds in record.latency_ms.items():
            self._latencies.setdefault(stage, []).append(milliseconds)
        self._pixels += np.array(record.pixels, np.int64)
        self._flicker.add(record.flicker)
        self._motion.add(record)
        self._agreement.add(record, bag)
        if record.truth is not None:
            self.segmentation.add(counts_of(record.truth, self.ontology.n_classes))
            self._true_flicker.add(record.truth["flicker"])

    def _costmap(self, record: FrameRecord, bag: str) -> None:
        if record.costmap is None:
            self.costmap_reasons[_without_numbers(record.costmap_reason) or "none came"] += 1
            return
        self._costmaps += 1
        if (compared := record.costmap.get("truth")) is not None:
            self._costmap_truth = True
            self._costmap_score.add(compared)
        for sums, key in ((self._stability, "stability"), (self._driven, "driven")):
            if (found := record.costmap.get(key)) is not None:
                sums.add(found, bag)

    def _label_metrics(self) -> dict[str, Any]:
        scored = self.segmentation.images > 0
        result: dict[str, Any] = self.segmentation.result() if scored else {"images": 0}
        total = int(self._pixels.sum())
        result |= {
            "frames": len(self.rows),
            "frames_dropped": sum(self.drops.values()),
            "dropped": {
                cause: {"frames": n, "first_reason": self.drop_reasons[cause]}
                for cause, n in self.drops.items()
            },
            "mean_confidence": _mean(r.confidence for r in self.rows),
            "ood_share": _mean(r.ood_share for r in self.rows),
            "flicker": self._flicker.value(),
            "predicted_share": {
                c.name: float(self._pixels[c.id] / total) if total else None for c in self.ontology.classes
            },
            "latency_ms": self._percentiles(),
        }
        if scored:
            result["flicker_truth"] = self._true_flicker.value()
        return result | self._motion.result() | self._agreement.result()

    def _costmap_metrics(self) -> dict[str, Any]:
        result: dict[str, Any] = {
            "costmap_frames": self._costmaps,
            "no_costmap": dict(self.costmap_reasons.most_common()),
        }
        if self._costmap_truth:
            result["costmap"] = self._costmap_score.result()
        if self._costmaps:
            result["costmap_known_share"] = _mean(r.known_share for r in self.rows)
        for key, sums in (("costmap_stability", self._stability), ("driven_path", self._driven)):
            if (found := sums.result()) is not None:
                result[key] = found
        return result

    def _percentiles(self) -> dict[str, dict[str, float]]:
        return {
            stage: {
                **{f"p{q}": float(np.percentile(values, q)) for q in PERCENTILES},
                "mean": float(np.mean(values)),
                "max": float(np.max(values)),
                "jitter": float(np.std(values)),
            }
            for stage, values in self._latencies.items()
        }


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


def without_truth(record: FrameRecord) -> dict[str, float | None]:
    """The figures of ``FrameRow`` that compare a frame with others."""
    motion, costmap = record.motion or {}, record.costmap or {}
    driven, stability = costmap.get("driven") or {}, costmap.get("stability") or {}
    looks, unknown, lethal = np.sum(driven.get("bins") or np.zeros((1, 3), np.int64), axis=0).tolist()
    flips = stability.get("to_lethal", 0) + stability.get("to_free", 0)
    agreement = None
    if record.agreement is not None:
        n = len(record.pixels) - 1
        counts = np.array(record.agreement, np.int64).reshape(n, n + 1)
        agreement = _share(int(np.trace(counts)), int(counts.sum()))
    return {
        "flicker_compensated": _share(sum(motion.get("changed", ())), sum(motion.get("compared", ()))),
        "agreement": agreement,
        "driven_lethal": _share(lethal, looks - unknown),
        "flips": _share(flips, stability.get("decided", 0)),
    }


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _without_numbers(reason: str) -> str:
    """One key for reasons that differ in times only."""
    return re.sub(r"\d+\.\d+ s|\d+\.\d+ to \d+\.\d+ s", "… s", reason)
