# SPDX-License-Identifier: Apache-2.0
"""What a gate that refused leaves behind to be looked at: the table, the figures, and pictures of the worst frames."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from offroad_seg import resources
from offroad_seg.compile.gate import failures, table
from offroad_seg.overlay import overlay_image

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from offroad_seg.compile.gate import Limits
    from offroad_seg.compile.parity import Frame, Parity
    from offroad_seg.ontology import Ontology

    U8 = NDArray[np.uint8]

REPORT = "refused.json"
_PANEL_WIDTH, _STRIP, _MARGIN = 640, 34, 12
_FONT, _FONT_SCALE = cv2.FONT_HERSHEY_SIMPLEX, 0.6
_INK, _PAPER, _WRONG = (40, 40, 40), 250, (255, 0, 60)
_LEGEND_COLUMNS = 5


def refused_folder(out: Path) -> Path:
    """Where the pictures of a refused bundle go: beside it."""
    return out.with_name(f"{out.name}.refused")


def write_refused(out: Path, parity: Parity, limits: Limits, ontology: Ontology) -> Path | None:
    """Write table, figures and pictures beside the bundle that was not written.

    Args:
        out: The bundle that was asked for.
        parity: What was measured.
        limits: What was asked.
        ontology: For names and colours.

    Returns:
        The folder; None where something that is not such a folder stands in its place.
    """
    folder = refused_folder(out)
    if folder.exists() and not (folder / REPORT).is_file():
        return None
    reasons = failures(parity, limits)
    with resources.replacing_folder(folder, overwrite=True) as temporary:
        (temporary / "refused.txt").write_text(
            "\n".join([*reasons, "", *table(parity, 1000)]) + "\n", "utf-8"
        )
        record: dict[str, Any] = {"reasons": reasons, **parity.to_dict(), "images_by_name": parity.by_image}
        (temporary / REPORT).write_text(json.dumps(record, indent=2) + "\n", "utf-8")
        for rank, frame in enumerate(parity.frames, start=1):
            stem = re.sub(r"[^A-Za-z0-9._-]+", "_", frame.name.rsplit(".", 1)[0])[-80:]
            picture = cv2.cvtColor(draw(frame, parity, ontology), cv2.COLOR_RGB2BGR)
            cv2.imwrite(str(temporary / f"{rank}_{stem}.png"), picture)
    return folder


def draw(frame: Frame, parity: Parity, ontology: Ontology) -> U8:
    """One picture of a frame: the image, both labellings and the difference, with a legend; RGB uint8 (H, W, 3)."""
    differ_HW = frame.expected_HW != frame.found_HW
    share = np.count_nonzero(differ_HW) / differ_HW.size
    panels = [
        _panel(frame.image_HWC, f"image: {frame.name}"),
        _panel(_difference(frame.image_HWC, differ_HW), f"difference: {share:.2%} of the pixels"),
        _panel(overlay_image(frame.image_HWC, frame.expected_HW, ontology), "reference"),
        _panel(overlay_image(frame.image_HWC, frame.found_HW, ontology), f"engine: {parity.candidate}"),
    ]
    rows = [np.hstack(panels[:2]), np.hstack(panels[2:])]
    return np.vstack([*rows, _legend(frame, ontology, rows[0].shape[1])])


def _panel(image_HWC: U8, caption: str) -> U8:
    height = max(1, round(image_HWC.shape[0] * _PANEL_WIDTH / image_HWC.shape[1]))
    scaled = cv2.resize(image_HWC, (_PANEL_WIDTH, height), interpolation=cv2.INTER_NEAREST_EXACT)
    panel = np.full((height + _STRIP + _MARGIN, _PANEL_WIDTH + 2 * _MARGIN, 3), _PAPER, np.uint8)
    panel[_STRIP : _STRIP + height, _MARGIN : _MARGIN + _PANEL_WIDTH] = scaled
    return _write(panel, caption, (_MARGIN, _STRIP - 11))


def _difference(image_HWC: U8, differ_HW: NDArray[np.bool_]) -> U8:
    grey = cv2.cvtColor(image_HWC, cv2.COLOR_RGB2GRAY)
    dimmed = cv2.cvtColor((grey * 0.5 + 110).astype(np.uint8), cv2.COLOR_GRAY2RGB)
    # A single pixel would not be seen: each is shown with its neighbours, paler.
    near_HW = cv2.dilate(differ_HW.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    dimmed[near_HW] = (0.5 * dimmed[near_HW] + 0.5 * np.array(_WRONG)).astype(np.uint8)
    dimmed[differ_HW] = _WRONG
    return np.asarray(dimmed, np.uint8)


def _legend(frame: Frame, ontology: Ontology, width: int) -> U8:
    """The classes that occur in either labelling, those that differ most first."""
    differ_HW = frame.expected_HW != frame.found_HW
    changed = np.bincount(frame.expected_HW[differ_HW], minlength=256) + np.bincount(
        frame.found_HW[differ_HW], minlength=256
    )
    present = np.bincount(frame.expected_HW.ravel(), minlength=256) + np.bincount(
        frame.found_HW.ravel(), minlength=256
    )
    ids = [i for i in np.argsort(-changed, kind="stable").tolist() if present[i]]
    lines = (len(ids) + _LEGEND_COLUMNS - 1) // _LEGEND_COLUMNS
    legend = np.full((lines * _STRIP + _MARGIN, width, 3), _PAPER, np.uint8)
    column_width = (width - 2 * _MARGIN) // _LEGEND_COLUMNS
    for place, index in enumerate(ids):
        row, column = divmod(place, _LEGEND_COLUMNS)
        left, top = _MARGIN + column * column_width, row * _STRIP + 6
        color = ontology.colors_2563[index].tolist()
        cv2.rectangle(legend, (left, top), (left + 20, top + 20), color, cv2.FILLED)
        cv2.rectangle(legend, (left, top), (left + 20, top + 20), _INK, 1)
        name = ontology.names[index] if index < ontology.n_classes else f"id {index}"
        _write(legend, name, (left + 28, top + 17))
    return legend


def _write(image: U8, text: str, place: tuple[int, int]) -> U8:
    # OpenCV's fonts know ASCII only.
    plain = text.encode("ascii", "replace").decode()
    cv2.putText(image, plain, place, _FONT, _FONT_SCALE, _INK, 1, cv2.LINE_AA)
    return image
