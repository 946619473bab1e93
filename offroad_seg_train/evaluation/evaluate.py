# SPDX-License-Identifier: Apache-2.0
"""Metrics of a model on labelled images, at the images' own size."""

from __future__ import annotations

import heapq
import json
import logging
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from offroad_seg.errors import InputError
from offroad_seg.metrics import SegmentationMetrics
from offroad_seg.ontology import load_ontology
from offroad_seg.progress import progress
from offroad_seg.resources import replacing_folder, write_text
from offroad_seg_train.data.dataset import read_pair
from offroad_seg_train.data.layouts import find_layout, list_pairs
from offroad_seg_train.data.splits import split
from offroad_seg_train.evaluation.pictures import comparison, confusion_picture, write_image

if TYPE_CHECKING:
    from collections.abc import Sequence

    from offroad_seg.ontology import Ontology
    from offroad_seg_train.data.layouts import Pair
    from offroad_seg_train.evaluation.opened import OpenedModel

_LOG = logging.getLogger(__name__)
WORST = 8


@dataclass(frozen=True)
class EvaluateOptions:
    """What to evaluate on.

    Attributes:
        data: The data folder.
        layout: A name from ``LAYOUTS``, or ``auto``.
        ontology: What the mask values mean, by name or file; None takes the model's own.
        part: ``all`` frames, or ``val``: those that the recipe's split held out.
        worst: How many of the worst frames to draw.
        batch_size: Of ``miou_batch_mean``.
        overwrite: Replace results that are there.
    """

    data: Path
    layout: str = "auto"
    ontology: str | None = None
    part: str = "all"
    worst: int = WORST
    batch_size: int = 4
    overwrite: bool = False


def evaluate(model: OpenedModel, out: Path, options: EvaluateOptions) -> dict[str, Any]:
    """Write ``metrics.json``, ``frames.csv``, ``confusion_matrix.png`` and ``worst/`` into ``out``.

    Returns:
        What ``metrics.json`` holds.

    Raises:
        InputError: ``out`` is not empty, the data cannot be used, or its classes are not the model's.
        EngineError: The logits are not finite.
    """
    ontology = _label_set(model.ontology, options.ontology)
    layout = find_layout(options.layout, options.data)
    pairs = _choose(model, list_pairs(layout.name, options.data), options)
    with replacing_folder(out, overwrite=options.overwrite) as folder:
        metrics = SegmentationMetrics(ontology.names, options.batch_size)
        started = time.perf_counter()
        rows = [_measure(model, pair, ontology, metrics) for pair in progress(pairs, what="evaluating")]
        seconds = time.perf_counter() - started
        result = {
            **metrics.result(),
            "seconds": round(seconds, 3),
            "batch_size": options.batch_size,
            "model": model.describe(),
            "data": {"root": str(options.data), "layout": layout.name, "part": options.part},
        }
        write_text(folder / "metrics.json", json.dumps(result, indent=2, allow_nan=False) + "\n")
        write_text(folder / "frames.csv", _table(rows))
        confusion_picture(metrics.matrix.counts, ontology.names, folder / "confusion_matrix.png")
        _draw_worst(model, pairs, rows, ontology, folder / "worst", options.worst)
    return result


@dataclass(frozen=True)
class FrameScore:
    """One frame's own figures; None where it has no labelled pixel."""

    name: str
    miou: float | None
    pixel_accuracy: float | None


def _measure(model: OpenedModel, pair: Pair, ontology: Ontology, metrics: SegmentationMetrics) -> FrameScore:
    image_HWC, truth_HW = read_pair(pair, ontology)
    labels_HW, confidence_HW = model.predict(image_HWC)
    own = metrics.update(labels_HW, truth_HW, confidence_HW)
    return FrameScore(pair.name, own["miou"], own["pixel_accuracy"])


def _label_set(own: Ontology, name: str | None) -> Ontology:
    """The ontology that reads the masks; its classes must be the model's, only raw values may differ."""
    if name is None:
        return own
    other = load_ontology(name)
    if other.names != own.names:
        raise InputError(
            f"the classes of ontology {other.name} are not those of the model: {', '.join(other.names)} "
            f"against {', '.join(own.names)}",
            where="--ontology",
            mend="give an ontology with the same classes, or leave it out",
        )
    return other


def _choose(model: OpenedModel, pairs: list[Pair], options: EvaluateOptions) -> list[Pair]:
    """All pairs, or those that the recipe's split held out."""
    data = model.recipe.get("data", {})
    if options.part == "all":
        root = data.get("root")
        if root and Path(root).resolve() == options.data.resolve():
            _LOG.warning(
                "these are the images that the model was trained on; --split val takes the held-out part"
            )
        return pairs
    if options.part != "val":
        raise InputError(f"there is no split '{options.part}'", mend="one of: all, val")
    if "val_fraction" not in data:
        raise InputError(
            "the model does not say how its data was split", where=str(model.path), mend="--split all"
        )
    if data.get("val_root") is not None or data.get("has_val_root"):
        raise InputError(
            "the model was validated on a folder of its own, not on a part of its training data",
            where=str(model.path),
            mend="give that folder as --data, with --split all",
        )
    names = [pair.name for pair in pairs]
    parts = split(names, data["val_fraction"], data.get("split", "blocks"), model.recipe.get("seed", 0))
    return [pairs[i] for i in parts.val]


def _table(rows: Sequence[FrameScore]) -> str:
    def number(value: float | None) -> str:
        return "" if value is None else f"{value:.6f}"

    lines = [f'"{r.name}",{number(r.miou)},{number(r.pixel_accuracy)}' for r in rows]
    return "\n".join(["name,miou,pixel_accuracy", *lines]) + "\n"


def _draw_worst(
    model: OpenedModel,
    pairs: Sequence[Pair],
    rows: Sequence[FrameScore],
    ontology: Ontology,
    folder: Path,
    count: int,
) -> None:
    scored = [(row.miou, i) for i, row in enumerate(rows) if row.miou is not None]
    for place, (miou, index) in enumerate(heapq.nsmallest(count, scored), start=1):
        image_HWC, truth_HW = read_pair(pairs[index], ontology)
        labels_HW, _ = model.predict(image_HWC)
        caption = f"{rows[index].name}   mIoU {miou:.3f}   accuracy {rows[index].pixel_accuracy:.3f}"
        name = rows[index].name.replace("/", "_")
        picture = comparison(image_HWC, truth_HW, labels_HW, ontology, caption)
        write_image(folder / f"{place:02d}_{name}.png", picture)
