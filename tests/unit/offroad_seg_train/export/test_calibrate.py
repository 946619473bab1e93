# SPDX-License-Identifier: Apache-2.0
"""Temperature and OOD threshold: fitted as they are defined, inside the graph, and without moving a label."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest
import torch

from offroad_seg.bundle import Bundle
from offroad_seg.cli.main import main
from offroad_seg.engines.registry import load_engine
from offroad_seg.errors import DataError, GateError, InputError
from offroad_seg.image import Letterbox
from offroad_seg.ontology import load_ontology
from offroad_seg.segmenter import Segmenter
from offroad_seg.types import OOD_THRESHOLD, Frame
from offroad_seg_train.checkpoint import load_checkpoint
from offroad_seg_train.evaluation.frames import FrameSource, choose_frames
from offroad_seg_train.export.calibrate import calibrate, fit_ood, fit_temperature, reliability
from offroad_seg_train.export.exporter import CalibrateOptions, ExportOptions, export_checkpoint
from offroad_seg_train.export.graph import DeployedModel, OodScore, ood_score
from offroad_seg_train.export.logit_sample import LogitSample, sample_logits
from offroad_seg_train.training.config import DataConfig
from tests.helpers.checkpoints import write_checkpoint
from tests.helpers.large_scene import CONFIG, scene, trained_network

if TYPE_CHECKING:
    from pathlib import Path

MARS = load_ontology("ai4mars")
HEIGHT, WIDTH = 96, 128


def sample(temperature: float, n: int = 40_000, seed: int = 0) -> LogitSample:
    """Logits whose true labels are drawn from their softmax at a temperature."""
    random = np.random.default_rng(seed)
    logits = random.normal(0, 2.5, (n, 5)).astype(np.float32)
    # The Gumbel trick draws from a softmax.
    labels = (logits / temperature + random.gumbel(size=logits.shape)).argmax(axis=1)
    return LogitSample(logits, labels, np.arange(n) * 10 // n, 10, (HEIGHT, WIDTH))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trained checkpoint and labelled scenes, some of whose pixels carry no class."""
    root = tmp_path_factory.mktemp("calibrate")
    for name in ("images", "masks"):
        (root / "data" / name).mkdir(parents=True)
    for i in range(6):
        image, labels = scene(MARS, 110, 150, seed=i)
        labels[:20, : 25 * i] = 255
        cv2.imwrite(str(root / "data" / "images" / f"{i}.png"), image[..., ::-1])
        cv2.imwrite(str(root / "data" / "masks" / f"{i}.png"), MARS.decode(labels).astype(np.uint8))
    write_checkpoint(
        root / "best.ckpt",
        ontology="ai4mars",
        height=HEIGHT,
        width=WIDTH,
        config=CONFIG,
        network=trained_network(MARS, 60),
        data=DataConfig(root=str(root / "data"), val_fraction=0.5),
    )
    return root


@pytest.fixture(scope="module")
def bundle(folder: Path) -> Bundle:
    options = ExportOptions(gate_count=2, calibrate=CalibrateOptions(folder / "data", part="all"))
    return export_checkpoint(folder / "best.ckpt", folder / "bundle", options)


@pytest.mark.parametrize("temperature", [0.4, 1.0, 3.0])
def test_the_temperature_of_the_labels_is_found(temperature: float) -> None:
    drawn = sample(temperature)
    found = fit_temperature(drawn)
    assert found == pytest.approx(temperature, rel=0.03)
    assert (reliability(drawn, found).ece() or 0) < 0.01
    if temperature != 1.0:
        assert (reliability(drawn, 1.0).ece() or 0) > 0.1


def test_labels_that_determine_no_temperature_are_refused() -> None:
    logits = sample(1.0).logits_NC
    frames = np.arange(len(logits)) * 10 // len(logits)
    for labels in (logits.argmax(axis=1), logits.argmin(axis=1)):  # all right; worse than guessing
        with pytest.raises(GateError, match="do not determine a temperature"):
            fit_temperature(LogitSample(logits, labels, frames, 10, (HEIGHT, WIDTH)))


def test_every_labelled_pixel_has_the_same_chance(folder: Path) -> None:
    model = load_checkpoint(folder / "best.ckpt")
    frames = choose_frames(FrameSource(folder / "data"), MARS, {}, where="")
    box = Letterbox(HEIGHT, WIDTH)
    everything = sample_logits(model.module, box, frames, pixels=10**9)
    assert everything.n_frames == 6
    per_frame = np.bincount(everything.frames_N)
    # Unlabelled and padding are left out, nothing else is.
    for i in range(6):
        mask = cv2.imread(str(folder / "data" / "masks" / f"{i}.png"), cv2.IMREAD_UNCHANGED)
        assert per_frame[i] == np.count_nonzero(box.apply_mask(MARS.encode(mask)) != 255)
    part = sample_logits(model.module, box, frames, pixels=20_000)
    share = len(part.labels_N) / len(everything.labels_N)
    assert share == pytest.approx(20_000 / (6 * HEIGHT * WIDTH), rel=0.05)
    np.testing.assert_allclose(np.bincount(part.frames_N) / per_frame, share, rtol=0.1)
    classes = np.bincount(part.labels_N) / np.bincount(everything.labels_N)
    np.testing.assert_allclose(classes, share, rtol=0.1)
    again = sample_logits(model.module, box, frames, pixels=20_000)
    np.testing.assert_array_equal(again.logits_NC, part.logits_NC)
    first, second = part.halves()
    assert set(first.frames_N) == {0, 1, 2}
    assert set(second.frames_N) == {3, 4, 5}


def test_ood_is_optional_and_too_few_images_are_refused(folder: Path) -> None:
    model = load_checkpoint(folder / "best.ckpt")
    frames = choose_frames(FrameSource(folder / "data"), MARS, {}, where="")
    found = calibrate(model.module, Letterbox(HEIGHT, WIDTH), frames)  # no OOD score was asked for
    assert found.ood is found.ood_record is None
    del frames.pairs[1:]
    with pytest.raises(DataError, match="too few"):
        calibrate(model.module, Letterbox(HEIGHT, WIDTH), frames)


@pytest.mark.parametrize("score", ["max_logit", "energy"])
def test_ood_scores_are_what_they_are_called(score: str) -> None:
    drawn = sample(1.0)
    ood = fit_ood(drawn, score, 98.0)
    logits = torch.from_numpy(drawn.logits_NC)
    expected = -logits.amax(dim=1) if score == "max_logit" else -torch.logsumexp(logits, dim=1)
    found = ood_score(logits, score, dim=1)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    assert float((found >= ood.threshold).float().mean()) == pytest.approx(0.02, abs=1e-3)
    assert ood.threshold - ood.scale == pytest.approx(float(found.median()), abs=1e-3)
    # In the graph: 128 at the threshold, 64 at the median, and whole at both ends.
    steps = torch.tensor([0.0, -1e-3, -1.0, -2.0, -9.0, 1.0, 9.0]) * ood.scale + ood.threshold
    two = torch.full((1, 2, 1, 7), -40.0)
    two[:, 0, 0] = -steps
    image = torch.zeros((1, 1, 7, 3), dtype=torch.uint8)

    class Fixed(torch.nn.Module):
        def forward(self, _: torch.Tensor) -> torch.Tensor:
            return two

    *_, given = DeployedModel(Fixed(), ood=OodScore(score, ood.threshold, ood.scale))(image)
    assert given.dtype == torch.uint8
    assert given[0, 0].tolist() == [128, 127, 64, 0, 0, 192, 255]


def test_a_score_that_never_varies_is_refused() -> None:
    flat = LogitSample(
        np.zeros((100, 3), np.float32), np.zeros(100, int), np.zeros(100, int), 2, (HEIGHT, WIDTH)
    )
    with pytest.raises(GateError, match="no pixel can stand out"):
        fit_ood(flat, "energy")


@pytest.mark.parametrize("backend", ["onnxruntime", "torch"])
def test_the_bundle_holds_what_was_fitted(folder: Path, bundle: Bundle, backend: str) -> None:
    manifest = bundle.manifest
    assert manifest.calibration is not None
    assert manifest.ood is not None
    assert manifest.temperature == manifest.calibration["temperature"] != 1.0
    assert manifest.calibration["ece_after"] < manifest.calibration["ece_before"]
    assert manifest.calibration["fitted_on"]["images"] == 6
    assert str(folder) not in manifest.to_json()
    assert manifest.ood["score"] == "energy"
    module = load_checkpoint(folder / "best.ckpt").module
    image, _ = scene(MARS, HEIGHT, WIDTH, seed=50)
    logits = module(torch.from_numpy(image.transpose(2, 0, 1)[None].copy()))
    engine = load_engine(bundle, backend, device="cpu")
    output = engine.infer(image[None])
    # Calibration moves confidence, and no label.
    assert (output.labels_BHW[0] == logits.argmax(dim=1)[0].numpy()).mean() > 0.999
    best = (logits / manifest.temperature).softmax(dim=1).amax(dim=1)[0].numpy() * 255
    assert np.abs(output.confidence_BHW[0] - best).max() <= 1.0
    energy = -torch.logsumexp(logits, dim=1)[0].numpy()
    steps = np.floor(OOD_THRESHOLD + 64 * (energy - manifest.ood["threshold"]) / manifest.ood["scale"])
    assert output.ood_BHW is not None
    assert np.abs(output.ood_BHW[0] - steps.clip(0, 255)).max() <= 1.0
    engine.close()


def test_the_segmenter_hands_it_on_at_both_sizes(bundle: Bundle) -> None:
    segmenter = Segmenter(bundle, load_engine(bundle, device="cpu"))
    image, _ = scene(MARS, 300, 400, seed=51)
    image[100:200, 150:300] = [255, 0, 255]  # nothing like it was ever seen
    result = segmenter.segment(Frame(image, 0, ""))
    assert result.ood_HW is not None
    assert result.ood_HW.shape == (300, 400)
    assert result.network is not None
    assert result.network.ood_HW is not None
    assert result.network.ood_HW.shape == result.network.labels_HW.shape
    first = result.ood_HW.copy()
    segmenter.segment(Frame(255 - image, 1, ""))
    np.testing.assert_array_equal(result.ood_HW, first)  # kept until the next but one call


def test_of_the_training_folder_only_the_held_out_part_is_taken(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["export", str(folder / "best.ckpt"), "--calibrate", str(folder / "data"), "--gate-images", "1"]
    assert main([*words, "--ood", "max_logit", "--out", str(tmp_path / "b")]) == 0
    said = capsys.readouterr().out
    assert "from 3 images (val)" in said
    assert "out of distribution: max_logit above" in said
    manifest = Bundle.load(tmp_path / "b").manifest
    assert manifest.calibration is not None
    assert manifest.calibration["fitted_on"]["part"] == "val"
    assert main([*words, "--ood-percentile", "40", "--out", str(tmp_path / "d")]) == 2
    assert "above 50 and below 100" in capsys.readouterr().err
    with pytest.raises(InputError, match="are not those of the model"):
        options = CalibrateOptions(folder / "data", ontology="ycor")
        export_checkpoint(folder / "best.ckpt", tmp_path / "e", ExportOptions(calibrate=options))
