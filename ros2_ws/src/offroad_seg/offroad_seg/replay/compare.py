# SPDX-License-Identifier: Apache-2.0
"""Two or more results of ``replay`` beside each other: figures, differences with intervals, gates."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from offroad_seg.errors import InputError
from offroad_seg.replay.compare_bootstrap import (
    BLOCK_S,
    LEVEL,
    RESAMPLES,
    SEED,
    Blocks,
    Interval,
    blocks_of,
    differences,
    independent,
)
from offroad_seg.replay.compare_frames import Agreement, agreement
from offroad_seg.replay.compare_gates import PASSED, Gate, Verdict, judge
from offroad_seg.replay.compare_results import Aligned, align, labels_of, load_result
from offroad_seg.replay.compare_sums import as_json

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

FEW_BLOCKS = 10
Figures = dict[str, "float | None"]


@dataclass(frozen=True)
class Comparison:
    """What ``compare`` found.

    Attributes:
        aligned: The results, the first of which the others are compared with.
        figures: For each result key → value over the common frames, None where it is not defined.
        differences: For each result but the first key → difference and interval.
        blocks: What was drawn.
        resamples: How often.
        seed: With which seed.
        agreements: For each result but the first how its labels agree with the first's, None where not known.
        verdicts: What each gate says of each result but the first.
    """

    aligned: Aligned
    figures: tuple[Figures, ...]
    differences: tuple[dict[str, Interval], ...]
    blocks: tuple[Blocks, ...]
    resamples: int
    seed: int
    agreements: tuple[Agreement | None, ...]
    verdicts: tuple[Verdict, ...]

    @property
    def labels(self) -> list[str]:
        """Names of the results."""
        return [r.label for r in self.aligned.results]

    @property
    def passed(self) -> bool:
        """Whether no gate failed, or could not be judged."""
        return all(v.state == PASSED for v in self.verdicts)

    def notes(self) -> list[str]:
        """What a reader must know before believing the differences."""
        found = []
        for result, left_out in zip(self.aligned.results, self.aligned.left_out, strict=True):
            if left_out:
                found.append(f"{left_out} frames of {result.label} are left out: another result lacks them")
            found += [f"{result.label}: lost: {loss}" for loss in result.metrics["bag"].get("losses", [])]
            if dropped := result.metrics.get("frames_dropped"):
                found.append(f"{result.label} dropped {dropped} frames")
        drawn = independent(self.blocks)
        if drawn < FEW_BLOCKS:
            found.append(
                f"The intervals are rough: there are only {drawn} blocks of frames to draw from; "
                "a longer drive tells more"
            )
        if not self.aligned.results[0].metrics.get("images"):
            found.append("There are no true labels: nothing here says which result is right")
        if any(a is None for a in self.agreements):
            found.append(
                "The labels were not compared pixel by pixel: a result has no annotated.mcap of each bag"
            )
        return found

    def to_json(self) -> dict[str, Any]:
        """Everything as JSON has it."""
        first, *others = self.aligned.results
        return {
            "baseline": first.label,
            "results": [
                {
                    "label": r.label,
                    "bundle": r.metrics["bundle"],
                    "engine": r.metrics.get("engine", {}),
                    "mode": r.metrics.get("mode"),
                }
                for r in self.aligned.results
            ],
            "bags": sorted(first.parts),
            "frames": len(self.aligned.keys),
            "frames_left_out": dict(zip(self.labels, self.aligned.left_out, strict=True)),
            "bootstrap": {
                "method": "circular moving blocks, paired, percentile interval",
                "resamples": self.resamples,
                "seed": self.seed,
                "level": LEVEL,
                "block_frames": [b.length for b in self.blocks],
                "blocks": independent(self.blocks),
            },
            "figures": {
                key: {
                    "values": {label: f[key] for label, f in zip(self.labels, self.figures, strict=True)},
                    "differences": {
                        r.label: _interval(d[key]) for r, d in zip(others, self.differences, strict=True)
                    },
                }
                for key in self.figures[0]
            },
            "agreement": {
                r.label: None if a is None else {"same_labels": a.share, "frames": len(a.shares)}
                for r, a in zip(others, self.agreements, strict=True)
            },
            "disagree_most": {
                r.label: [] if a is None else [_odd(o) for o in a.odd]
                for r, a in zip(others, self.agreements, strict=True)
            },
            "gates": [
                {
                    "gate": v.gate.text,
                    "result": v.label,
                    "state": v.state,
                    "value": v.value,
                    "words": v.words,
                }
                for v in self.verdicts
            ],
            "passed": self.passed,
            "notes": self.notes(),
        }


def compare(
    folders: Sequence[Path],
    gates: Sequence[Gate] = (),
    *,
    resamples: int = RESAMPLES,
    seed: int = SEED,
    block_s: float = BLOCK_S,
) -> Comparison:
    """Compare results folders of ``replay``, the first being what the others are held against.

    Raises:
        InputError: One is no results folder, they cannot be compared, or a gate names a figure that none has.
    """
    aligned = align([load_result(p, label) for p, label in zip(folders, labels_of(folders), strict=True)])
    layout = aligned.results[0].layout
    blocks = blocks_of(aligned.keys, block_s)
    found = differences(layout, aligned.rows, blocks, resamples=resamples, seed=seed)
    figures = tuple(
        {key: as_json(v[0]) for key, v in layout.figures(rows.sum(axis=0, keepdims=True)).items()}
        for rows in aligned.rows
    )
    for gate in gates:
        _check_key(gate, aligned, figures[0])
    verdicts = []
    for number, result in enumerate(aligned.results[1:], 1):
        for gate in gates:
            value, base = (_figure(gate.key, aligned, figures, n) for n in (number, 0))
            delta = None if value is None or base is None else value - base
            verdicts.append(judge(gate, result.label, value, delta, found[number - 1].get(gate.key)))
    agreements = tuple(agreement(aligned, number) for number in range(1, len(aligned.results)))
    return Comparison(
        aligned, figures, tuple(found), tuple(blocks), resamples, seed, agreements, tuple(verdicts)
    )


def lookup(data: Any, key: str) -> Any:
    """The value under a dotted key; keys of the data may hold dots and blanks themselves. None where there is none."""
    if not isinstance(data, dict):
        return None
    if key in data:
        return data[key]
    for name, value in data.items():
        if key.startswith(f"{name}.") and (found := lookup(value, key[len(name) + 1 :])) is not None:
            return found
    return None


def _figure(key: str, aligned: Aligned, figures: Sequence[Figures], number: int) -> float | None:
    if key in figures[number]:
        return figures[number][key]
    value = lookup(aligned.results[number].metrics, key)
    usable = isinstance(value, (int, float)) and not isinstance(value, bool) and np.isfinite(value)
    return float(value) if usable else None


def _check_key(gate: Gate, aligned: Aligned, figures: Figures) -> None:
    if gate.key in figures:
        return
    values = [lookup(r.metrics, gate.key) for r in aligned.results]
    if any(isinstance(v, (int, float)) and not isinstance(v, bool) for v in values):
        return
    short = [key for key in figures if not key.startswith("per_class.")]
    raise InputError(
        f"no result has a figure '{gate.key}'",
        where=f"--fail-if '{gate.text}'",
        mend=f"one of {', '.join(short)}, per_class.<class>.iou, or any other number of metrics.json",
    )


def _interval(interval: Interval) -> dict[str, float | None]:
    return {"value": as_json(interval.value), "low": as_json(interval.low), "high": as_json(interval.high)}


def _odd(odd: Any) -> dict[str, Any]:
    key = odd.key
    return {
        "bag": key.bag,
        "camera": key.camera,
        "stamp_ns": key.stamp_ns,
        "index": odd.index,
        "different_pixels": odd.share,
    }
