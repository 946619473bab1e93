# SPDX-License-Identifier: Apache-2.0
"""Layout of AI4Mars: Curiosity's navigation cameras (MSL, ncam), the share that most work is done on.

- as published: ``msl/ncam/images/edr/STEM.JPG`` and ``msl/ncam/labels/train/STEM.png``; the experts' labels of the test
  images are ``msl/ncam/labels/test/masked-gold-min3-100agree/STEM_merged.png``, where all three agree (``min1`` and
  ``min2`` lie beside). Older archives have no ``ncam``. Other rovers and cameras have other folders: passed over.
- sorted: ``…/images/STEM.jpg`` and ``…/masks/STEM.png`` (8-bit)
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from offroad_seg.errors import DataError
from offroad_seg_train.data.layouts.base import Frames, Layout, collect_beside

if TYPE_CHECKING:
    from offroad_seg_train.data.layouts.survey import Survey

# MSL camera product names: camera (NLA, NRB …), spacecraft clock, product type, site and drive:
# NLA_397586934EDR_F0020000AUT_04096M1.
_PRODUCT = re.compile(r"N[LR][AB]_\d+[A-Z]{3}_[A-Z](?P<site>\d{3})", re.IGNORECASE)
_CAMERA = re.compile(r"N[LR][AB]_", re.IGNORECASE)
# The strictest first: pixels on which three experts agree.
_GOLD = tuple(f"masked-gold-min{k}-100agree" for k in (3, 2, 1))


def _collect(found: Survey) -> Frames:
    return _published(found) if found.named("edr") else collect_beside(found, "images", "masks", below=True)


def _published(found: Survey) -> Frames:
    # Not every image was labelled.
    frames = Frames(partly_labelled=True)
    labelled = False
    for folder in found.named("edr"):
        for path in found.pictures(folder):
            frames.add_image(path.stem, found.path(path))
        labels = folder.parent.parent / "labels"
        gold = next(
            (labels / "test" / name for name in _GOLD if labels / "test" / name in found.folders), None
        )
        for part, place in (("train", labels / "train"), ("test", gold)):
            if place is None or place not in found.folders:
                continue
            labelled = True
            for path in found.pictures(place):
                frames.add_mask(path.stem.removesuffix("_merged"), found.path(path), part)
    if not labelled:
        raise DataError("the folder labels/train is missing", where=str(found.root))
    return frames


def has_product_names(found: Survey) -> bool:
    """Whether the pictures of ``images/`` and ``masks/`` are called as the rover's products are."""
    folders = found.named("images", "masks")
    names = [path.name for folder in folders for path in found.pictures(folder, below=True)]
    return bool(names) and all(_CAMERA.match(name) for name in names)


def _fits(found: Survey) -> bool:
    return has_product_names(found) or (bool(found.named("edr")) and bool(found.named("labels")))


def _site(name: str) -> str:
    match = _PRODUCT.search(name)
    return match.group("site") if match else ""


AI4MARS = Layout(
    name="ai4mars",
    ontology="ai4mars",
    looks_like="images/edr/ and labels/train/, or images/ and masks/",
    fits=_fits,
    collect=_collect,
    group=_site,
)
