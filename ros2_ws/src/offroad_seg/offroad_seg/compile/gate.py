# SPDX-License-Identifier: Apache-2.0
"""The gate: what a form of a network must hold to be shipped, and the table that says where it does not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from offroad_seg.errors import GateError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from offroad_seg.compile.parity import ClassChange, Parity

_ROWS = 8


@dataclass(frozen=True)
class Limits:
    """What is asked of an engine.

    Attributes:
        agreement: Least part of pixels whose label must be the reference's.
        iou_change: Greatest change of the IoU with the masks, of any class that has pixels enough to be judged.
        iou_loss: Where there are no masks: how much the IoU of a class, as the engine sees it, with the same class as
            the reference sees it may lack to 1. Labels that flip where the network was unsure all along, along the
            edges of classes, count here, and change little against the truth.
    """

    agreement: float
    iou_change: float
    iou_loss: float

    def iou(self, parity: Parity) -> float:
        """The limit of the class IoU that holds for a measurement."""
        return self.iou_loss if parity.truth_pairs is None else self.iou_change


LIMITS = {
    "fp32": Limits(0.999, 0.01, 0.01),
    "fp16": Limits(0.995, 0.01, 0.01),
    "int8": Limits(0.98, 0.03, 0.15),
}


def failures(parity: Parity, limits: Limits) -> list[str]:
    """What a candidate does not hold, a sentence each; empty where it passes."""
    found = []
    if parity.not_finite:
        listed = ", ".join(parity.not_finite[:_ROWS])
        found.append(f"not finite on {len(parity.not_finite)} of {parity.images} images: {listed}")
    if foreign := parity.foreign_labels():
        found.append(
            f"the network gives class {', '.join(map(str, foreign[:_ROWS]))}, and the ontology names only "
            f"{len(parity.names)} classes"
        )
    if not parity.agreement >= limits.agreement:
        found.append(f"{parity.agreement:.4%} of {parity.pixels} pixels agree (limit {limits.agreement:.1%})")
    if parity.ood_agreement is not None and not parity.ood_agreement >= limits.agreement:
        found.append(
            f"{parity.ood_agreement:.4%} of the pixels agree on what is out of distribution "
            f"(limit {limits.agreement:.1%})"
        )
    found.extend(
        f"IoU of class {change.name} changes by {change.change:+.4f} (limit {limits.iou(parity)})"
        for change in parity.class_changes()
        if change.judged and not abs(change.change) <= limits.iou(parity)
    )
    return found


def require(parities: Sequence[Parity], precision: str, *, where: str, mend: str) -> None:
    """Refuse candidates that do not hold what their precision asks.

    Args:
        parities: What was measured.
        precision: Chooses the limits.
        where: What is being made, for the message.
        mend: What the user can do.

    Raises:
        GateError: One does not hold its limits; the message is a table of what differs.
    """
    lines: list[str] = []
    for parity in parities:
        if found := failures(parity, LIMITS[precision]):
            lines += [f"{parity.candidate}: {text}" for text in found] + table(parity)
    if lines:
        raise GateError("the gate refused the result\n    " + "\n    ".join(lines), where=where, mend=mend)


def table(parity: Parity, rows: int = _ROWS) -> list[str]:
    """What differed: by class, by image, and what was taken for what."""
    if not parity.pixels:
        return []
    headline = (
        f"worst image {parity.worst_image} {parity.worst_agreement:.4%}; confidence differs by up to "
        f"{parity.max_confidence_difference:.3f}"
    )
    lines = [headline, *_class_table(parity, rows)]
    worst = sorted(parity.by_image.items(), key=lambda item: item[1])[:rows]
    width = max(len(name) for name, _ in worst)
    lines += ["", f"{'image':<{width}}  {'agree':>9}"]
    lines += [f"{name:<{width}}  {agreement:>9.4%}" for name, agreement in worst]
    if pairs := parity.differing.most_common(rows):
        lines += ["", f"{'reference':>18}   {'engine':<18}  pixels"]
        lines += [
            f"{_called(a, parity.names):>18} → {_called(b, parity.names):<18}  {n}" for (a, b), n in pairs
        ]
    return lines


def _class_table(parity: Parity, rows: int) -> list[str]:
    changes = parity.class_changes()[:rows]
    if not changes:
        return []
    against = "the reference" if parity.truth_pairs is None else "the masks"
    width = max(len("class"), *(len(c.name) for c in changes))
    head = f"{'class':<{width}}  {'pixels':>9}  {'reference':>9}  {'engine':>9}  {'change':>8}   IoU with {against}"
    return ["", head, *(_class_row(c, width) for c in changes)]


def _class_row(change: ClassChange, width: int) -> str:
    return (
        f"{change.name:<{width}}  {change.pixels:>9}  {change.iou_reference:>9.4f}  {change.iou_candidate:>9.4f}  "
        f"{change.change:>+8.4f}" + ("" if change.judged else "   too few pixels to be judged")
    )


def _called(index: int, names: Sequence[str]) -> str:
    return names[index] if index < len(names) else f"id {index}"
