# SPDX-License-Identifier: Apache-2.0
"""Sums over all frames: pixels, images and places of each mask value and each class, and the images' figures."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from offroad_seg_train.audit.finding import MaskValue
from offroad_seg_train.audit.mask_probe import COLUMNS, EDGE_ROWS, ROWS, value_ids

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from offroad_seg.ontology import Ontology
    from offroad_seg_train.audit.mask_probe import MaskRecord

    F64 = NDArray[np.float64]

_MOST_VALUES = 2000


@dataclass
class Where:
    """How much there is of something, and where in the image it lies.

    Attributes:
        pixels: In all masks.
        images: Masks in which it occurs.
        heat_RC: Sum over masks of the share of each cell that it takes, (ROWS, COLUMNS).
        edge_images: Masks in which it lies at the upper edge.
        by_part: Part → (pixels, images).
    """

    pixels: int = 0
    images: int = 0
    heat_RC: F64 = field(default_factory=lambda: np.zeros((ROWS, COLUMNS)))
    edge_images: int = 0
    by_part: dict[str, tuple[int, int]] = field(default_factory=dict)
    _height: float = 0.0
    _texture: float = 0.0
    _light: float = 0.0
    _seen: float = 0.0

    def add(self, part: str, pixels: int, height: float, heat_RC: F64, texture: float, light: float) -> None:
        """Take in one mask."""
        self.pixels += pixels
        self.images += 1
        self.heat_RC += heat_RC
        self.edge_images += bool(heat_RC[:EDGE_ROWS].max() > 0)
        before = self.by_part.get(part, (0, 0))
        self.by_part[part] = before[0] + pixels, before[1] + 1
        self._height += pixels * height
        if np.isfinite(texture):
            self._texture += pixels * texture
            self._light += pixels * light
            self._seen += pixels

    @property
    def height(self) -> float | None:
        """Mean height of its pixels: 0 top, 1 bottom."""
        return self._height / self.pixels if self.pixels else None

    @property
    def texture(self) -> float | None:
        """Mean strength of edges in the image under it."""
        return self._texture / self._seen if self._seen else None

    @property
    def light(self) -> float | None:
        """Mean grey value of the image under it, 0–255."""
        return self._light / self._seen if self._seen else None

    def share_of_rows(self, first: int, last: int, masks: int) -> float:
        """Its share of the pixels in some rows of the heat map, over all masks."""
        return float(self.heat_RC[first:last].mean() / masks) if masks else 0.0

    @property
    def below_middle(self) -> float:
        """Share of it that lies in the lower half."""
        total = float(self.heat_RC.sum())
        return float(self.heat_RC[ROWS // 2 :].sum()) / total if total else 0.0

    @property
    def in_lower_third(self) -> float:
        """Share of it that lies in the lower third."""
        total = float(self.heat_RC.sum())
        return float(self.heat_RC[2 * ROWS // 3 :].sum()) / total if total else 0.0


@dataclass
class Tally:
    """What all masks hold together.

    Attributes:
        ontology: What their values mean.
        masks: Masks that were counted: readable, and coded as the ontology has it.
        pixels: In them.
        unlabelled: Pixels that carry no class; values outside the ontology are not among them.
        outside: Pixels of values outside the ontology.
        values: Where each value lies.
        classes: Where each class lies, by id.
        ids: Value → class id, 255 for no class, None outside the ontology.
        unknown: Value outside the ontology → frames that hold it.
        unknown_pixels: Value outside the ontology → pixels.
        unknown_more: How many more there are, where there are very many.
        labels_per_image: Number of classes in a mask → masks.
        part_masks: Part → masks.
        part_pixels: Part → pixels.
    """

    ontology: Ontology
    masks: int = 0
    pixels: int = 0
    unlabelled: int = 0
    outside: int = 0
    values: dict[MaskValue, Where] = field(default_factory=lambda: defaultdict(Where))
    classes: list[Where] = field(default_factory=list)
    ids: dict[MaskValue, int | None] = field(default_factory=dict)
    unknown: dict[MaskValue, list[int]] = field(default_factory=lambda: defaultdict(list))
    unknown_pixels: Counter[MaskValue] = field(default_factory=Counter)
    unknown_more: int = 0
    labels_per_image: Counter[int] = field(default_factory=Counter)
    part_masks: Counter[str] = field(default_factory=Counter)
    part_pixels: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.classes = [Where() for _ in self.ontology.classes]

    def add(self, index: int, part: str, mask: MaskRecord) -> None:
        """Take in one mask; one that is coded in another way than the ontology is left out."""
        if mask.coding:
            return
        n = self.ontology.n_classes
        pixels = mask.height * mask.width
        self.masks += 1
        self.pixels += pixels
        self.unlabelled += int(mask.ids_256[255])
        self.outside += sum(mask.unknown.values()) + mask.unknown_more[1]
        self.unknown_more += mask.unknown_more[0]
        self.labels_per_image[int(np.count_nonzero(mask.ids_256[:n]))] += 1
        self.part_masks[part] += 1
        self.part_pixels[part] += pixels
        is_color = mask.values[0].is_color
        for code, number in mask.unknown.items():
            value = MaskValue(code, is_color)
            self.unknown[value].append(index)
            self.unknown_pixels[value] += number
        self._add_values(part, mask)

    def _add_values(self, part: str, mask: MaskRecord) -> None:
        new = tuple(v for v in mask.values if v not in self.ids)
        self.ids.update(zip(new, value_ids(new, self.ontology), strict=True))
        members: dict[int, list[int]] = defaultdict(list)
        for place, value in enumerate(mask.values):
            if value not in self.values and len(self.values) >= _MOST_VALUES:
                continue  # lossy masks: what they hold beyond this says nothing
            self.values[value].add(part, *_figures(mask, [place]))
            own = self.ids[value]
            if own is not None and own < self.ontology.n_classes:
                members[own].append(place)
        for own, places in members.items():
            self.classes[own].add(part, *_figures(mask, places))

    def share(self, where: Where) -> float:
        """Its share of all pixels."""
        return where.pixels / self.pixels if self.pixels else 0.0

    def values_of(self, class_id: int) -> list[MaskValue]:
        """The values that occur and mean a class, the commonest first."""
        found = [v for v, own in self.ids.items() if own == class_id]
        return sorted(found, key=lambda v: -self.values[v].pixels)

    def is_class(self, value: MaskValue) -> bool:
        """Whether a value means a class: it is neither ignored nor outside the ontology."""
        own = self.ids.get(value)
        return own is not None and own < self.ontology.n_classes

    def name_of(self, value: MaskValue) -> str:
        """The class that a value means, in words."""
        own = self.ids.get(value)
        if own is None:
            return "outside the ontology"
        return self.ontology.names[own] if own < self.ontology.n_classes else "no class"


def _figures(mask: MaskRecord, places: list[int]) -> tuple[int, float, F64, float, float]:
    """Pixels, height, heat, texture and light of some values of a mask taken together."""
    pixels_K = mask.pixels_V[places].astype(np.float64)
    total = float(pixels_K.sum())
    seen_K = np.where(np.isfinite(mask.texture_V[places]), pixels_K, 0.0)
    seen_K = seen_K / seen_K.sum() if seen_K.any() else np.full(len(places), np.nan)
    return (
        int(total),
        float(pixels_K @ mask.height_V[places] / total),
        mask.heat_VRC[places].sum(axis=0, dtype=np.float64),
        float(seen_K @ np.nan_to_num(mask.texture_V[places])),
        float(seen_K @ np.nan_to_num(mask.light_V[places])),
    )
