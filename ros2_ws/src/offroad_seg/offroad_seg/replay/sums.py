# SPDX-License-Identifier: Apache-2.0
"""Sums over frames' records, each of a few keys of ``metrics.json``."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np

from offroad_seg.metrics import metrics_from_confusion

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from offroad_seg.ontology import Ontology
    from offroad_seg.replay.records import FrameRecord

    I64 = NDArray[np.int64]

WORST = 10
"""Frames that are listed."""


class Ratio:
    """A share over all frames: the sum of parts by the sum of wholes; None where there is no whole."""

    def __init__(self) -> None:
        self.part = self.whole = 0

    def add(self, pair: Sequence[int] | None) -> None:
        """One frame's [part, whole]; None counts nothing."""
        if pair is not None:
            self.part += pair[0]
            self.whole += pair[1]

    def value(self) -> float | None:
        """The share."""
        return self.part / self.whole if self.whole else None


class MotionSum:
    """Flicker with the camera's motion taken out.

    Args:
        ontology: Names the classes.
    """

    def __init__(self, ontology: Ontology) -> None:
        self._names = ontology.names
        self._compared: I64 = np.zeros(len(self._names), np.int64)
        self._changed: I64 = np.zeros(len(self._names), np.int64)
        self._truth = Ratio()
        self._by: Counter[str] = Counter()

    def add(self, record: FrameRecord) -> None:
        """One more frame."""
        found = record.motion
        if found is not None:
            self._by[found["by"]] += 1
            self._compared += np.array(found["compared"], np.int64)
            self._changed += np.array(found["changed"], np.int64)
            self._truth.add(found["truth"])

    def result(self) -> dict[str, Any]:
        """The keys ``flicker_compensated…``."""
        compared = int(self._compared.sum())
        result: dict[str, Any] = {
            "flicker_compensated": int(self._changed.sum()) / compared if compared else None,
            "flicker_compensated_per_class": {
                name: changed / whole if whole else None
                for name, changed, whole in zip(self._names, self._changed.tolist(), self._compared.tolist())  # noqa: B905
            },
            "flicker_compensated_by": dict(sorted(self._by.items())),
        }
        if self._truth.whole:
            result["flicker_compensated_truth"] = self._truth.value()
        return result


class AgreementSum:
    """How far another bundle says the same.

    Args:
        ontology: Names the classes.
    """

    def __init__(self, ontology: Ontology) -> None:
        self._names = ontology.names
        n = len(self._names)
        self._counts: I64 = np.zeros((n, n + 1), np.int64)
        self._frames: list[tuple[float, str, int, int]] = []

    def add(self, record: FrameRecord, bag: str = "") -> None:
        """One more frame; ``bag`` where there are several."""
        if record.agreement is None:
            return
        counts = np.array(record.agreement, np.int64).reshape(self._counts.shape)
        self._counts += counts
        if total := int(counts.sum()):
            share = int(np.trace(counts)) / total
            self._frames.append((share, bag, record.index, record.stamp_ns))

    def result(self) -> dict[str, Any]:
        """The key ``agreement``, where there is another bundle."""
        if not self._frames:
            return {}
        found = metrics_from_confusion(self._counts, self._names)
        return {
            "agreement": {
                "frames": len(self._frames),
                "pixels": found["pixel_accuracy"],
                "miou": found["miou"],
                "per_class": {name: figures["iou"] for name, figures in found["per_class"].items()},
                "worst_frames": [
                    {**({"bag": bag} if bag else {}), "index": index, "stamp_ns": stamp, "pixels": share}
                    for share, bag, index, stamp in sorted(self._frames)[:WORST]
                ],
            }
        }
