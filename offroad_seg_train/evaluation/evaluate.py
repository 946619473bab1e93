# SPDX-License-Identifier: Apache-2.0
"""Metrics of a model on labelled images, at the images' own size."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from offroad_seg.errors import InputError
from offroad_seg.metrics import SegmentationMetrics
from offroad_seg.progress import progress
from offroad_seg.resources import keep_sources, replacing_folder, write_text
from offroad_seg_train.data.dataset import read_pair
from offroad_seg_train.evaluation.frames import FrameScore, choose_frames
from offroad_seg_train.evaluation.gallery import Worst
from offroad_seg_train.evaluation.labelling import Labeller, LabelOptions
from offroad_seg_train.evaluation.pictures import confusion_picture, reliability_picture
from offroad_seg_train.evaluation.report import write_report
from offroad_seg_train.export.calibrate import calibrate

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from offroad_seg_train.evaluation.frames import Frames, FrameSource
    from offroad_seg_train.evaluation.opened import OpenedModel

WORST = 12


@dataclass(frozen=True)
class EvaluateOptions:
    """What to evaluate on, and how.

    Attributes:
        source: The labelled images.
        label: How images are labelled.
        worst: How many of the worst frames to draw.
        batch_size: Of ``miou_batch_mean``.
        calibrate: Also fit a temperature on these images, and say what it would change.
        overwrite: Replace results that are there.
    """

    source: FrameSource
    label: LabelOptions = field(default_factory=LabelOptions)
    worst: int = WORST
    batch_size: int = 4
    calibrate: bool = False
    overwrite: bool = False


def evaluate(model: OpenedModel, out: Path, options: EvaluateOptions) -> dict[str, Any]:
    """Write ``metrics.json``, ``report.html``, ``frames.csv``, two diagrams and ``worst/`` into ``out``.

    Returns:
        What ``metrics.json`` holds.

    Raises:
        InputError: ``out`` is not empty, the data cannot be used, its classes are not the model's, or a temperature is
            wanted of a bundle.
        EngineError: The logits are not finite.
    """
    if options.calibrate and model.checkpoint is None:
        raise InputError(
            "a bundle gives no logits, which a temperature is fitted on",
            where=str(model.path),
            mend="give the checkpoint; `offroad-seg export --calibrate DATA` puts the temperature into the bundle",
        )
    keep_sources(out, options.source.root, model.path)
    frames = choose_frames(options.source, model.ontology, model.recipe, where=str(model.path))
    labeller = Labeller(model, options.label)
    with replacing_folder(out, overwrite=options.overwrite) as folder:
        metrics = SegmentationMetrics(frames.ontology.names, options.batch_size)
        worst = Worst(frames.ontology, options.worst)
        started = time.perf_counter()
        rows = [
            _measure(labeller, index, frames, metrics, worst)
            for index in progress(range(len(frames.pairs)), what="evaluating")
        ]
        seconds = time.perf_counter() - started
        result = {
            **metrics.result(),
            "reliability": metrics.calibration.diagram(),
            "seconds": round(seconds, 3),
            "latency_ms": {"total": _latency([row.seconds for row in rows])},
            "batch_size": options.batch_size,
            "labelling": labeller.describe(),
            "model": model.describe(),
            "data": {"root": str(options.source.root), **frames.describe()},
        }
        if options.calibrate:
            result["calibration"] = _calibrate(model, frames)
        write_text(folder / "metrics.json", json.dumps(result, indent=2, allow_nan=False) + "\n")
        write_text(folder / "frames.csv", _table(rows))
        confusion_picture(metrics.matrix.counts, frames.ontology.names, folder / "confusion_matrix.png")
        reliability_picture(result["reliability"], result["ece"], folder / "reliability.png")
        worst.write(folder / "worst")
        write_report(folder / "report.html", result, metrics.matrix.counts, frames.ontology, rows, worst)
    return result


def _measure(
    labeller: Labeller, index: int, frames: Frames, metrics: SegmentationMetrics, worst: Worst
) -> FrameScore:
    pair = frames.pairs[index]
    image_HWC, truth_HW = read_pair(pair, frames.ontology)
    started = time.perf_counter()
    labels_HW, confidence_HW = labeller.label(image_HWC)
    seconds = time.perf_counter() - started
    own = metrics.update(labels_HW, truth_HW, confidence_HW)
    row = FrameScore(pair.name, own["miou"], own["pixel_accuracy"], seconds)
    worst.add(row, image_HWC, truth_HW, labels_HW, confidence_HW)
    return row


def _calibrate(model: OpenedModel, frames: Frames) -> dict[str, Any]:
    assert model.checkpoint is not None
    found = calibrate(
        model.checkpoint.module,
        model.segmenter.bundle.letterbox,
        frames,
    )
    return dict(found.calibration or {})


def _latency(seconds: Sequence[float]) -> dict[str, float]:
    values = np.percentile(seconds, (50, 95, 99)) * 1e3
    return {name: round(float(v), 3) for name, v in zip(("p50", "p95", "p99"), values, strict=True)}


def _table(rows: Sequence[FrameScore]) -> str:
    def number(value: float | None) -> str:
        return "" if value is None else f"{value:.6f}"

    lines = [f'"{r.name}",{number(r.miou)},{number(r.pixel_accuracy)},{r.seconds:.4f}' for r in rows]
    return "\n".join(["name,miou,pixel_accuracy,seconds", *lines]) + "\n"
