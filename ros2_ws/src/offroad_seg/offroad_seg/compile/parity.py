# SPDX-License-Identifier: Apache-2.0
"""What two forms of one network say of the same pictures, counted: the measurement that a gate judges.

Only pixels that show the picture count; the letterbox's padding does not.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from offroad_seg.types import OOD_THRESHOLD, UNLABELLED

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from numpy.typing import NDArray

    from offroad_seg.compile.gate_images import GateImage, GateImages
    from offroad_seg.engines.base import EngineOutput

    U8 = NDArray[np.uint8]
    I64 = NDArray[np.int64]

MIN_CLASS_PIXELS = 1000
"""A class with fewer pixels is shown, not judged: ten pixels of it would be a change of 0.01."""

_IDS = 256  # every value of a label
_KEPT_FRAMES = 4


class Frame(NamedTuple):
    """One picture and what both said of it, kept to be looked at.

    Attributes:
        name: The picture's.
        image_HWC: Its pixels, without padding.
        expected_HW: uint8 labels of the reference.
        found_HW: uint8 labels of the candidate.
        agreement: Part of the pixels with the same label.
    """

    name: str
    image_HWC: U8
    expected_HW: U8
    found_HW: U8
    agreement: float


class ClassChange(NamedTuple):
    """What became of one class.

    Attributes:
        name: The class.
        pixels: Of the truth; without masks, of reference or candidate.
        iou_reference: IoU of the reference with the truth; 1 where there are no masks.
        iou_candidate: IoU of the candidate with the truth; with the reference where there are no masks.
        change: ``iou_candidate`` − ``iou_reference``.
        judged: Whether it has pixels enough to be judged.
    """

    name: str
    pixels: int
    iou_reference: float
    iou_candidate: float
    change: float
    judged: bool


@dataclass
class Parity:
    """What the comparison of one candidate measured.

    Attributes:
        candidate: What was compared with the reference.
        source: As ``GateImages.source``.
        names: Class names, in the order of their ids.
        images: Number of images.
        pixels: Number of pixels.
        agreement: Part of pixels with the same label.
        worst_agreement: The same for the worst image.
        worst_image: Its name.
        max_confidence_difference: Greatest difference of the confidence, 0–1.
        ood_agreement: Part of pixels on which both say in, or out of, distribution; None without that output.
        ood_counts: int64 (256,): pixels by the candidate's OOD score; None without that output.
        not_finite: Images on which a logit was not finite.
        by_image: Name → part of pixels with the same label.
        frames: The worst images, the worst first.
        pairs_NN: int64 (256, 256): pixels by label of the reference (row) and of the candidate (column).
        truth_pairs: The same with the truth as row, for the reference and for the candidate; None without masks.
        images_sha256: ``GateImages.digest``.
    """

    candidate: str
    source: str
    names: list[str] = field(default_factory=list)
    images: int = 0
    pixels: int = 0
    agreement: float = 0.0
    worst_agreement: float = 1.0
    worst_image: str = ""
    max_confidence_difference: float = 0.0
    ood_agreement: float | None = None
    ood_counts: I64 | None = None
    not_finite: list[str] = field(default_factory=list)
    by_image: dict[str, float] = field(default_factory=dict)
    frames: list[Frame] = field(default_factory=list)
    pairs_NN: I64 = field(default_factory=lambda: np.zeros((_IDS, _IDS), np.int64))
    truth_pairs: tuple[I64, I64] | None = None
    images_sha256: str = ""

    @property
    def differing(self) -> Counter[tuple[int, int]]:
        """(Reference label, candidate label) → pixels, where they differ."""
        rows, columns = np.nonzero(self.pairs_NN - np.diag(np.diagonal(self.pairs_NN)))
        return Counter(
            {(int(a), int(b)): int(self.pairs_NN[a, b]) for a, b in zip(rows, columns, strict=True)}
        )

    def class_changes(self) -> list[ClassChange]:
        """What became of each class that occurs, the worst change first."""
        changes = []
        for index, name in enumerate(self.names):
            if self.truth_pairs is None:
                pixels, found = _iou(self.pairs_NN, index)
                expected = 1.0
                if pixels == 0:
                    continue
            else:
                pixels = int(self.truth_pairs[0][index].sum())
                (seen, expected), (claimed, found) = (_iou(m, index) for m in self.truth_pairs)
                if pixels == 0 and seen == claimed == 0:
                    continue
            judged = pixels >= MIN_CLASS_PIXELS
            changes.append(ClassChange(name, pixels, expected, found, found - expected, judged))
        return sorted(changes, key=lambda c: -abs(c.change))

    def foreign_labels(self) -> list[int]:
        """Labels that the candidate or the reference gave and that no class has."""
        given = np.nonzero(self.pairs_NN.sum(0) + self.pairs_NN.sum(1))[0]
        return [int(label) for label in given if label >= len(self.names)]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for the manifest."""
        changes = self.class_changes()
        worst = next((c for c in changes if c.judged), None)
        return {
            "images": self.images,
            "source": self.source,
            "images_sha256": self.images_sha256,
            "pixels": self.pixels,
            "agreement": round(self.agreement, 7),
            "worst_agreement": round(self.worst_agreement, 7),
            "worst_image": self.worst_image,
            "max_confidence_difference": round(self.max_confidence_difference, 4),
            "ood_agreement": None if self.ood_agreement is None else round(self.ood_agreement, 7),
            "iou_against": "reference" if self.truth_pairs is None else "truth",
            "worst_class": None if worst is None else worst.name,
            "worst_iou_change": None if worst is None else round(worst.change, 5),
            "iou_change": {c.name: round(c.change, 5) for c in changes},
        }


def compare(
    candidate: str,
    reference: Callable[[U8], EngineOutput],
    infer: Callable[[U8], EngineOutput],
    images: GateImages,
    progress: Callable[[Iterable[GateImage]], Iterable[GateImage]] = iter,
    *,
    names: Sequence[str],
) -> Parity:
    """Run both over all images and count where they differ.

    Args:
        candidate: Name of the one that is judged.
        reference: uint8 (1, H, W, 3) → what is right.
        infer: The same for the candidate.
        images: What to run.
        progress: Wraps the list of images, to show how far it is.
        names: Class names, in the order of their ids.
    """
    parity = Parity(candidate, images.source, list(names), images_sha256=images.digest())
    if images.has_truth:
        parity.truth_pairs = (np.zeros((_IDS, _IDS), np.int64), np.zeros((_IDS, _IDS), np.int64))
    ood_equal = 0
    for image in progress(images.images):
        expected = reference(image.image_HWC[None])
        # Engines reuse their arrays; where both are one engine the second call must not change the first's.
        labels_HW = expected.labels_BHW[0][image.inside].copy()
        confidence_HW = expected.confidence_BHW[0][image.inside].astype(np.int16)
        ood_HW = None if expected.ood_BHW is None else expected.ood_BHW[0][image.inside] >= OOD_THRESHOLD
        finite = bool(np.isfinite(expected.mean_confidence_B).all())
        found = infer(image.image_HWC[None])
        if not (finite and np.isfinite(found.mean_confidence_B).all()):
            parity.not_finite.append(image.name)
        _count(parity, image, labels_HW, found.labels_BHW[0][image.inside])
        difference = float(np.abs(confidence_HW - found.confidence_BHW[0][image.inside]).max()) / 255
        parity.max_confidence_difference = max(parity.max_confidence_difference, difference)
        if ood_HW is not None and found.ood_BHW is not None:
            found_HW = found.ood_BHW[0][image.inside]
            ood_equal += np.count_nonzero(ood_HW == (found_HW >= OOD_THRESHOLD))
            parity.ood_agreement = ood_equal / parity.pixels
            counts = np.bincount(found_HW.ravel(), minlength=_IDS).astype(np.int64)
            parity.ood_counts = counts if parity.ood_counts is None else parity.ood_counts + counts
    if parity.pixels:
        parity.agreement = float(np.trace(parity.pairs_NN)) / parity.pixels
        parity.worst_image = min(parity.by_image, key=lambda name: parity.by_image[name])
        parity.worst_agreement = parity.by_image[parity.worst_image]
    return parity


def _count(parity: Parity, image: GateImage, expected_HW: U8, found_HW: U8) -> None:
    parity.images += 1
    parity.pixels += expected_HW.size
    parity.pairs_NN += _pairs(expected_HW, found_HW)
    agreement = float(np.count_nonzero(expected_HW == found_HW)) / expected_HW.size
    parity.by_image[image.name] = agreement
    if agreement < 1.0 or image.name in parity.not_finite:
        frame = Frame(image.name, image.image_HWC[image.inside], expected_HW, found_HW.copy(), agreement)
        parity.frames = sorted([*parity.frames, frame], key=lambda f: f.agreement)[:_KEPT_FRAMES]
    if parity.truth_pairs is not None:
        assert image.truth_HW is not None
        truth_HW = image.truth_HW[image.inside]
        known = truth_HW != UNLABELLED
        for matrix, labels_HW in zip(parity.truth_pairs, (expected_HW, found_HW), strict=True):
            matrix += _pairs(truth_HW[known], labels_HW[known])


def _pairs(rows: U8, columns: U8) -> I64:
    flat = rows.astype(np.int64).ravel() * _IDS + columns.ravel()
    return np.bincount(flat, minlength=_IDS * _IDS).reshape(_IDS, _IDS).astype(np.int64)


def _iou(matrix: I64, index: int) -> tuple[int, float]:
    """Pixels of the union of row and column, and the IoU; 1 where there are none, as nothing is wrong then."""
    hits = int(matrix[index, index])
    union = int(matrix[index].sum() + matrix[:, index].sum()) - hits
    return union, hits / union if union else 1.0
