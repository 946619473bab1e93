# SPDX-License-Identifier: Apache-2.0
"""The gate between two forms of one network: they must give the same labels, and nothing that is not finite."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from offroad_seg.compile.images import list_images, read_image
from offroad_seg.errors import GateError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from offroad_seg.engines.base import EngineOutput
    from offroad_seg.image import Letterbox

    U8 = NDArray[np.uint8]

# Least part of pixels whose label must agree.
MIN_AGREEMENT = {"fp32": 0.999, "fp16": 0.99}
MAX_IMAGES = 16
_ROWS = 6
_SEED = 20240


@dataclass(frozen=True)
class GateImages:
    """Letterboxed images for a gate.

    Attributes:
        images: Name and pixels, uint8 (H, W, 3).
        source: ``real`` or ``synthetic``: figures on noise say less, so manifests and logs say which it was.
    """

    images: list[tuple[str, U8]]
    source: str


@dataclass
class Parity:
    """What the comparison of one candidate measured.

    Attributes:
        candidate: What was compared with the reference.
        images: Number of images.
        source: As ``GateImages.source``.
        pixels: Number of pixels.
        agreement: Part of pixels with the same label.
        worst_agreement: The same for the worst image.
        worst_image: Its name.
        max_confidence_difference: Greatest difference of the confidence, 0–1.
        not_finite: Images on which a logit was not finite.
        differing: (reference label, candidate label) → pixels.
    """

    candidate: str
    source: str
    images: int = 0
    pixels: int = 0
    agreement: float = 0.0
    worst_agreement: float = 1.0
    worst_image: str = ""
    max_confidence_difference: float = 0.0
    not_finite: list[str] = field(default_factory=list)
    differing: Counter[tuple[int, int]] = field(default_factory=Counter)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for the manifest."""
        return {
            "images": self.images,
            "source": self.source,
            "pixels": self.pixels,
            "agreement": round(self.agreement, 7),
            "worst_agreement": round(self.worst_agreement, 7),
            "worst_image": self.worst_image,
            "max_confidence_difference": round(self.max_confidence_difference, 4),
        }


def gate_images(folder: Path | None, letterbox: Letterbox, count: int = MAX_IMAGES) -> GateImages:
    """Images for a gate: evenly chosen from a folder, else drawn.

    Args:
        folder: Real images, also in subfolders; None draws a synthetic set.
        letterbox: Network size.
        count: At most so many.

    Raises:
        ImageError: The folder holds no image, or a chosen one cannot be read.
    """
    if folder is None:
        return GateImages(list(_synthetic(letterbox.height, letterbox.width, min(count, 8))), "synthetic")
    paths = list_images(folder)
    chosen = [
        paths[i] for i in sorted(set(np.linspace(0, len(paths) - 1, count).round().astype(int).tolist()))
    ]
    named = [(p.relative_to(folder).as_posix(), letterbox.apply(read_image(p))) for p in chosen]
    return GateImages(named, "real")


def compare(
    candidate: str,
    reference: Callable[[U8], EngineOutput],
    infer: Callable[[U8], EngineOutput],
    images: GateImages,
    progress: Callable[[Iterable[tuple[str, U8]]], Iterable[tuple[str, U8]]] = iter,
) -> Parity:
    """Run both over all images and count where they differ.

    Args:
        candidate: Name of the one that is judged.
        reference: uint8 (1, H, W, 3) → what is right.
        infer: The same for the candidate.
        images: What to run.
        progress: Wraps the list of images, to show how far it is.
    """
    parity = Parity(candidate, images.source)
    equal = 0
    for name, image_HWC in progress(images.images):
        expected = reference(image_HWC[None])
        # Engines reuse their arrays; where both are one engine the second call must not change the first's.
        labels, confidence = expected.labels_BHW.copy(), expected.confidence_BHW.astype(np.int16)
        finite = bool(np.isfinite(expected.mean_confidence_B).all())
        found = infer(image_HWC[None])
        if not (finite and np.isfinite(found.mean_confidence_B).all()):
            parity.not_finite.append(name)
        same = int(np.count_nonzero(labels == found.labels_BHW))
        _count_differences(parity, labels, found.labels_BHW)
        difference = float(np.abs(confidence - found.confidence_BHW).max()) / 255
        parity.max_confidence_difference = max(parity.max_confidence_difference, difference)
        parity.images += 1
        parity.pixels += labels.size
        equal += same
        if same / labels.size <= parity.worst_agreement:
            parity.worst_agreement, parity.worst_image = same / labels.size, name
    parity.agreement = equal / parity.pixels if parity.pixels else 0.0
    return parity


def require(
    parities: Sequence[Parity], precision: str, names: Sequence[str], *, where: str, mend: str
) -> None:
    """The gate itself.

    Args:
        parities: What was measured.
        precision: Chooses the limit from ``MIN_AGREEMENT``.
        names: Class names, for the table.
        where: What is being made, for the message.
        mend: What the user can do.

    Raises:
        GateError: Labels agree on too few pixels, or something was not finite; the message is a table.
    """
    limit = MIN_AGREEMENT[precision]
    failed = [p for p in parities if p.not_finite or not p.agreement >= limit]
    if not failed:
        return
    rows = [line for p in failed for line in _table(p, limit, names)]
    raise GateError("the parity gate refused the result\n    " + "\n    ".join(rows), where=where, mend=mend)


def _count_differences(parity: Parity, expected: U8, found: U8) -> None:
    differ = expected != found
    pairs = expected[differ].astype(np.int64) * 256 + found[differ]
    values, counts = np.unique(pairs, return_counts=True)
    for value, count in zip(values.tolist(), counts.tolist(), strict=True):
        parity.differing[divmod(value, 256)] += count


def _table(parity: Parity, limit: float, names: Sequence[str]) -> list[str]:
    def called(index: int) -> str:
        return names[index] if index < len(names) else f"id {index}"

    headline = (
        f"{parity.candidate}: {parity.agreement:.4%} of {parity.pixels} pixels agree (limit {limit:.1%}); "
        f"worst image {parity.worst_image} {parity.worst_agreement:.4%}; "
        f"confidence differs by up to {parity.max_confidence_difference:.3f}"
    )
    lines = [headline]
    if parity.not_finite:
        lines.append(
            f"  not finite on {len(parity.not_finite)} images: {', '.join(parity.not_finite[:_ROWS])}"
        )
    lines += [
        f"  {called(a):>18} → {called(b):<18} {count} pixels"
        for (a, b), count in parity.differing.most_common(_ROWS)
    ]
    return lines


def _synthetic(height: int, width: int, count: int) -> Iterator[tuple[str, U8]]:
    """Seeded pictures with structure at every scale, from haze to grain."""
    import cv2

    random = np.random.default_rng(_SEED)
    for index in range(count):
        picture = np.zeros((height, width, 3), np.float32)
        for scale in (2, 5, 16, 64):
            grid = random.random((max(2, height // scale), max(2, width // scale), 3), np.float32)
            picture += cv2.resize(grid, (width, height), interpolation=cv2.INTER_CUBIC) * scale**0.5
        low, high = picture.min(), picture.max()
        yield f"synthetic_{index}", ((picture - low) / (high - low) * 255).astype(np.uint8)
