# SPDX-License-Identifier: Apache-2.0
"""Figures of the images and of what their masks hold, as plain data for JSON and for the report."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np

from offroad_seg_train.audit.mask_probe import EDGE_ROWS, ROWS
from offroad_seg_train.audit.roles import role
from offroad_seg_train.audit.sky import looks_like_sky, relative_texture

if TYPE_CHECKING:
    from collections.abc import Sequence

    from offroad_seg.types import JsonDict
    from offroad_seg_train.audit.probe import Record
    from offroad_seg_train.audit.sources import Sources
    from offroad_seg_train.audit.tally import Tally, Where

_QUANTILES = (0, 5, 25, 50, 75, 95, 100)


def image_statistics(records: Sequence[Record]) -> JsonDict:
    """Sizes, brightness, contrast, sharpness, and mean and standard deviation of each channel over all pixels."""
    images = [r.image for r in records if r.image is not None]
    if not images:
        return {"readable": 0}
    pixels_N = np.array([i.height * i.width for i in images], np.float64)
    weights_N = pixels_N / pixels_N.sum()
    mean_3 = weights_N @ np.array([i.mean_3 for i in images])
    square_3 = weights_N @ np.array([i.square_3 for i in images])
    deviation_3 = np.sqrt(np.maximum(square_3 - mean_3**2, 0))
    sizes = Counter(f"{i.width}x{i.height}" for i in images)
    return {
        "readable": len(images),
        "sizes": dict(sizes.most_common()),
        "formats": dict(Counter(f"{i.format} {i.mode}" for i in images).most_common()),
        "grey": sum(i.grey for i in images),
        # For images scaled to 0–1, as `Normalization` has them.
        "channel_mean": [round(float(v) / 255, 4) for v in mean_3],
        "channel_std": [round(float(v) / 255, 4) for v in deviation_3],
        "brightness": _quantiles([i.brightness for i in images]),
        "contrast": _quantiles([i.contrast for i in images]),
        "sharpness": _quantiles([i.sharpness for i in images]),
    }


def class_statistics(tally: Tally, parts: Sequence[str]) -> list[JsonDict]:
    """One entry a class: how much of it there is, and where in the image it lives."""
    found = []
    for c, where in zip(tally.ontology.classes, tally.classes, strict=True):
        found.append(
            {
                "id": c.id,
                "name": c.name,
                "role": role(c),
                "cost": c.cost,
                "standing": c.standing,
                "values": [v.label for v in tally.values_of(c.id)],
                **_where(where, tally),
                "parts": {
                    part: _part(where.by_part.get(part, (0, 0)), tally.part_pixels[part]) for part in parts
                },
                "rows": [round(float(v), 5) for v in _rows(where, tally)],
            }
        )
    return found


def value_statistics(tally: Tally) -> list[JsonDict]:
    """One entry a value that the masks hold, the commonest first; unknown ones too."""
    skies = set(looks_like_sky(tally))
    ranked = sorted(tally.values, key=lambda v: -tally.values[v].pixels)
    found = []
    for value in ranked:
        where = tally.values[value]
        texture = relative_texture(where, tally)
        found.append(
            {
                "value": value.label,
                "meaning": tally.name_of(value),
                "known": tally.ids.get(value) is not None,
                **_where(where, tally),
                "texture": None if texture is None else round(texture, 3),
                "light": None if where.light is None else round(where.light, 1),
                "looks_like_sky": value in skies,
            }
        )
    return found


def part_statistics(sources: Sources, records: Sequence[Record], tally: Tally) -> list[JsonDict]:
    """One entry a part of the split."""
    found = []
    for part in sources.parts:
        own = [r for f, r in zip(sources.frames, records, strict=True) if f.part == part]
        found.append(
            {
                "name": part,
                "frames": len(own),
                "images": sum(r.image is not None for r in own),
                "masks": tally.part_masks[part],
                "pixels": tally.part_pixels[part],
            }
        )
    return found


def _where(where: Where, tally: Tally) -> JsonDict:
    return {
        "pixels": where.pixels,
        "share": round(tally.share(where), 7),
        "images": where.images,
        "image_share": round(where.images / tally.masks, 5) if tally.masks else 0.0,
        "mean_height": None if where.height is None else round(where.height, 4),
        "upper_edge_share": round(where.share_of_rows(0, EDGE_ROWS, tally.masks), 5),
        "lower_edge_share": round(where.share_of_rows(ROWS - EDGE_ROWS, ROWS, tally.masks), 5),
    }


def _rows(where: Where, tally: Tally) -> list[float]:
    """Share of each of ``ROWS`` bands of rows, from the top, that it takes."""
    return [where.share_of_rows(r, r + 1, tally.masks) for r in range(ROWS)]


def _part(counts: tuple[int, int], pixels: int) -> JsonDict:
    return {
        "pixels": counts[0],
        "images": counts[1],
        "share": round(counts[0] / pixels, 7) if pixels else 0.0,
    }


def _quantiles(values: Sequence[float]) -> dict[str, Any]:
    found = np.percentile(np.asarray(values, np.float64), _QUANTILES)
    return {f"p{q}": round(float(v), 3) for q, v in zip(_QUANTILES, found, strict=True)}
