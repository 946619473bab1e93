# SPDX-License-Identifier: Apache-2.0
"""``train`` and ``evaluate`` read every layout: the same frames are held out, and none is trained on."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

import numpy as np
import pytest

from offroad_seg.cli.main import main
from offroad_seg.ontology import load_ontology
from offroad_seg_train.data.dataset import read_pair
from offroad_seg_train.data.layouts import list_pairs
from offroad_seg_train.data.splits import split_pairs
from offroad_seg_train.training.data_config import DataConfig
from offroad_seg_train.training.opening import open_data
from tests.helpers.datasets import MAKERS, write_potsdam

if TYPE_CHECKING:
    from pathlib import Path

SMALL = [
    "epochs=1",
    "schedule.warmup_epochs=0",
    "batch_size=2",
    "model.width=8",
    "device=cpu",
    "data.workers=0",
]
SIZE = ["data.height=32", "data.width=48"]


@pytest.mark.parametrize("kind", MAKERS)
def test_the_split_of_a_run(kind: str, tmp_path: Path) -> None:
    made = MAKERS[kind](tmp_path / kind)
    ontology = made.ontology.name if made.layout == "generic" else None
    config = DataConfig(root=str(made.root), ontology=ontology, height=32, width=48, val_fraction=0.4)
    opened, _, train, val = open_data(config, seed=0, show=False)
    assert opened == made.ontology
    pairs = list_pairs("auto", made.root)
    parts = split_pairs(pairs, 0.4)
    assert list(train.names) == [pairs[i].name for i in parts.train]
    assert list(val.names) == [pairs[i].name for i in parts.val]
    assert not set(train.names) & set(val.names)
    image, labels = val[0]
    assert image.shape[:2] == labels.shape
    assert np.isin(labels, [*range(made.ontology.n_classes), 255]).all()


def test_train_on_what_was_prepared_and_evaluate_on_it_and_on_the_source(tmp_path: Path) -> None:
    made = write_potsdam(tmp_path / "data")
    data, run, out = tmp_path / "prepared", tmp_path / "run", tmp_path / "evaluation"
    words = ["--val", "0.4", "--tile", "32", "48", "--overlap", "4"]
    assert main(["prepare", str(made.root), "--out", str(data), *words]) == 0
    assert main(["train", "--config", "tiny", "--data", str(data), "--out", str(run), *SMALL, *SIZE]) == 0
    checkpoint = run / "checkpoints" / "best.ckpt"
    for root, part, images in ((data, "val", 9), (data, "test", 9), (made.root, "all", 4)):
        words = ["--data", str(root), "--split", part, "--out", str(out / part)]
        assert main(["evaluate", str(checkpoint), *words]) == 0
        metrics = json.loads((out / part / "metrics.json").read_text(encoding="utf-8"))
        assert metrics["images"] == images


@pytest.mark.shared_data
def test_a_real_rellis_frame(shared_data: Path, tmp_path: Path) -> None:
    for source, folder in (("jpg", "pylon_camera_node"), ("png", "pylon_camera_node_label_id")):
        place = tmp_path / "Rellis-3D" / "00000" / folder
        place.mkdir(parents=True)
        shutil.copy(next((shared_data / "rellis_frame").glob(f"frame*.{source}")), place)
    (pair,) = list_pairs("auto", tmp_path)
    assert pair.group == "00000"
    image, labels = read_pair(pair, load_ontology("rellis3d"))
    assert image.shape == (1200, 1920, 3)
    present = set(np.unique(labels))
    assert present <= {*range(19), 255}
    assert len(present) > 3
