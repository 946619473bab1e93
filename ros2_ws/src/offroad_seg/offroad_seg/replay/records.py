# SPDX-License-Identifier: Apache-2.0
"""``frames.jsonl``: one JSON object for each image of the bag, from which every figure of ``metrics.json`` is summed.

Counts and sums stand in it, not shares, so that records of several processes, or of a replay that was interrupted,
add up to the same numbers as one run. ``docs/replay.md`` lists the keys.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

import numpy as np

from offroad_seg.boundary import BoundaryIoU
from offroad_seg.calibration import Calibration
from offroad_seg.errors import InputError
from offroad_seg.metrics import ImageCounts

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FRAMES_NAME = "frames.jsonl"


@dataclass(frozen=True)
class FrameRecord:
    """One image of the bag; every value is as JSON has it.

    Attributes:
        index: Number of the image among those of all replayed cameras, in the order of the bag.
        camera: Name of its camera.
        stamp_ns: Its stamp; its time of recording where it could not be read.
        dropped: Why it gave nothing, one word; None for a frame with labels. What follows is then empty.
        reason: The same in words.
        time_ran_back: The stamps jumped back before it: nothing before it counts as its past.
        mean_confidence: Mean probability of the labels, 0–1.
        ood_share: Share of pixels out of distribution, None where the bundle has no such score.
        pixels: Number of pixels of each predicted class, and last of those without a label; N + 1 numbers.
        flicker: [changed, compared] pixels against the frame before of this camera, None for the first.
        motion: The same with the camera's motion taken out, as ``MotionCompensation.add`` gives it.
        agreement: Pixels by the label of the other bundle (rows) and of this one (columns, the last no class), row by
            row; None where there is no other bundle.
        truth: What ``truth_of`` made, and ``flicker`` of the true labels; None without truth.
        miou: ``miou_present`` of this frame alone.
        latency_ms: Stage → milliseconds.
        costmap: Figures of the fused costmap after this frame, None where there is none.
        costmap_reason: Why there is none.
        pose: x and y (metres) and heading (radians) of the vehicle in the odometry's frame, or None.
    """

    index: int
    camera: str
    stamp_ns: int
    dropped: str | None = None
    reason: str = ""
    time_ran_back: bool = False
    mean_confidence: float | None = None
    ood_share: float | None = None
    pixels: list[int] = field(default_factory=list)
    flicker: list[int] | None = None
    motion: dict[str, Any] | None = None
    agreement: list[int] | None = None
    truth: dict[str, Any] | None = None
    miou: float | None = None
    latency_ms: dict[str, float] = field(default_factory=dict)
    costmap: dict[str, Any] | None = None
    costmap_reason: str = ""
    pose: list[float] | None = None

    def to_json(self) -> str:
        """One line, without its end."""
        # Not dataclasses.asdict, which copies every number of every list first.
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        return json.dumps(values, ensure_ascii=False, allow_nan=False, separators=(",", ":"))

    @classmethod
    def from_json(cls, line: str) -> FrameRecord:
        """The record of a line; keys that this version does not know are left out.

        Raises:
            ValueError: It is not a record.
        """
        known = {f.name for f in fields(cls)}
        try:
            return cls(**{key: value for key, value in json.loads(line).items() if key in known})
        except (AttributeError, TypeError) as error:
            raise ValueError(str(error)) from None


class RecordWriter:
    """Writes ``frames.jsonl`` line by line.

    Args:
        path: The file; it is begun anew.
    """

    def __init__(self, path: Path) -> None:
        self._stream = path.open("w", encoding="utf-8")

    def __enter__(self) -> RecordWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self._stream.close()

    def append(self, record: FrameRecord) -> None:
        """One more line."""
        self._stream.write(record.to_json() + "\n")


def read_records(path: Path, *, stop: int | None = None) -> Iterator[FrameRecord]:
    """The records of a file, in order.

    Args:
        path: ``frames.jsonl``.
        stop: Read so many at most.

    Raises:
        InputError: It cannot be read, or a line is no record.
    """
    try:
        with path.open(encoding="utf-8") as stream:
            for number, line in enumerate(stream):
                if stop is not None and number >= stop:
                    return
                try:
                    yield FrameRecord.from_json(line)
                except ValueError as error:
                    raise InputError(
                        f"not a frame's record: {error}",
                        where=f"{path}, line {number + 1}",
                        mend="replay the bag again",
                    ) from None
    except OSError as error:
        raise InputError(
            f"the frames cannot be read: {error.strerror}",
            where=str(path),
            mend="give a results folder of `offroad-seg replay`",
        ) from None


def truth_of(counts: ImageCounts) -> dict[str, Any]:
    """``FrameRecord.truth`` of an image's counts.

    Returns:
        ``confusion``: N × (N + 1) counts row by row (rows = truth, last column = no class); ``boundary``: for each
        class the pixels of intersection and union of the edge zones; ``calibration``: for each bin the pixels,
        the sum of their confidence, and those that are right.
    """
    calibration, boundary = counts.calibration, counts.boundary
    return {
        "confusion": counts.confusion_NN.ravel().tolist(),
        "boundary": [boundary.intersection.tolist(), boundary.union.tolist()],
        "calibration": [
            calibration.total.astype(np.int64).tolist(),
            calibration.confidence.tolist(),
            calibration.correct.astype(np.int64).tolist(),
        ],
    }


def counts_of(truth: dict[str, Any], n_classes: int) -> ImageCounts:
    """Back from ``FrameRecord.truth``.

    Raises:
        ValueError: It is of another number of classes.
    """
    confusion_NN = np.array(truth["confusion"], np.int64).reshape(n_classes, n_classes + 1)
    total, confidence, correct = truth["calibration"]
    calibration, boundary = Calibration(len(total)), BoundaryIoU(n_classes)
    calibration.total += np.array(total, np.float64)
    calibration.confidence += np.array(confidence, np.float64)
    calibration.correct += np.array(correct, np.float64)
    intersection, union = truth["boundary"]
    boundary.intersection += np.array(intersection, np.int64)
    boundary.union += np.array(union, np.int64)
    return ImageCounts(confusion_NN, calibration, boundary)
