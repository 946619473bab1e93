# SPDX-License-Identifier: Apache-2.0
"""How data sets lie on disk: which image belongs to which mask. ``docs/data.md`` has a table of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from offroad_seg.errors import DataError, InputError
from offroad_seg.ontology import Ontology, load_ontology
from offroad_seg_train.data.layouts.aerial import AEROSCAPES, POTSDAM, RESCUENET
from offroad_seg_train.data.layouts.base import Layout, Pair, Scan
from offroad_seg_train.data.layouts.generic import GENERIC, own_ontology, says_its_ontology
from offroad_seg_train.data.layouts.mars import AI4MARS
from offroad_seg_train.data.layouts.offroad import DUALITY, RELLIS3D, RUGD, YCOR
from offroad_seg_train.data.layouts.survey import Survey, survey

if TYPE_CHECKING:
    from pathlib import Path

__all__ = [
    "LAYOUTS",
    "Layout",
    "Pair",
    "Scan",
    "data_ontology",
    "find_layout",
    "guess_layout",
    "list_pairs",
    "own_ontology",
    "scan",
    "unpaired",
]

LAYOUTS = {
    layout.name: layout
    for layout in (DUALITY, YCOR, RUGD, RELLIS3D, AI4MARS, RESCUENET, AEROSCAPES, POTSDAM, GENERIC)
}
_LISTED = 8


def guess_layout(root: str | Path) -> str:
    """The layout that a data folder has.

    Raises:
        DataError: There is no such folder, or it looks like none of ``LAYOUTS``, or like several.
    """
    return _guess(survey(root)).name


def find_layout(name: str, root: str | Path) -> Layout:
    """The layout of that name; ``auto`` looks at the folder.

    Raises:
        InputError: There is no such layout.
        DataError: As ``guess_layout``.
    """
    return _guess(survey(root)) if name == "auto" else _named(name)


def scan(layout: str, root: str | Path) -> Scan:
    """What a data folder holds, paired or not.

    Args:
        layout: A name from ``LAYOUTS``, or ``auto``.
        root: The data folder.

    Raises:
        InputError: There is no such layout.
        DataError: The folder, or one that the layout needs, is missing or empty.
    """
    kind = None if layout == "auto" else _named(layout)
    found = survey(root)
    kind = kind or _guess(found)
    try:
        result = kind.scan(found)
    except DataError as error:
        others = [other.name for other in _fitting(found) if other is not kind]
        hint = f"the folder looks like layout {others[0]}" if others else f"{kind.name}: {kind.looks_like}"
        raise DataError(error.what, where=error.where, mend=error.mend or hint) from None
    if not (result.pairs or result.without_mask or result.without_image):
        raise DataError(
            "the data folder is empty", where=str(root), mend=f"put {kind.looks_like} into it ({kind.name})"
        )
    return result


def list_pairs(layout: str, root: str | Path) -> list[Pair]:
    """The labelled images of a data folder, in order of name.

    Args:
        layout: A name from ``LAYOUTS``, or ``auto``.
        root: The data folder.

    Raises:
        DataError: The folder is missing or empty, or images and masks do not pair; the message names them.
    """
    found = scan(layout, root)
    problems = unpaired(found)
    if problems:
        raise DataError(
            "; ".join(problems),
            where=str(root),
            mend="add what is missing or remove the rest; `offroad-seg prepare` leaves it out and says so",
        )
    return found.pairs


def unpaired(found: Scan) -> list[str]:
    """A sentence for each way in which images and masks do not pair, with the names."""
    problems = []
    if found.without_mask:
        problems.append(f"{len(found.without_mask)} images without a mask: {_names(found.without_mask)}")
    if found.without_image:
        problems.append(f"{len(found.without_image)} masks without an image: {_names(found.without_image)}")
    if found.doubled:
        problems.append(f"names that several files share: {', '.join(found.doubled[:_LISTED])}")
    return problems


def data_ontology(layout: Layout, root: str | Path, given: Ontology | str | Path | None = None) -> Ontology:
    """What the masks of a data folder mean: as given, else as the folder's own file says, else as its data set has it.

    Args:
        layout: The folder's layout.
        root: The data folder.
        given: A label set, its name or file; None to look at the folder.

    Raises:
        OntologyError: The ontology cannot be loaded.
        InputError: None is given, and only the user can know.
    """
    if isinstance(given, Ontology):
        return given
    source = given or own_ontology(root) or layout.ontology
    if source is None:
        raise InputError(
            "nobody says what the mask values mean",
            where=str(root),
            mend="name an ontology or its YAML file (data.ontology=FILE; --ontology FILE), or put ontology.yaml there",
        )
    return load_ontology(source)


def _named(name: str) -> Layout:
    if name not in LAYOUTS:
        raise InputError(f"there is no layout '{name}'", mend=f"one of: auto, {', '.join(LAYOUTS)}")
    return LAYOUTS[name]


def _fitting(found: Survey) -> list[Layout]:
    if says_its_ontology(found):
        return [GENERIC]
    return [layout for layout in LAYOUTS.values() if layout.fits(found)]


def _guess(found: Survey) -> Layout:
    fitting = _fitting(found)
    if not fitting:
        known = "; ".join(f"{layout.name}: {layout.looks_like}" for layout in LAYOUTS.values())
        raise DataError(
            "the folder holds no data set that is known", where=str(found.root), mend=f"lay it out as {known}"
        )
    if len(fitting) > 1:
        raise DataError(
            f"the folder looks like several data sets: {', '.join(layout.name for layout in fitting)}",
            where=str(found.root),
            mend="give the folder of one of them, or name the layout",
        )
    return fitting[0]


def _names(paths: list[Path]) -> str:
    # The frame's folder tells YCOR's files apart, which are all called the same.
    listed = ", ".join(f"{p.parent.name}/{p.name}" for p in paths[:_LISTED])
    return listed + (f" and {len(paths) - _LISTED} more" if len(paths) > _LISTED else "")
