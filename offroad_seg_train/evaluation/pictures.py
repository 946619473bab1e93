# SPDX-License-Identifier: Apache-2.0
"""Pictures of results: overlays, image beside truth and prediction, the confusion matrix."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from offroad_seg.errors import OffroadSegError
from offroad_seg.overlay import overlay_image
from offroad_seg.resources import replacing_file

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from offroad_seg.ontology import Ontology

    U8 = NDArray[np.uint8]

_PANEL_WIDTHS = (360, 640)
_BAR = 26
_FONT = cv2.FONT_HERSHEY_SIMPLEX
_MAX_CLASSES_WITH_NUMBERS = 20


def write_image(path: Path, image: NDArray[Any]) -> None:
    """Write a picture whole or not at all: RGB uint8 (H, W, 3), or one channel of uint8 or uint16.

    Raises:
        OffroadSegError: It cannot be written.
    """
    pixels = cv2.cvtColor(image, cv2.COLOR_RGB2BGR) if image.ndim == 3 else image
    with replacing_file(path) as temporary:
        if not cv2.imwrite(str(temporary), pixels):
            raise OffroadSegError("the picture cannot be written", where=str(path), mend="is the disk full?")


def comparison(image_HWC: U8, truth_HW: U8, labels_HW: U8, ontology: Ontology, caption: str) -> U8:
    """Image, truth, prediction and errors in a 2×2 picture with a caption and a legend, RGB.

    Errors are painted in the colour of the true class; what is right or unlabelled is grey.
    """
    grey_HWC = cv2.cvtColor(cv2.cvtColor(image_HWC, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB) // 2
    wrong_HW = (truth_HW != labels_HW) & (truth_HW < ontology.n_classes)
    errors_HWC = np.where(wrong_HW[..., None], ontology.colorize(truth_HW), grey_HWC)
    panels = [
        ("image", image_HWC),
        ("truth", ontology.colorize(truth_HW)),
        ("prediction", overlay_image(image_HWC, labels_HW, ontology)),
        ("errors, in the colour of the true class", errors_HWC),
    ]
    drawn = [_panel(name, picture) for name, picture in panels]
    body = np.vstack([np.hstack(drawn[:2]), np.hstack(drawn[2:])])
    head = np.full((_BAR, body.shape[1], 3), 255, np.uint8)
    _text(head, caption, 8)
    return np.vstack([head, body, _legend(ontology, body.shape[1])])


def confusion_picture(counts_NM: NDArray[np.int64], names: list[str], path: Path) -> None:
    """Draw a confusion matrix, each row as parts of the true class.

    Args:
        counts_NM: Rows = truth, columns = prediction; columns beyond the classes are left out.
        names: Class names.
        path: The PNG to write.
    """
    from matplotlib.figure import Figure

    n = len(names)
    counts = counts_NM[:, :n].astype(np.float64)
    total = counts_NM.sum(axis=1, keepdims=True)
    shares = np.divide(counts, total, out=np.full_like(counts, np.nan), where=total > 0)
    figure = Figure(figsize=(2.5 + 0.62 * n, 2.0 + 0.55 * n), dpi=110, layout="constrained")
    axes = figure.add_subplot()
    drawn = axes.imshow(shares, vmin=0, vmax=1, cmap="Blues", aspect="auto")
    axes.set_xticks(range(n), names, rotation=45, ha="right")
    axes.set_yticks(range(n), [f"{name} ({int(t):,})" for name, t in zip(names, total[:, 0], strict=True)])
    axes.set_xlabel("prediction")
    axes.set_ylabel("truth (pixels)")
    axes.set_title("Part of each true class")
    if n <= _MAX_CLASSES_WITH_NUMBERS:
        for row, column in np.argwhere(np.nan_to_num(shares) >= 0.005):
            value = shares[row, column]
            axes.text(
                column,
                row,
                f"{value:.2f}",
                ha="center",
                va="center",
                color="white" if value > 0.5 else "black",
            )
    figure.colorbar(drawn, ax=axes, shrink=0.8)
    with replacing_file(path) as temporary:
        figure.savefig(temporary, format="png")


def _panel(name: str, picture: U8) -> U8:
    height, width = picture.shape[:2]
    low, high = _PANEL_WIDTHS
    panel = min(max(width, low), high)
    size = (panel, max(1, round(height * panel / width)))
    canvas = np.full((size[1] + _BAR, panel, 3), 235, np.uint8)
    canvas[_BAR:] = cv2.resize(
        picture, size, interpolation=cv2.INTER_AREA if width > high else cv2.INTER_NEAREST
    )
    _text(canvas, name, 8)
    return canvas


def _legend(ontology: Ontology, width: int) -> U8:
    widest = max(cv2.getTextSize(_ascii(name), _FONT, 0.5, 1)[0][0] for name in ontology.names)
    slot = max(210, widest + 56)
    columns = max(1, width // slot)
    rows = -(-ontology.n_classes // columns)
    legend = np.full((rows * _BAR, width, 3), 255, np.uint8)
    for index, item in enumerate(ontology.classes):
        x, y = (index % columns) * slot, (index // columns) * _BAR
        legend[y + 5 : y + _BAR - 5, x + 8 : x + 30] = item.color
        _text(legend[y : y + _BAR], item.name, x + 38)
    return legend


def _text(canvas: U8, text: str, x: int) -> None:
    cv2.putText(canvas, _ascii(text), (x, 18), _FONT, 0.5, (20, 20, 20), 1, cv2.LINE_AA)


def _ascii(text: str) -> str:
    # OpenCV's fonts hold nothing else.
    return text.encode("ascii", "replace").decode()
