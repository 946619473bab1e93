# SPDX-License-Identifier: Apache-2.0
"""Which mask values look like sky, whatever they are called, and which ontologies know that they do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import yaml

from offroad_seg import resources
from offroad_seg.ontology import Ontology, ontology_names
from offroad_seg_train.audit.mask_probe import EDGE_ROWS, value_ids
from offroad_seg_train.audit.roles import SKY, role

if TYPE_CHECKING:
    from offroad_seg_train.audit.finding import MaskValue
    from offroad_seg_train.audit.tally import Tally, Where

_HEIGHT = 0.4
_LOWER_THIRD = 0.05
_EDGE_IMAGES = 0.5
_SMOOTH = 0.75
_SHARE, _IMAGES = 0.01, 0.1


def looks_like_sky(tally: Tally) -> list[MaskValue]:
    """Values that lie at the top, reach the upper edge, hardly ever the lower third, and are smooth.

    Returns:
        The most of the upper edge first.
    """
    found = []
    for value, where in tally.values.items():
        common = tally.share(where) >= _SHARE and where.images >= _IMAGES * tally.masks
        roughness = relative_texture(where, tally)
        if not common or where.height is None or roughness is None:
            continue
        if (
            where.height <= _HEIGHT
            and where.in_lower_third <= _LOWER_THIRD
            and where.edge_images >= _EDGE_IMAGES * where.images
            and roughness <= _SMOOTH
        ):
            found.append(value)
    return sorted(found, key=lambda v: -tally.values[v].share_of_rows(0, EDGE_ROWS, tally.masks))


def sky_figures(where: Where, tally: Tally) -> dict[str, Any]:
    """What position and look are judged by, for programs."""
    roughness = relative_texture(where, tally)
    return {
        "share": round(tally.share(where), 6),
        "images": where.images,
        "mean_height": None if where.height is None else round(where.height, 4),
        "below_middle": round(where.below_middle, 4),
        "upper_edge_share": round(where.share_of_rows(0, EDGE_ROWS, tally.masks), 4),
        "texture": None if roughness is None else round(roughness, 3),
    }


def smoother(where: Where, tally: Tally) -> str:
    """How its texture compares with that of the rest, in words."""
    ratio = relative_texture(where, tally)
    if ratio is None:
        return "of a texture that is not known"
    if ratio < 0.9:
        return f"{1 / max(ratio, 0.01):.1f} times smoother than the rest"
    return "no smoother than the rest" if ratio < 1.1 else f"{ratio:.1f} times rougher than the rest"


def fitting_ontologies(tally: Tally, *, sky: bool) -> list[str]:
    """Ontologies of the project, other than the one in use, that know every value of the masks.

    Args:
        tally: Sums over all masks.
        sky: Only those that call sky what looks like it.
    """
    if not tally.values or tally.unknown_more:
        return []
    values = tuple(tally.values)
    skies = set(looks_like_sky(tally))
    found = []
    for name in ontology_names():
        # Not by ``load_ontology``: none of these is used, so that their warnings would be noise.
        text = resources.find(f"config/ontologies/{name}.yaml").read_text(encoding="utf-8")
        ontology = Ontology.from_dict(yaml.safe_load(text), where=name)
        if ontology.name == tally.ontology.name or ontology.warning:
            continue
        ids = value_ids(values, ontology)
        if None in ids:
            continue
        named = {
            v for v, i in zip(values, ids, strict=True)
            if i is not None and i < ontology.n_classes and role(ontology.classes[i]) == SKY
        }  # fmt: skip
        if not sky or (named and named <= skies):
            found.append(name)
    return found


def relative_texture(where: Where, tally: Tally) -> float | None:
    """Mean strength of edges under it, over that under everything else; None where there is nothing else."""
    others = [w for w in tally.values.values() if w.texture is not None and w is not where]
    pixels = sum(w.pixels for w in others)
    usual = sum(w.pixels * (w.texture or 0.0) for w in others) / pixels if pixels else 0.0
    return where.texture / usual if where.texture is not None and usual else None
