# SPDX-License-Identifier: Apache-2.0
"""Every recipe of ``config/train/`` goes the whole way by the commands: train, stop, resume, evaluate, export, compile, predict.

On real photographs with the network, loss, optimiser, schedule and augmentation that the file names; only size, number
of frames and number of steps are small. Where the real images are not at hand, on drawn scenes, with a small backbone
of the same family in place of one that would only cost time. Tests of the networks themselves are in tests/unit.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pytest

from offroad_seg.bundle import Bundle
from offroad_seg.cli.main import main
from offroad_seg.compile import judge
from offroad_seg_train.checkpoint import LoadedModel, load_checkpoint
from offroad_seg_train.data.layouts import list_pairs
from offroad_seg_train.data.reading import read_mask, unknown_values
from offroad_seg_train.training.recipe import load_recipe, recipe_names
from tests.conftest import data_folder
from tests.helpers.planted import scene, write_frame
from tests.unit.offroad_seg_train.training.test_phases import Interrupt

pytestmark = [pytest.mark.parallel, pytest.mark.slow, pytest.mark.timeout(900)]

TRAINING, VALIDATION = 2, 2
SIZE = ["data.height=64", "data.width=112"]
# These work at full resolution from the first layer on.
SMALL_SIZE = ["data.height=32", "data.width=56"]
SIZES = {"cse_unet": SMALL_SIZE, "multires_unet": SMALL_SIZE}
# Folder of real images, and every how many of its frames to take: neighbours look alike.
DUALITY, YCOR, MARS = ("duality_sample", 9), ("ycor_small", 41), ("ai4mars_small", 47)
REAL = {
    "aspp_unet": MARS,
    "baseline_v1": DUALITY,
    "desert": DUALITY,
    "desert_small": YCOR,
    "resnet50_fpn": DUALITY,
    "tiny": DUALITY,
}
# In place of ResNet34, 50 and 101, and of ViT-B/14.
SMALL = ["model.backbone=resnet10t"]
SMALL_BACKBONES = {
    "aspp_unet": SMALL,
    "attention_unet": SMALL,
    "baseline_v1": SMALL,
    "deeplabv3plus_resnet50": SMALL,
    "deeplabv3plus_resnet101": SMALL,
    "desert": SMALL,
    "dinov2_unet": ["model.backbone=vit_tiny_patch16_224"],
    "resnet50_fpn": SMALL,
    "unet_resnet34": SMALL,
    "unet_resnet50": SMALL,
}


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("scenes")
    for part, seeds in (("train", range(TRAINING)), ("val", range(100, 100 + VALIDATION))):
        for seed in seeds:
            image, mask = scene(seed, 64, 112)
            write_frame(root / part, f"f{seed:03d}", image, mask)
    return root


def photographs(name: str, shared_data: Path, root: Path) -> Path:
    """Links to a handful of real frames, a part of them to validate on."""
    folder, step = REAL.get(name, YCOR)
    pairs = list_pairs("auto", shared_data / folder)[::step]
    for i, pair in enumerate(pairs[: TRAINING + VALIDATION]):
        part = root / ("train" if i < TRAINING else "val")
        for file in (pair.image, pair.mask):
            link = part / file.relative_to(shared_data / folder)
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(file.resolve())
    return root


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A place for what a recipe leaves: up to 2 GB."""
    yield tmp_path
    shutil.rmtree(tmp_path)


def test_the_tables_name_recipes_that_are_there() -> None:
    assert {*SIZES, *REAL, *SMALL_BACKBONES} <= set(recipe_names())


@pytest.mark.shared_data
@pytest.mark.parametrize("name", recipe_names())
def test_a_recipe_goes_the_whole_way(name: str, shared_data: Path, folder: Path, monkeypatch) -> None:
    data = photographs(name, shared_data, folder / "data")
    trained = go_the_whole_way(name, data, folder, monkeypatch, SIZES.get(name, SIZE))
    assert trained.model_config == replace(load_recipe(name).model, backbone_weights="none")


@pytest.mark.skipif(
    data_folder() is not None, reason="the real images are here, on which each recipe is tried"
)
@pytest.mark.parametrize("name", recipe_names())
def test_a_recipe_goes_the_whole_way_without_real_images(
    name: str, drawn: Path, folder: Path, monkeypatch
) -> None:
    settings = [*SIZES.get(name, SIZE), *SMALL_BACKBONES.get(name, [])]
    go_the_whole_way(name, drawn, folder, monkeypatch, settings)


def go_the_whole_way(
    name: str, data: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, settings: list[str]
) -> LoadedModel:
    """Train, stop, resume, evaluate, export, compile, predict; ``settings`` are what differs from the file."""
    run, val = folder / "run", data / "val"
    small = ["data.workers=0", "batch_size=2", "device=cpu", "model.backbone_weights=none"]
    small += [f"data.val_root={val}", *settings, *_two_epochs(name)]
    words = ["train", "--config", name, "--data", str(data / "train"), "--out", str(run), *small]
    with monkeypatch.context() as patch:
        stop_before_epoch(2, patch)
        assert main(words) == 130, "interrupted"
    assert len(rows(run)) == 1
    assert main(["train", "--resume", "--out", str(run)]) == 0
    assert [row["epoch"] for row in rows(run)] == [1, 2]
    assert all(np.isfinite(row["train"]["loss"]) for row in rows(run))

    checkpoint = run / "checkpoints" / "best.ckpt"
    trained = load_checkpoint(checkpoint)
    assert trained.name == name
    evaluation = folder / "evaluation"
    assert main(["evaluate", str(checkpoint), "--data", str(val), "--out", str(evaluation)]) == 0
    figures = json.loads((evaluation / "metrics.json").read_text())
    assert figures["images"] == VALIDATION
    best = max(rows(run), key=lambda row: row["val"]["miou"])
    assert figures["miou"] == pytest.approx(best["val"]["miou"], abs=0.02)

    portable, engine, predicted = folder / "portable", folder / "engine", folder / "predicted"
    pairs = list_pairs("auto", val)
    # In some layouts every frame has a folder of its own.
    single = pairs[0].image.parent == pairs[1].image.parent
    pictures = pairs[0].image.parent if single else val / "*" / pairs[0].image.name
    gate = ["--images", str(pairs[0].image.parent if single else val), "--gate-images", "2"]
    assert main(["export", str(checkpoint), "--out", str(portable), *gate]) == 0
    with monkeypatch.context() as patch:
        patch.setattr(judge, "measure_latency", partial(judge.measure_latency, budget_s=0.1))
        assert main(["compile", str(portable), "--backend", "onnxruntime", "--out", str(engine), *gate]) == 0
    assert Bundle.load(engine).manifest.backend == "onnxruntime"
    assert main(["predict", str(engine), str(pictures), "--out", str(predicted)]) == 0
    masks, overlays = sorted(predicted.glob("masks/**/*.png")), sorted(predicted.glob("overlays/**/*.jpg"))
    assert len(masks) == len(overlays) == VALIDATION
    shape = cv2.imread(str(pairs[0].image)).shape
    for mask, overlay in zip(masks, overlays, strict=True):
        raw = read_mask(mask)
        assert raw.shape == shape[:2]
        assert not unknown_values(raw, trained.ontology)
        assert cv2.imread(str(overlay)).shape == shape
    return trained


def rows(run: Path) -> list[dict]:
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def _two_epochs(name: str) -> list[str]:
    """Two epochs of each recipe, one of each phase where it has some."""
    config = load_recipe(name)
    if config.phases:
        epochs = [f"phases.{i}.epochs=1" for i in range(len(config.phases))]
        return [*epochs, f"epochs={len(epochs)}", "schedule.warmup_epochs=0"]
    return ["epochs=2", f"schedule.warmup_epochs={min(1, config.schedule.warmup_epochs)}"]


def stop_before_epoch(epoch: int, patch: pytest.MonkeyPatch) -> None:
    """Ctrl-C as an epoch begins, inside the command."""
    from offroad_seg_train.training import run

    real = run.train
    patch.setattr(run, "train", lambda *args, **kwargs: real(*args, **kwargs, callbacks=[Interrupt(epoch)]))
