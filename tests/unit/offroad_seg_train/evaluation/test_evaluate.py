# SPDX-License-Identifier: Apache-2.0
"""``evaluate``: the figures are those of the pixels, by the path of the vehicle."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest

from offroad_seg.cli.main import main
from offroad_seg.metrics import confusion, metrics_from_confusion
from offroad_seg.ontology import load_ontology
from offroad_seg_train.evaluation.frames import FrameSource, choose_frames
from offroad_seg_train.evaluation.opened import open_model
from offroad_seg_train.training.config import DataConfig
from tests.helpers.bundles import make_color_bundle
from tests.helpers.checkpoints import write_checkpoint
from tests.helpers.datasets import write_ycor

if TYPE_CHECKING:
    from pathlib import Path

DESERT = load_ontology("duality_desert")
HEIGHT, WIDTH = 36, 60
KEYS = {
    *("miou", "miou_present", "n_classes_present", "miou_batch_mean", "pixel_accuracy", "mean_dice"),
    *("per_class", "ece", "boundary_iou", "images", "seconds"),
}


def write_data(root: Path, count: int, wrong: int = 0) -> None:
    """Images painted in the colours of their classes: the colour bundle labels them without an error.

    The masks of the last ``wrong`` frames say Sky where the image shows Rocks.
    """
    random = np.random.default_rng(3)
    for folder in ("Color_Images", "Segmentation"):
        (root / folder).mkdir(parents=True)
    for i in range(count):
        blocks = random.integers(0, DESERT.n_classes, (HEIGHT // 12, WIDTH // 12)).astype(np.uint8)
        blocks[0, 0] = DESERT.id_of("Rocks")
        labels = np.kron(blocks, np.ones((12, 12), np.uint8))
        truth = labels.copy()
        if i >= count - wrong:
            truth[truth == DESERT.id_of("Rocks")] = DESERT.id_of("Sky")
        cv2.imwrite(str(root / "Color_Images" / f"cc{i:07d}.png"), DESERT.colorize(labels)[..., ::-1])
        cv2.imwrite(str(root / "Segmentation" / f"cc{i:07d}.png"), DESERT.decode(truth))


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return make_color_bundle(tmp_path / "bundle", DESERT, HEIGHT, WIDTH).path


def test_perfect_model_gets_one_in_everything(
    tmp_path: Path, bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_data(tmp_path / "data", 3)
    out = tmp_path / "out"
    assert main(["evaluate", str(bundle), "--data", str(tmp_path / "data"), "--out", str(out)]) == 0
    metrics = json.loads((out / "metrics.json").read_text())
    assert metrics.keys() >= KEYS
    for key in ("miou", "miou_present", "miou_batch_mean", "pixel_accuracy", "mean_dice", "boundary_iou"):
        assert metrics[key] == 1.0, key
    assert metrics["images"] == 3
    assert metrics["model"]["engine"]["backend"] == "onnxruntime"
    data = {"root": str(tmp_path / "data"), "layout": "duality", "part": "all", "images": 3}
    assert metrics["data"] == data
    assert (out / "frames.csv").read_text().splitlines()[1].startswith('"cc0000000",1.000000,1.000000,')
    for name in ("confusion_matrix.png", "reliability.png"):
        assert cv2.imread(str(out / name)) is not None
    assert sum(b["pixels"] for b in metrics["reliability"]) == 3 * HEIGHT * WIDTH
    assert metrics["latency_ms"]["total"]["p50"] > 0
    assert metrics["per_class"]["Rocks"]["boundary_iou"] == 1.0
    assert metrics["labelling"] == {
        "tile": None, "overlap": None, "scales": [1.0], "mirror": False, "vertical": False,
    }  # fmt: skip
    said = capsys.readouterr().out
    assert "Lush Bushes" in said
    assert "miou_present            1.0000" in said


def test_errors_are_counted_and_the_worst_frames_drawn(tmp_path: Path, bundle: Path) -> None:
    write_data(tmp_path / "data", 5, wrong=2)
    words = ["evaluate", str(bundle), "--data", str(tmp_path / "data"), "--out", str(tmp_path / "out")]
    assert main([*words, "--worst", "2", "--batch-size", "5"]) == 0
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert metrics["miou"] == metrics["miou_batch_mean"] < 1.0
    assert metrics["per_class"]["Rocks"]["recall"] == 1.0
    assert metrics["per_class"]["Rocks"]["precision"] < 1.0
    assert metrics["per_class"]["Sky"]["recall"] < 1.0
    drawn = sorted(p.name for p in (tmp_path / "out" / "worst").iterdir())
    assert {name[3:-4] for name in drawn} == {"cc0000003", "cc0000004"}
    assert [name[:2] for name in drawn] == ["01", "02"]


def test_figures_are_those_of_the_pixels_at_the_images_own_size(tmp_path: Path) -> None:
    write_data(tmp_path / "data", 2)
    checkpoint = write_checkpoint(tmp_path / "best.ckpt", height=48, width=64)
    words = ["evaluate", str(checkpoint), "--data", str(tmp_path / "data"), "--out", str(tmp_path / "out")]
    assert main(words) == 0
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
    model = open_model(checkpoint)
    counts = np.zeros((DESERT.n_classes, DESERT.n_classes + 1), np.int64)
    for i in range(2):
        image = cv2.imread(str(tmp_path / "data" / "Color_Images" / f"cc{i:07d}.png"))[..., ::-1]
        raw = cv2.imread(str(tmp_path / "data" / "Segmentation" / f"cc{i:07d}.png"), cv2.IMREAD_UNCHANGED)
        labels, _ = model.predict(np.ascontiguousarray(image))
        assert labels.shape == (HEIGHT, WIDTH)
        counts += confusion(labels, DESERT.encode(raw), DESERT.n_classes)
    expected = metrics_from_confusion(counts, DESERT.names)
    assert metrics["miou"] == expected["miou"]
    assert metrics["pixel_accuracy"] == expected["pixel_accuracy"]
    assert 0.0 <= metrics["ece"] <= 1.0
    assert metrics["model"]["engine"]["backend"] == "checkpoint"


def test_val_takes_what_training_held_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    from offroad_seg_train.data.splits import split

    data = tmp_path / "data"
    write_data(data, 10)
    config = DataConfig(root=str(data), val_fraction=0.3)
    checkpoint = write_checkpoint(tmp_path / "best.ckpt", data=config)
    words = ["evaluate", str(checkpoint), "--data", str(data), "--worst", "0"]
    assert main([*words, "--split", "val", "--out", str(tmp_path / "val")]) == 0
    names = [
        line.split(",")[0].strip('"') for line in (tmp_path / "val" / "frames.csv").read_text().splitlines()
    ]
    all_names = [f"cc{i:07d}" for i in range(10)]
    assert names[1:] == [all_names[i] for i in split(all_names, 0.3).val]
    assert not (tmp_path / "val" / "worst").exists()
    assert "trained on" not in caplog.text
    assert main([*words, "--out", str(tmp_path / "all")]) == 0
    assert "trained on" in caplog.text


@pytest.mark.parametrize("case", ["layout", "classes", "val", "size", "empty", "model", "backend"])
def test_bad_input_exits_2_and_leaves_nothing(
    tmp_path: Path, bundle: Path, capsys: pytest.CaptureFixture[str], case: str
) -> None:
    data = tmp_path / "data"
    write_data(data, 2)
    words = {"layout": ["--layout", "ycor"], "classes": ["--ontology", "ai4mars"], "val": ["--split", "val"]}
    complaint = {
        "layout": "is empty",
        "classes": "are not those of the model",
        "val": "does not say how its data was split",
        "size": "differ in size",
        "empty": "no such data folder",
        "model": "no such checkpoint",
        "backend": "no back end 'x'",
    }
    if case == "size":
        cv2.imwrite(str(data / "Segmentation" / "cc0000001.png"), np.full((9, 9), 100, np.uint16))
    if case == "empty":
        shutil.rmtree(data)
    model = tmp_path / "none.ckpt" if case == "model" else bundle
    extra = ["--backend", "x"] if case == "backend" else words.get(case, [])
    out = str(tmp_path / "out")
    assert main(["evaluate", str(model), "--data", str(data), "--out", out, *extra]) == 2
    assert complaint[case] in capsys.readouterr().err
    assert [p for p in tmp_path.iterdir() if p.name.startswith((".", "out"))] == []


def test_results_are_not_overwritten_unasked(tmp_path: Path, bundle: Path) -> None:
    write_data(tmp_path / "data", 1)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "precious.txt").write_text("mine")
    words = ["evaluate", str(bundle), "--data", str(tmp_path / "data"), "--out", str(tmp_path / "out")]
    assert main(words) == 2
    assert (tmp_path / "out" / "precious.txt").read_text() == "mine"
    assert main([*words, "--overwrite"]) == 0
    assert not (tmp_path / "out" / "precious.txt").exists()


def test_windows_and_views_reach_the_figures(tmp_path: Path, bundle: Path) -> None:
    write_data(tmp_path / "data", 2)
    words = ["evaluate", str(bundle), "--data", str(tmp_path / "data"), "--worst", "0", "--out"]
    assert main([*words, str(tmp_path / "tile"), "--tile", "60"]) == 0
    metrics = json.loads((tmp_path / "tile" / "metrics.json").read_text())
    assert metrics["pixel_accuracy"] == 1.0
    assert metrics["labelling"]["tile"] == [36, 60]
    assert main([*words, str(tmp_path / "tta"), "--tta", "--tta-vertical"]) == 0
    metrics = json.loads((tmp_path / "tta" / "metrics.json").read_text())
    assert metrics["labelling"]["scales"] == [0.75, 1.0, 1.25]
    assert metrics["labelling"]["mirror"]
    assert metrics["labelling"]["vertical"]
    assert metrics["pixel_accuracy"] > 0.97  # smaller and larger views blur the blocks' edges
    assert "upside down" in (tmp_path / "tta" / "report.html").read_text()


def test_a_temperature_is_fitted_on_a_checkpoint_alone(
    tmp_path: Path, bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_data(tmp_path / "data", 4)
    words = ["--data", str(tmp_path / "data"), "--calibrate", "--out", str(tmp_path / "out")]
    assert main(["evaluate", str(bundle), *words]) == 2
    assert "gives no logits" in capsys.readouterr().err
    checkpoint = write_checkpoint(tmp_path / "best.ckpt", height=48, width=64)
    assert main(["evaluate", str(checkpoint), *words]) == 0
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert metrics["calibration"]["nll_after"] <= metrics["calibration"]["nll_before"]
    assert metrics["calibration"]["fitted_on"]["images"] == 4
    assert metrics["model"]["temperature"] == 1.0  # it is only said, not used
    assert "export --calibrate" in capsys.readouterr().out
    assert "calibration error" in (tmp_path / "out" / "report.html").read_text()


def test_data_of_another_label_set_are_not_read_as_the_model_s_without_a_word(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    made = write_ycor(tmp_path / "data")
    for own, warned in (("ai4mars", True), ("ycor", False)):
        caplog.clear()
        frames = choose_frames(FrameSource(made.root), load_ontology(own), {}, where="model")
        assert frames.ontology.name == own
        said = "data of layout ycor come with ontology ycor; their values are read as those of ai4mars"
        assert (said in caplog.text) == warned
