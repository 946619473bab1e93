# SPDX-License-Identifier: Apache-2.0
"""Layout for data of one's own, and what ``prepare`` writes.

``images/NAME`` and ``masks/NAME``, with subfolders to any depth; files pair by their path without suffix. Parts of a
split are folders above or below: ``train/images/…`` and ``train/masks/…``, or ``images/train/…`` and ``masks/train/…``.
What the mask values mean is said by ``ontology.yaml`` beside them, or by the user.
"""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from offroad_seg_train.data.layouts.base import Layout, collect_beside
from offroad_seg_train.data.layouts.mars import has_product_names

if TYPE_CHECKING:
    from offroad_seg_train.data.layouts.survey import Survey

ONTOLOGY_FILE = "ontology.yaml"


def says_its_ontology(found: Survey) -> bool:
    """Whether the folder brings its ontology: it is generic then, whatever its frames are called."""
    return ONTOLOGY_FILE in found.folders.get(PurePosixPath(), [])


def own_ontology(root: str | Path) -> Path | None:
    """The ontology file that a data folder brings, if any."""
    path = Path(root) / ONTOLOGY_FILE
    return path if path.is_file() else None


GENERIC = Layout(
    name="generic",
    ontology=None,
    looks_like="images/ and masks/ (your own data, with an ontology)",
    fits=lambda found: (
        bool(found.named("images")) and bool(found.named("masks")) and not has_product_names(found)
    ),
    collect=lambda found: collect_beside(found, "images", "masks", below=True),
)
