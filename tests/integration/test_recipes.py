# SPDX-License-Identifier: Apache-2.0
"""Every recipe of ``config/train/`` goes the whole way by the commands: train, stop, resume, evaluate, export, compile, predict.

Small: eight drawn scenes at 64×96, batches of two. Each recipe keeps its network, loss, optimiser, schedule and
augmentation; where the backbone would only cost time (checkpoints of hundreds of megabytes, exports of a minute), a
small one of the same family stands in for it. Tests of the networks themselves are in tests/unit.
"""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from offroad_seg.bundle import Bundle
from offroad_seg.cli.main import main
from offroad_seg_train.checkpoint import load_checkpoint
from offroad_seg_train.training.recipe import load_recipe, recipe_names
from tests.helpers.planted import scene, write_frame
from tests.unit.offroad_seg_train.training.test_phases import Interrupt

pytestmark = pytest.mark.timeout(900)

HEIGHT, WIDTH = 64, 96
# In place of ResNet34, 50 and 101, and of ViT-B/14.
SMALL = ["model.backbone=resnet10t"]
SMALL_VIT = ["model.backbone=vit_tiny_patch16_224"]
# These have no backbone to replace, and work at full resolution.
SMALL_PICTURES = ["data.height=32", "data.width=48"]
OVERRIDES = {
    "aspp_unet": SMALL,
    "attention_unet": SMALL,
    "baseline_v1": SMALL,
    "cse_unet": SMALL_PICTURES,
    "deeplabv3plus_resnet50": SMALL,
    "deeplabv3plus_resnet101": SMALL,
    "desert": SMALL,
    "dinov2_unet": SMALL_VIT,
    "multires_unet": SMALL_PICTURES,
    "resnet50_fpn": SMALL,
    "unet_resnet34": SMALL,
    "unet_resnet50": SMALL,
}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("scenes")
    for part, seeds in (("train", range(6)), ("val", range(100, 102))):
        for seed in seeds:
            image, mask = scene(seed, HEIGHT, WIDTH)
            write_frame(root / part, f"f{seed:03d}", image, mask)
    return root


def test_the_overrides_name_recipes_that_are_there() -> None:
    assert set(OVERRIDES) <= set(recipe_names())


@pytest.mark.slow
@pytest.mark.parametrize("name", recipe_names())
def test_a_recipe_goes_the_whole_way(name: str, data: Path, tmp_path: Path, monkeypatch) -> None:
    run = tmp_path / "run"
    small = [f"data.height={HEIGHT}", f"data.width={WIDTH}", "data.workers=0", "batch_size=2", "device=cpu"]
    small += ["model.backbone_weights=none", f"data.val_root={data / 'val'}", *OVERRIDES.get(name, [])]
    small += _two_epochs(name)
    words = ["train", "--config", name, "--data", str(data / "train"), "--out", str(run), *small]
    with monkeypatch.context() as patch:
        stop_before_epoch(2, patch)
        assert main(words) == 130, "interrupted"
    assert len(rows(run)) == 1
    assert main(["train", "--resume", "--out", str(run)]) == 0
    assert [row["epoch"] for row in rows(run)] == [1, 2]
    assert all(np.isfinite(row["train"]["loss"]) for row in rows(run))

    checkpoint = run / "checkpoints" / "best.ckpt"
    assert load_checkpoint(checkpoint).name == name
    evaluation = tmp_path / "evaluation"
    assert main(["evaluate", str(checkpoint), "--data", str(data / "val"), "--out", str(evaluation)]) == 0
    figures = json.loads((evaluation / "metrics.json").read_text())
    assert figures["images"] == 2
    best = max(rows(run), key=lambda row: row["val"]["miou"])
    assert figures["miou"] == pytest.approx(best["val"]["miou"], abs=0.02)

    portable, engine = tmp_path / "portable", tmp_path / "engine"
    gate = ["--images", str(data / "val" / "Color_Images"), "--gate-images", "2"]
    assert main(["export", str(checkpoint), "--out", str(portable), *gate]) == 0
    assert main(["compile", str(portable), "--backend", "onnxruntime", "--out", str(engine), *gate]) == 0
    assert Bundle.load(engine).manifest.backend == "onnxruntime"
    pictures = data / "val" / "Color_Images"
    assert main(["predict", str(engine), str(pictures), "--out", str(tmp_path / "predicted")]) == 0
    mask = cv2.imread(str(tmp_path / "predicted" / "masks" / "f100.png"), cv2.IMREAD_UNCHANGED)
    assert mask.shape == (HEIGHT, WIDTH)
    overlays = sorted((tmp_path / "predicted" / "overlays").iterdir())
    assert [cv2.imread(str(path)).shape for path in overlays] == [(HEIGHT, WIDTH, 3)] * 2


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
