# SPDX-License-Identifier: Apache-2.0
"""What an audit says: findings with a severity, the files that they concern, and pictures to look at."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum
from typing import TYPE_CHECKING, Any, NamedTuple

from offroad_seg.ontology_palette import unpack

if TYPE_CHECKING:
    from pathlib import Path


class Severity(IntEnum):
    """How bad a finding is; ``--fail-on`` compares."""

    NOTE = 0
    WARNING = 1
    ERROR = 2

    @property
    def word(self) -> str:
        """``note``, ``warning`` or ``error``."""
        return self.name.lower()


class MaskValue(NamedTuple):
    """A value that masks hold: a raw number, or a colour packed as red << 16 | green << 8 | blue."""

    code: int
    is_color: bool = False

    @property
    def label(self) -> str:
        """As people write it: ``550``, or ``(128, 64, 0)``."""
        return str(unpack(self.code)) if self.is_color else str(self.code)


@dataclass(frozen=True)
class FileNote:
    """One file of a finding.

    Attributes:
        path: The file.
        detail: What is the matter with it; empty where the finding says it all.
    """

    path: Path
    detail: str = ""


@dataclass(frozen=True)
class Panel:
    """One picture of an example.

    Attributes:
        item: Index into the audited frames.
        caption: Below the picture.
        view: ``pair`` (image and mask side by side), ``image``, ``mask``, or ``values`` (the image, with the pixels of
            some values marked).
        values: What to mark, where ``view`` is ``values``.
    """

    item: int
    caption: str
    view: str = "pair"
    values: tuple[MaskValue, ...] = ()


@dataclass(frozen=True)
class Example:
    """Pictures that belong together, such as the two sides of a duplicate."""

    panels: tuple[Panel, ...]
    title: str = ""


@dataclass(frozen=True)
class Drop:
    """Files that a data set is better without.

    Attributes:
        paths: Image and mask of one frame, or a file alone.
        reason: Why, in one line.
        sure: False where a person must look first: the fix list then names them in a comment only.
    """

    paths: tuple[Path, ...]
    reason: str
    sure: bool = True


@dataclass(frozen=True)
class Finding:
    """One thing that the audit found.

    Attributes:
        kind: Stable name, for programs.
        severity: How bad it is.
        title: One line with the figures that matter.
        text: What it means.
        mend: What to do about it.
        files: Files that it concerns; all of them.
        examples: Pictures, the most telling first.
        drops: What to leave out of the data set.
        figures: For programs: whatever the title and text are made of.
    """

    kind: str
    severity: Severity
    title: str
    text: str = ""
    mend: str = ""
    files: tuple[FileNote, ...] = ()
    examples: tuple[Example, ...] = ()
    drops: tuple[Drop, ...] = ()
    figures: dict[str, Any] = field(default_factory=dict)


def count(number: int, one: str, many: str = "") -> str:
    """A number and its noun: ``1 image``, ``1,200 images``."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def percent(share: float) -> str:
    """A share for people: three figures, and 0 or 100 only where it is exactly that."""
    value = 100 * share
    if value in (0, 100):
        return f"{value:.0f} %"
    if value < 0.01:
        return "< 0.01 %"
    digits = 1 if value >= 10 else 2
    return f"{value:.{digits}f} %" if value < 99.95 else "> 99.9 %"


def some(names: list[str], listed: int = 5) -> str:
    """The first few names, and how many more there are."""
    more = f" and {len(names) - listed} more" if len(names) > listed else ""
    return ", ".join(names[:listed]) + more
