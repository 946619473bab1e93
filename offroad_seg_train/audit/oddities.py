# SPDX-License-Identifier: Apache-2.0
"""Blank frames, and images far from all others: another camera, a test card, an alien's face.

Each image is a point: 20 figures (``image_probe.TRAITS``), each as its distance from the set's median in units of its
usual spread (1.4826 × median absolute deviation), large distances compressed (3 · asinh(z / 3)) so that no single
figure decides. How odd an image is: its mean distance to its three nearest others, where copies of it do not count,
over the distance that 95 % of all images stay below. At 1 it is one of the odder ones of any set; nothing in an
ordinary set goes much beyond 1.5.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from offroad_seg_train.audit.finding import Drop, Example, FileNote, Finding, Panel, Severity, count
from offroad_seg_train.audit.image_probe import TRAITS
from offroad_seg_train.audit.similar import groups

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from offroad_seg_train.audit.duplicates import Duplicates
    from offroad_seg_train.audit.probe import Record
    from offroad_seg_train.audit.sources import Frame

    F64 = NDArray[np.float64]

ODD, ODD_REPEATED = 1.75, 1.35
"""An odd picture that occurs again and again is no chance: less is enough."""
LEAST_IMAGES = 20
_NEIGHBOURS = 3
_USUAL = 95
_BLOCK = 1024
_REASONS = 3
_LISTED = 12


@dataclass(frozen=True)
class Oddity:
    """How far one picture is from the others.

    Attributes:
        members: Frames that show it; more than one where it is repeated.
        score: See the head of this module.
        reasons: What sets it apart, the strongest first, in words with figures.
    """

    members: list[int]
    score: float
    reasons: list[str]

    @property
    def because(self) -> str:
        """The reasons in one line."""
        return "; ".join(self.reasons)


def find_oddities(records: Sequence[Record], duplicates: Duplicates, frames: Sequence[Frame]) -> list[Oddity]:
    """All pictures by how odd they are, the oddest first; none where there are too few to say what is usual."""
    shown = [i for i, r in enumerate(records) if r.image is not None and not r.image.blank]
    # Neighbours in a drive are alike without being repeated, so they stay apart.
    repeats = [(a, b) for group in duplicates.exact for a, b in pairwise(group)]
    repeats += [
        (p.first, p.second)
        for p in duplicates.alike
        if p.is_copy and not frames[p.first].is_neighbour(frames[p.second])
    ]
    grouped = groups(repeats)
    inside = {i for group in grouped for i in group}
    pictures = sorted([*grouped, *([i] for i in shown if i not in inside)])
    if len(pictures) < LEAST_IMAGES:
        return []
    traits_NF = np.array([_traits(records[members[0]]) for members in pictures], np.float64)
    z_NF = spreads(traits_NF)
    scores = isolation(z_NF)
    order = np.argsort(-scores, kind="stable")
    median_F = np.median(traits_NF, axis=0)
    return [
        Oddity(pictures[n], float(scores[n]), _reasons(z_NF[n], traits_NF[n], median_F))
        for n in order.tolist()
    ]


def spreads(traits_NF: F64) -> F64:
    """Each figure as its distance from the median in usual spreads, (N, F)."""
    apart = traits_NF - np.median(traits_NF, axis=0)
    usual_F = 1.4826 * np.median(np.abs(apart), axis=0)
    scaled: F64 = apart / np.maximum(usual_F, [t.floor for t in TRAITS])
    return scaled


def isolation(z_NF: F64) -> F64:
    """How far each point is from its nearest others, over what is usual, (N,)."""
    points_NF = 3 * np.arcsinh(z_NF / 3) * np.sqrt([t.weight for t in TRAITS])
    square_N = (points_NF**2).sum(axis=1)
    near_N = np.zeros(len(points_NF))
    for start in range(0, len(points_NF), _BLOCK):
        rows = points_NF[start : start + _BLOCK]
        apart = square_N[start : start + _BLOCK, None] + square_N[None] - 2 * rows @ points_NF.T
        apart[np.arange(len(rows)), np.arange(start, start + len(rows))] = np.inf
        nearest = np.partition(apart, _NEIGHBOURS - 1, axis=1)[:, :_NEIGHBOURS]
        near_N[start : start + _BLOCK] = np.sqrt(np.maximum(nearest, 0)).mean(axis=1)
    scores: F64 = near_N / max(float(np.percentile(near_N, _USUAL)), 1e-9)
    return scores


def _reasons(z_F: F64, traits_F: F64, median_F: F64) -> list[str]:
    strength = np.abs(z_F) * np.sqrt([t.weight for t in TRAITS])
    reasons = []
    for f in np.argsort(-strength)[:_REASONS]:
        trait = TRAITS[f]
        how = "above" if z_F[f] > 0 else "below"
        reasons.append(
            f"{trait.name} {traits_F[f]:.3g} {trait.unit}".rstrip()
            + f" (usual {median_F[f]:.3g}; {abs(z_F[f]):.1f} spreads {how})"
        )
    return reasons


def oddity_findings(
    records: Sequence[Record], oddities: Sequence[Oddity], frames: Sequence[Frame]
) -> list[Finding]:
    """What to say about blank and odd pictures."""
    repeated = [o for o in oddities if len(o.members) > 1 and o.score >= ODD_REPEATED]
    single = [o for o in oddities if len(o.members) == 1 and o.score >= ODD]
    found = [
        _blank(records, frames),
        _odd(
            "anomaly_repeated",
            repeated,
            frames,
            f"{count(len(repeated), 'odd picture')} repeated in the set",
            "Unlike all the others, and there more than once: a test card, a title, a joke, another camera.",
            sure=True,
        ),
        _odd(
            "anomaly",
            single,
            frames,
            f"{count(len(single), 'image')} unlike all the others",
            "Far from every other picture in colour, brightness, sharpness and layout. It may be a rare scene, which "
            "is worth keeping, or not belong here at all.",
            sure=False,
        ),
    ]
    return [f for f in found if f is not None]


def _traits(record: Record) -> F64:
    assert record.image is not None
    return record.image.traits.astype(np.float64)


def _blank(records: Sequence[Record], frames: Sequence[Frame]) -> Finding | None:
    bad = [(i, r.image.brightness) for i, r in enumerate(records) if r.image and r.image.blank]
    if not bad:
        return None
    return Finding(
        "image_blank",
        Severity.WARNING,
        f"{count(len(bad), 'blank image')}",
        "Black, white or one colour: a covered lens, an exposure that failed, a frame that was never filled.",
        "leave them out (the fix list names them)",
        tuple(FileNote(frames[i].pair.image, f"mean grey value {light:.0f}") for i, light in bad),
        tuple(Example((Panel(i, f"{frames[i].name}: mean grey value {light:.0f}"),)) for i, light in bad),
        tuple(Drop(frames[i].paths, "the image shows nothing") for i, _ in bad),
    )


def _odd(
    kind: str, found: list[Oddity], frames: Sequence[Frame], title: str, text: str, *, sure: bool
) -> Finding | None:
    if not found:
        return None
    files, examples, drops = [], [], []
    for oddity in found:
        times = f"{len(oddity.members)} times, " if len(oddity.members) > 1 else ""
        for i in oddity.members:
            files.append(FileNote(frames[i].pair.image, f"score {oddity.score:.2f}: {oddity.because}"))
            reason = f"unlike all other images ({times}score {oddity.score:.2f}: {oddity.reasons[0]})"
            drops.append(Drop(frames[i].paths, reason, sure))
        panels = tuple(Panel(i, frames[i].name) for i in oddity.members[:3])
        examples.append(Example(panels, f"{times}score {oddity.score:.2f}: {oddity.because}"))
    return Finding(
        kind,
        Severity.WARNING,
        title,
        f"{text} The score says how many times farther from its nearest others it is than 95 % of all images.",
        "look at them" + ("; leave them out (the fix list names them)" if sure else ""),
        tuple(files),
        tuple(examples),
        tuple(drops),
        {
            "pictures": [
                {
                    "names": [frames[i].name for i in o.members],
                    "score": round(o.score, 3),
                    "because": o.reasons,
                }
                for o in found[:_LISTED]
            ]
        },
    )
