# SPDX-License-Identifier: Apache-2.0
"""``prepare`` run on a small data set, and what it wrote."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np

from offroad_seg_train.data.dataset import read_pair
from offroad_seg_train.data.layouts import LAYOUTS, data_ontology, list_pairs
from offroad_seg_train.data.prepare import PrepareOptions, prepare

if TYPE_CHECKING:
    from pathlib import Path

    from tests.helpers.datasets import FakeSet


def run_prepare(made: FakeSet, tmp_path: Path, **options: Any) -> tuple[Path, dict[str, Any]]:
    out = tmp_path / "out" / "prepared"
    if made.layout == "generic":
        options.setdefault("ontology", made.ontology.name)
    prepare(PrepareOptions((made.root,), out, **options), show=False)
    return out, json.loads((out / "prepare.json").read_text(encoding="utf-8"))


def read_all(out: Path) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Image and class ids of everything in a prepared folder, read as ``train`` reads it."""
    ontology = data_ontology(LAYOUTS["generic"], out)
    return {pair.name: read_pair(pair, ontology) for pair in list_pairs("auto", out)}


def files(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}
