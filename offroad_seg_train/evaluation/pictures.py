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
_MANY = 12


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
    """Image, truth, prediction and errors in a 2×2 picture with a caption and a legend, RGB."""
    panels = [
        ("image", image_HWC),
        ("truth", ontology.colorize(truth_HW)),
        ("prediction", overlay_image(image_HWC, labels_HW, ontology)),
        (
            "errors, in the colour of the true class",
            errors_picture(image_HWC, truth_HW, labels_HW, ontology),
        ),
    ]
    drawn = [_panel(name, picture) for name, picture in panels]
    body = np.vstack([np.hstack(drawn[:2]), np.hstack(drawn[2:])])
    head = np.full((_BAR, body.shape[1], 3), 255, np.uint8)
    _text(head, caption, 8)
    return np.vstack([head, body, _legend(ontology, body.shape[1])])


def errors_picture(image_HWC: U8, truth_HW: U8, labels_HW: U8, ontology: Ontology) -> U8:
    """Wrong pixels in the colour of the true class, RGB; what is right or unlabelled is grey."""
    grey_HWC = cv2.cvtColor(cv2.cvtColor(image_HWC, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB) // 2
    wrong_HW = (truth_HW != labels_HW) & (truth_HW < ontology.n_classes)
    return np.where(wrong_HW[..., None], ontology.colorize(truth_HW), grey_HWC)


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
    # Cells become smaller with the number of classes, but never too small for a two-digit number.
    cell = max(0.4, 0.62 - 0.01 * n)
    figure = Figure(figsize=(3.6 + cell * n, 2.6 + cell * n), dpi=120, layout="constrained")
    axes = figure.add_subplot()
    drawn = axes.imshow(shares, vmin=0, vmax=1, cmap="Blues", aspect="equal")
    axes.set_xticks(range(n), names, rotation=90 if n > _MANY else 45, ha="center" if n > _MANY else "right")
    axes.set_yticks(range(n), [f"{name} ({_short(t)})" for name, t in zip(names, total[:, 0], strict=True)])
    axes.set_xticks(np.arange(n + 1) - 0.5, minor=True)
    axes.set_yticks(np.arange(n + 1) - 0.5, minor=True)
    axes.grid(which="minor", color="#e4e4e4", linewidth=0.6)
    axes.tick_params(which="minor", length=0)
    axes.set_xlabel("prediction")
    axes.set_ylabel("truth (pixels)")
    axes.set_title("Where the pixels of each true class went, %")
    for row, column in np.argwhere(np.nan_to_num(shares) >= 0.005):
        value = shares[row, column]
        color = "white" if value > 0.5 else "black"
        axes.text(
            column, row, f"{100 * value:.0f}", ha="center", va="center", fontsize=8, color=color,
            fontweight="bold" if row == column else "normal",
        )  # fmt: skip
    for row in np.flatnonzero(total[:, 0] == 0):
        axes.text((n - 1) / 2, row, "not in the truth", ha="center", va="center", fontsize=8, color="#888888")
    figure.colorbar(drawn, ax=axes, shrink=0.6, format=lambda v, _: f"{100 * v:.0f} %")
    with replacing_file(path) as temporary:
        figure.savefig(temporary, format="png")


def reliability_picture(bins: list[dict[str, Any]], ece: float | None, path: Path) -> None:
    """Draw a reliability diagram: how often pixels of each confidence are right.

    Args:
        bins: As ``Calibration.diagram``.
        ece: The calibration error, for the title.
        path: The PNG to write.
    """
    from matplotlib.figure import Figure

    filled = [b for b in bins if b["pixels"]]
    total = sum(b["pixels"] for b in filled) or 1
    figure = Figure(figsize=(5.2, 5.8), dpi=120, layout="constrained")
    axes, below = figure.subplots(2, 1, sharex=True, height_ratios=(4, 1))
    left, width = [b["from"] for b in filled], [b["to"] - b["from"] for b in filled]
    accuracy = [b["accuracy"] for b in filled]
    gap = [b["confidence"] - b["accuracy"] for b in filled]
    axes.bar(left, accuracy, width, align="edge", color="#5a9bd4", edgecolor="white", label="right")
    axes.bar(
        left, gap, width, accuracy, align="edge", color="#d9534f", alpha=0.45, edgecolor="white",
        label="confidence − right",
    )  # fmt: skip
    axes.plot([0, 1], [0, 1], color="#444444", linestyle="--", linewidth=1)
    axes.set(xlim=(0, 1), ylim=(0, 1), ylabel="part of pixels that are right")
    axes.set_title("Reliability" + ("" if ece is None else f": calibration error {ece:.4f}"))
    axes.legend(loc="upper left", frameon=False)
    below.bar(
        left, [b["pixels"] / total for b in filled], width, align="edge", color="#999999", edgecolor="white"
    )
    below.set(xlabel="confidence", ylabel="part of pixels")
    with replacing_file(path) as temporary:
        figure.savefig(temporary, format="png")


def _short(pixels: float) -> str:
    """A number of pixels in four characters or so."""
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if pixels >= size:
            return f"{pixels / size:.3g}{unit}"
    return f"{pixels:.0f}"


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
