# SPDX-License-Identifier: Apache-2.0
"""Classes that never occur, that only one part of the split has, that are rare, or whose share shifts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from offroad_seg_train.audit.finding import Finding, Severity, count, percent, some

if TYPE_CHECKING:
    from offroad_seg_train.audit.tally import Tally

_RARE_SHARE, _RARE_IMAGES = 1e-4, 3
_SHIFT = 0.25
_MOSTLY_KNOWN = 0.05
_ENOUGH_MASKS = 30


def class_findings(tally: Tally, parts: list[str]) -> list[Finding]:
    """Findings about how much there is of each class.

    Args:
        tally: Sums over all masks.
        parts: Parts of the split; the first is trained on.
    """
    # Where much is outside the ontology, what is absent says nothing.
    if not tally.masks or tally.outside > _MOSTLY_KNOWN * tally.pixels:
        return []
    found = [_absent(tally), *_one_sided(tally, parts), _rare(tally), *_shift(tally, parts)]
    return [f for f in found if f is not None]


def _absent(tally: Tally) -> Finding | None:
    names = [c.name for c in tally.ontology.classes if not tally.classes[c.id].pixels]
    if not names:
        return None
    return Finding(
        "class_absent",
        Severity.NOTE,
        f"{count(len(names), 'class', 'classes')} of {tally.ontology.n_classes} never occur: {some(names, 8)}",
        "The network spends an output on each that it never learns. Their IoU is not defined: compare by "
        "`miou_present`, and mind that weights by inverse frequency have no value for them.",
        "leave them out of the ontology, or add images that show them",
        figures={"classes": names},
    )


def _one_sided(tally: Tally, parts: list[str]) -> list[Finding | None]:
    if len(parts) < 2 or not tally.part_masks[parts[0]]:
        return []
    train, held_out = parts[0], parts[1:]

    def occurs(class_id: int, part: str) -> bool:
        return tally.classes[class_id].by_part.get(part, (0, 0))[0] > 0

    classes = [c for c in tally.ontology.classes if tally.classes[c.id].pixels]
    unseen = [c.name for c in classes if not occurs(c.id, train)]
    untested = [c.name for c in classes if not any(occurs(c.id, part) for part in held_out)]
    return [
        Finding(
            "class_never_trained",
            Severity.WARNING,
            f"{count(len(unseen), 'class', 'classes')} that {train} lacks: {some(unseen, 8)}",
            f"They occur in {' and '.join(held_out)} only: the network can never learn them, and their IoU will be 0.",
            "move images that show them to the training side",
            figures={"classes": unseen},
        )
        if unseen
        else None,
        Finding(
            "class_never_tested",
            Severity.NOTE,
            f"{count(len(untested), 'class', 'classes')} that only {train} has: {some(untested, 8)}",
            "Nobody will know how well the network does on them.",
            "hold out images that show them",
            figures={"classes": untested},
        )
        if untested
        else None,
    ]


def _rare(tally: Tally) -> Finding | None:
    if tally.masks < _ENOUGH_MASKS:
        return None
    rare = [
        (c.name, where)
        for c, where in zip(tally.ontology.classes, tally.classes, strict=True)
        if where.pixels and (tally.share(where) < _RARE_SHARE or where.images < _RARE_IMAGES)
    ]
    if not rare:
        return None
    named = [f"{name} ({percent(tally.share(w))} in {count(w.images, 'image')})" for name, w in rare]
    return Finding(
        "class_rare",
        Severity.NOTE,
        f"{count(len(rare), 'class', 'classes')} that hardly occur: {some([name for name, _ in rare], 8)}",
        f"{some(named, 8)}. Their IoU will be noise.",
        "sample the images that show them more often, or merge them into a neighbour",
        figures={"classes": [name for name, _ in rare]},
    )


def _shift(tally: Tally, parts: list[str]) -> list[Finding | None]:
    """Held-out parts whose class shares differ from those of the training side."""
    train = parts[0] if parts else ""
    if min((tally.part_masks[p] for p in parts), default=0) < _ENOUGH_MASKS:
        return []
    found: list[Finding | None] = []
    for part in parts[1:]:
        shares = [(_shares(tally, i, train), _shares(tally, i, part)) for i in range(len(tally.classes))]
        distance = sum(abs(a - b) for a, b in shares) / 2
        if distance < _SHIFT:
            continue
        worst = sorted(range(len(shares)), key=lambda i: -abs(shares[i][0] - shares[i][1]))[:3]
        named = [
            f"{tally.ontology.names[i]} {percent(shares[i][0])} against {percent(shares[i][1])}"
            for i in worst
        ]
        found.append(
            Finding(
                "share_shift",
                Severity.NOTE,
                f"{part} holds other classes than {train}: {percent(distance)} of its pixels would have to change",
                f"{', '.join(named)}. Figures on {part} say little about places like those in {train}.",
                "no harm where it is meant, as for another site or season",
                figures={"part": part, "distance": round(distance, 4)},
            )
        )
    return found


def _shares(tally: Tally, class_id: int, part: str) -> float:
    labelled = sum(where.by_part.get(part, (0, 0))[0] for where in tally.classes)
    return tally.classes[class_id].by_part.get(part, (0, 0))[0] / labelled if labelled else 0.0
