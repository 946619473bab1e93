# SPDX-License-Identifier: Apache-2.0
"""One pass over a data set that finds everything wrong with it before hours of training do.

``train`` runs it first. It decodes every mask, checks every image's container and size, and reports all problems
together, each kind in one line with the files that have it.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from offroad_seg.compile.images import read_image, read_whole
from offroad_seg.errors import DataError, ImageError, OntologyError
from offroad_seg.ontology_palette import unpack
from offroad_seg_train.data.layouts import scan, unpaired
from offroad_seg_train.data.reading import (
    EIGHT_BIT,
    EIGHT_BIT_MEND,
    LOSSY_MEND,
    count_ids,
    encode_mask,
    is_large,
    looks_lossy,
    needs_16_bit,
    open_picture,
    read_mask,
    snap_advice,
    snap_mask,
    unknown_values,
)
from offroad_seg_train.data.threads import in_threads, one_at_a_time

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from offroad_seg.ontology import Ontology
    from offroad_seg_train.data.layouts import Pair

_LISTED = 5
_VALUES_LISTED = 24
_EXIF_ORIENTATION = 0x0112
_TURNED = {5, 6, 7, 8}
# Their containers are checked without decoding; other formats are decoded to see whether they are whole.
_CHECKED_BY_CONTAINER = (".png", ".jpg", ".jpeg")


@dataclass(frozen=True)
class DatasetCheck:
    """What a clean data set holds.

    Attributes:
        pairs: Labelled images in order of name.
        class_pixels_N: int64 pixels of each class in the masks as they lie on disk, shape (N,).
        unlabelled_pixels: Pixels that carry no class.
    """

    pairs: list[Pair]
    class_pixels_N: NDArray[np.int64]
    unlabelled_pixels: int


@dataclass
class Finding:
    """What one pair showed.

    Attributes:
        size: (height, width) of image and mask; None where they could not be read or differ.
        ids_256: int64 pixels of each label value, shape (256,); None where the mask cannot be used.
        unknown: Mask values, or colours as red << 16 | green << 8 | blue, that are not in the ontology → pixels.
        are_colors: They are colours.
        lossy: They look like lossy compression.
        problems: What is wrong beside that: (kind, detail).
    """

    size: tuple[int, int] | None = None
    ids_256: NDArray[np.int64] | None = None
    unknown: dict[int, int] = field(default_factory=dict)
    are_colors: bool = False
    lossy: bool = False
    problems: list[tuple[str, str]] = field(default_factory=list)

    @property
    def is_clean(self) -> bool:
        """Whether the pair can be used."""
        return not (self.problems or self.unknown)


def check_dataset(
    layout: str, root: str | Path, ontology: Ontology, *, show_progress: bool = True
) -> DatasetCheck:
    """Check a whole data set.

    Args:
        layout: A name from ``LAYOUTS``, or ``auto``.
        root: The data folder.
        ontology: What the mask values mean.
        show_progress: Show a bar.

    Raises:
        DataError: Something is wrong; all problems are listed, each with the files that have it.
    """
    found = scan(layout, root)
    findings = check_pairs(found.pairs, ontology, show_progress=show_progress)
    problems = unpaired(found) + describe(found.pairs, findings, ontology)
    if problems:
        listed = "".join(f"\n  - {p}" for p in problems)
        raise DataError(
            f"the data set cannot be used as it is:{listed}",
            where=str(root),
            mend=mend(findings, ontology),
        )
    ids_256 = sum((f.ids_256 for f in findings if f.ids_256 is not None), np.zeros(256, np.int64))
    return DatasetCheck(
        pairs=found.pairs,
        class_pixels_N=ids_256[: ontology.n_classes],
        unlabelled_pixels=int(ids_256[-1]),
    )


def class_pixel_counts(
    pairs: Sequence[Pair], ontology: Ontology, *, show_progress: bool = False
) -> NDArray[np.int64]:
    """Pixels of each class in the masks of some pairs, int64, shape (N,): what class weights are made from.

    Raises:
        DataError: A mask cannot be used; all problems are listed.
    """
    findings = check_pairs(pairs, ontology, show_progress=show_progress)
    if problems := describe(pairs, findings, ontology):
        raise DataError("; ".join(problems), mend=mend(findings, ontology))
    counts = sum((f.ids_256 for f in findings if f.ids_256 is not None), np.zeros(256, np.int64))
    return counts[: ontology.n_classes]


def check_pairs(
    pairs: Sequence[Pair], ontology: Ontology, *, snap: int = 0, show_progress: bool = True
) -> list[Finding]:
    """Look at each pair: whether its files are whole, of one size, and hold only what the ontology knows.

    Args:
        pairs: The pairs.
        ontology: What the mask values mean.
        snap: See ``snap_mask``; 0 takes colours as they are.
        show_progress: Show a bar.
    """

    def check(pair: Pair) -> Finding:
        return _check_pair(pair, ontology, snap)

    return in_threads(check, pairs, what="checking data", unit="pair", show=show_progress)


def _check_pair(pair: Pair, ontology: Ontology, snap: int) -> Finding:
    with one_at_a_time(is_large(pair.image) or is_large(pair.mask)):
        return _look_at(pair, ontology, snap)


def _look_at(pair: Pair, ontology: Ontology, snap: int) -> Finding:
    finding = Finding()
    size = None
    try:
        size = _image_size(pair.image)
    except ImageError as error:
        finding.problems.append(("images that cannot be read", f"{_short(pair.image)}: {error.what}"))
    try:
        raw = read_mask(pair.mask, colors=ontology.has_palette)
    except DataError as error:
        finding.problems.append(("masks that cannot be read", f"{_short(pair.mask)}: {error.what}"))
        return finding
    if size is not None and raw.shape[:2] != size:
        detail = f"{pair.name} (image {size[1]}×{size[0]}, mask {raw.shape[1]}×{raw.shape[0]})"
        finding.problems.append(("image and mask of different sizes", detail))
    elif size is not None:
        finding.size = size
    if raw.ndim == 2 and raw.dtype == np.uint8 and needs_16_bit(ontology):
        finding.problems.append((EIGHT_BIT, _short(pair.mask)))
        return finding
    raw = snap_mask(raw, ontology, snap)
    try:
        ids_HW = encode_mask(raw, ontology, pair.mask)
        finding.ids_256 = count_ids(ids_HW)
    except OntologyError:
        _name_unknown(finding, raw, ontology, pair.mask)
    return finding


def _name_unknown(finding: Finding, raw: NDArray[np.generic], ontology: Ontology, path: Path) -> None:
    try:
        finding.unknown = unknown_values(raw, ontology)
        finding.are_colors = raw.ndim == 3
        finding.lossy = finding.are_colors and looks_lossy(finding.unknown, path)
    except OntologyError as error:
        finding.problems.append((error.what, _short(path)))


def describe(pairs: Sequence[Pair], findings: Sequence[Finding], ontology: Ontology) -> list[str]:
    """A sentence for each kind of problem, with the files that have it; none where all is well."""
    kinds: dict[str, list[str]] = {}
    for finding in findings:
        for kind, detail in finding.problems:
            kinds.setdefault(kind, []).append(detail)
    sentences = [f"{kind}: {len(details)} — {_some(details)}" for kind, details in kinds.items()]
    return sentences + _unknown_values(pairs, findings, ontology)


def _unknown_values(pairs: Sequence[Pair], findings: Sequence[Finding], ontology: Ontology) -> list[str]:
    """Sentences that name values and colours that the ontology does not know."""
    sentences = []
    for are_colors in (False, True):
        pixels: Counter[int] = Counter()
        files: dict[int, list[str]] = {}
        for pair, finding in zip(pairs, findings, strict=True):
            if finding.are_colors is not are_colors:
                continue
            pixels.update(finding.unknown)
            for value in finding.unknown:
                files.setdefault(value, []).append(_short(pair.mask))
        if not pixels:
            continue
        # Lossy compression makes thousands of values: the commonest say enough.
        shown = sorted(value for value, _ in pixels.most_common(_VALUES_LISTED))
        values = ", ".join(
            f"{unpack(v) if are_colors else v} ({pixels[v]} pixels in {len(files[v])} files)" for v in shown
        )
        more = f" and {len(pixels) - len(shown)} more" if len(pixels) > len(shown) else ""
        what = "colours" if are_colors else "values"
        names = _some(sorted({name for listed in files.values() for name in listed}))
        sentences.append(f"mask {what} that are not in ontology {ontology.name}: {values}{more} — {names}")
    return sentences


def mend(findings: Sequence[Finding], ontology: Ontology) -> str:
    """What to do about the worst of the problems."""
    if any(kind == EIGHT_BIT for f in findings for kind, _ in f.problems):
        return EIGHT_BIT_MEND
    if any(f.lossy for f in findings):
        return LOSSY_MEND
    if any(f.unknown for f in findings):
        advice = (
            "choose the ontology that fits the masks, or add what is missing to a class or to what is ignored"
        )
        advice += snap_advice({v for f in findings if f.are_colors for v in f.unknown}, ontology)
        known = sorted({v for c in ontology.classes for v in c.raw} | set(ontology.ignore))
        return f"{advice} (it knows {', '.join(map(str, known))})" if known else advice
    return "mend or remove these files"


def _image_size(path: Path) -> tuple[int, int]:
    """(height, width) as ``read_image`` would give it; PNG and JPEG are not decoded for it.

    Raises:
        ImageError: The image is missing, damaged, or no picture.
    """
    if path.suffix.lower() not in _CHECKED_BY_CONTAINER:
        height, width, _ = read_image(path).shape
        return height, width
    data = read_whole(path)
    try:
        with open_picture(data, path) as picture:
            width, height = picture.size
            turned = picture.getexif().get(_EXIF_ORIENTATION) in _TURNED
    except (OSError, ValueError, SyntaxError, EOFError):
        raise ImageError("this is not a picture that can be read", where=str(path)) from None
    return (width, height) if turned else (height, width)


def _short(path: Path) -> str:
    return f"{path.parent.name}/{path.name}"


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return ", ".join(names[:_LISTED]) + more
