# SPDX-License-Identifier: Apache-2.0
"""Pictures for the report, read again from disk: only the few that are shown, and no more bytes than fit."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import cv2
import numpy as np

from offroad_seg.compile.images import read_image
from offroad_seg.errors import OffroadSegError, OntologyError
from offroad_seg_train.audit.finding import MaskValue
from offroad_seg_train.audit.image_probe import shrink
from offroad_seg_train.audit.mask_probe import codes_of, read_as_it_is, value_ids

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from offroad_seg.ontology import Ontology
    from offroad_seg_train.audit.finding import Panel
    from offroad_seg_train.audit.sources import Frame

    U8 = NDArray[np.uint8]

BUDGET = 7_000_000
"""Bytes of base64; with tables and charts the page stays under 10 MB."""
LONGEST = 400
_QUALITY = 80
OUTSIDE_RGB = (255, 0, 220)
_MARK_RGB = np.array((255, 40, 90), np.float32)
_HEAT_SIZE = (160, 120)


@dataclass(frozen=True)
class Picture:
    """One panel, drawn.

    Attributes:
        image: Data URI; empty where the image cannot be shown.
        mask: Data URI of the mask in class colours; empty where it is not wanted or cannot be shown.
        caption: Below it.
        missing: Why there is no picture; empty where there is one.
    """

    image: str
    mask: str
    caption: str
    missing: str = ""


@dataclass
class Drawer:
    """Draws panels until the budget is spent; each frame is read once.

    Attributes:
        frames: All frames.
        ontology: Colours.
        budget: Bytes that are left.
    """

    frames: Sequence[Frame]
    ontology: Ontology
    budget: int = BUDGET
    _images: dict[int, str] = field(default_factory=dict)
    _masks: dict[int, str] = field(default_factory=dict)

    def draw(self, panels: Sequence[Panel]) -> list[Picture] | None:
        """All panels of one example, or None where they no longer fit."""
        if self.budget <= 0:
            return None
        return [self._draw(panel) for panel in panels]

    def _draw(self, panel: Panel) -> Picture:
        if panel.view == "values":
            uri = self._spend(self._marked(panel.item, panel.values))
            return Picture(uri, "", panel.caption, "" if uri else "cannot be shown")
        image = mask = ""
        if panel.view in ("pair", "image"):
            image = self._once(self._images, panel.item, self._image)
        if panel.view in ("pair", "mask"):
            mask = self._once(self._masks, panel.item, self._mask)
        return Picture(image, mask, panel.caption, "" if image or mask else "cannot be shown")

    def _once(self, kept: dict[int, str], item: int, draw: Callable[[int], str]) -> str:
        if item not in kept:
            # A picture that stands in the page twice is paid for twice.
            kept[item] = draw(item)
        return self._spend(kept[item])

    def _spend(self, uri: str) -> str:
        self.budget -= len(uri)
        return uri

    def _image(self, item: int) -> str:
        small = self._small(item)
        return "" if small is None else jpeg(small)

    def _small(self, item: int) -> U8 | None:
        try:
            return shrink(read_image(self.frames[item].pair.image), LONGEST)
        except (OffroadSegError, cv2.error):
            return None

    def _mask(self, item: int) -> str:
        try:
            mask = read_as_it_is(self.frames[item].pair.mask, self.ontology)
            return png(colorize(take_nearest(mask, LONGEST), self.ontology))
        except (OffroadSegError, cv2.error):
            return ""

    def _marked(self, item: int, values: Sequence[MaskValue]) -> str:
        """The image in grey, and the pixels of some values in a colour that no desert has."""
        small = self._small(item)
        if small is None:
            return ""
        try:
            mask = read_as_it_is(self.frames[item].pair.mask, self.ontology)
        except OffroadSegError:
            return ""
        codes_HW = codes_of(take_nearest(mask, 4 * LONGEST))
        inside = np.isin(codes_HW, [v.code for v in values]).astype(np.uint8)
        size = small.shape[1], small.shape[0]
        share_HW1 = cv2.resize(inside * 255, size, interpolation=cv2.INTER_AREA)[..., None] / 255.0
        grey_HW1 = cv2.cvtColor(small, cv2.COLOR_RGB2GRAY).astype(np.float32)[..., None]
        painted = (1 - 0.75 * share_HW1) * (0.55 * grey_HW1 + 60) + 0.75 * share_HW1 * _MARK_RGB
        return jpeg(np.clip(painted, 0, 255).astype(np.uint8))


def colorize(mask: NDArray[np.generic], ontology: Ontology) -> U8:
    """A mask in class colours, RGB (H, W, 3): black where there is no class, magenta outside the ontology."""
    codes_HW = codes_of(mask)
    codes, index = np.unique(codes_HW, return_inverse=True)
    values = tuple(MaskValue(int(code), mask.ndim == 3) for code in codes)
    try:
        ids = value_ids(values, ontology)
    except OntologyError:
        ids = [None] * len(values)
    colors_V3 = np.array([OUTSIDE_RGB if own is None else ontology.colors_2563[own] for own in ids], np.uint8)
    return colors_V3[index.reshape(codes_HW.shape)]


def take_nearest(mask: NDArray[np.generic], longest: int) -> NDArray[np.generic]:
    """A mask of any type reduced to a longest side, to the nearest pixel; a smaller one is left as it is."""
    height, width = mask.shape[:2]
    scale = max(height, width) / longest
    if scale <= 1:
        return mask
    rows, columns = (
        np.minimum(((np.arange(max(1, round(n / scale))) + 0.5) * scale).astype(int), n - 1)
        for n in (height, width)
    )
    return mask[rows[:, None], columns]


def heat_picture(heat_RC: NDArray[np.float64]) -> str:
    """A heat map as a data URI, its own highest value the brightest."""
    top = float(heat_RC.max())
    scaled = np.sqrt(heat_RC / top) if top > 0 else heat_RC
    large = cv2.resize(scaled.astype(np.float32), _HEAT_SIZE, interpolation=cv2.INTER_CUBIC)
    colored = cv2.applyColorMap(np.clip(255 * large, 0, 255).astype(np.uint8), cv2.COLORMAP_INFERNO)
    return jpeg(cv2.cvtColor(colored, cv2.COLOR_BGR2RGB), 88)


def jpeg(rgb: NDArray[np.uint8], quality: int = _QUALITY) -> str:
    """A data URI."""
    data = cv2.imencode(".jpg", cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    return f"data:image/jpeg;base64,{base64.b64encode(data).decode('ascii')}"


def png(rgb: NDArray[np.uint8]) -> str:
    """A data URI; few colours are kept as a palette, which is a third of the size."""
    from io import BytesIO

    from PIL import Image

    stream = BytesIO()
    picture = Image.fromarray(rgb)
    colors = picture.getcolors(256)
    (picture.quantize(len(colors), dither=Image.Dither.NONE) if colors else picture).save(
        stream, "PNG", optimize=True
    )
    return f"data:image/png;base64,{base64.b64encode(stream.getvalue()).decode('ascii')}"
