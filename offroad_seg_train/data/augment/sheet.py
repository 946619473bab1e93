# SPDX-License-Identifier: Apache-2.0
"""A contact sheet of training pictures as the network gets them: the quickest check of data and augmentation."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

from offroad_seg.overlay import overlay_image
from offroad_seg.types import UNLABELLED

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from offroad_seg.ontology import Ontology

    U8 = NDArray[np.uint8]

_GAP = 6
_BAR = 24
_WIDEST = 2000
_FONT = cv2.FONT_HERSHEY_SIMPLEX
_STRIPES = 12


def draw_sheet(
    images_BHWC: Sequence[U8],
    labels_BHW: Sequence[U8],
    names: Sequence[str],
    ontology: Ontology,
    *,
    columns: int = 3,
    title: str = "",
) -> U8:
    """Each picture beside its labels, in rows, with a legend; RGB uint8.

    Args:
        images_BHWC: uint8 RGB, all of one size.
        labels_BHW: uint8 class ids; pixels without a class are striped.
        names: What stands above each picture.
        ontology: Names and colours.
        columns: Pictures in a row.
        title: What stands at the top.
    """
    cells = [
        _cell(image, labels, name, ontology)
        for image, labels, name in zip(images_BHWC, labels_BHW, names, strict=True)
    ]
    columns = min(columns, len(cells))
    blank = np.full_like(cells[0], 255)
    cells += [blank] * (-len(cells) % columns)
    rows = [np.hstack(cells[i : i + columns]) for i in range(0, len(cells), columns)]
    body = np.vstack(rows)
    if body.shape[1] > _WIDEST:
        size = (_WIDEST, round(body.shape[0] * _WIDEST / body.shape[1]))
        body = cv2.resize(body, size, interpolation=cv2.INTER_AREA)
    head = np.full((_BAR, body.shape[1], 3), 255, np.uint8)
    _write(head, title, _GAP)
    return np.vstack([head, body, _legend(ontology, labels_BHW, body.shape[1])])


def _cell(image_HWC: U8, labels_HW: U8, name: str, ontology: Ontology) -> U8:
    labelled = overlay_image(image_HWC, labels_HW, ontology)
    _stripe(labelled, labels_HW == UNLABELLED)
    pair = np.hstack([image_HWC, np.full((len(image_HWC), 2, 3), 255, np.uint8), labelled])
    pair = cv2.copyMakeBorder(pair, _BAR, _GAP, _GAP, _GAP, cv2.BORDER_CONSTANT, value=(255, 255, 255))
    _write(pair[:_BAR], name, _GAP)
    return pair


def _legend(ontology: Ontology, labels_BHW: Sequence[U8], width: int) -> U8:
    """Colours of the classes with their share of the labelled pixels on the sheet."""
    counts = sum((np.bincount(labels.ravel(), minlength=256) for labels in labels_BHW), np.zeros(256, int))
    labelled = max(1, int(counts[:UNLABELLED].sum()))
    entries = [
        (item.color, f"{item.name} {100 * counts[i] / labelled:.2g} %")
        for i, item in enumerate(ontology.classes)
    ]
    ignored = 100 * counts[UNLABELLED] / max(1, int(counts.sum()))
    entries.append(((0, 0, 0), f"ignored, {ignored:.2g} % of all"))
    slot = max(cv2.getTextSize(_plain(text), _FONT, 0.5, 1)[0][0] for _, text in entries) + 48
    columns = max(1, width // slot)
    legend = np.full(((-(-len(entries) // columns)) * _BAR, width, 3), 255, np.uint8)
    for k, (color, text) in enumerate(entries):
        x, y = (k % columns) * slot + _GAP, (k // columns) * _BAR
        legend[y + 4 : y + _BAR - 4, x : x + 24] = color
        _write(legend[y : y + _BAR], text, x + 32)
    swatch = legend[y + 4 : y + _BAR - 4, x : x + 24]  # the last one
    _stripe(swatch, np.ones(swatch.shape[:2], bool))
    return legend


def _stripe(picture: U8, where_HW: NDArray[np.bool_]) -> None:
    """Light stripes over a part of a picture, in place."""
    rows, columns = np.indices(where_HW.shape)
    striped = where_HW & ((rows + columns) % _STRIPES < _STRIPES // 2)
    picture[striped] = 255 - (255 - picture[striped]) // 3


def _write(canvas: U8, text: str, x: int) -> None:
    cv2.putText(canvas, _plain(text), (x, 17), _FONT, 0.5, (0, 0, 0), 1, cv2.LINE_AA)


def _plain(text: str) -> str:
    """OpenCV's font has no more than ASCII."""
    return text.encode("ascii", "replace").decode()
