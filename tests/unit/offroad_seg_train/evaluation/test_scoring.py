# SPDX-License-Identifier: Apache-2.0
"""Probabilities of views, from checkpoints and from bundles."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest
import torch

from offroad_seg.errors import EngineError, InputError
from offroad_seg.image import Letterbox
from offroad_seg.ontology import load_ontology
from offroad_seg_train.evaluation.labelling import Labeller, LabelOptions
from offroad_seg_train.evaluation.opened import open_model
from offroad_seg_train.evaluation.scoring import (
    CheckpointScorer,
    EngineScorer,
    Viewer,
    Views,
    resize_scores,
    spread,
)
from tests.helpers.bundles import make_color_bundle
from tests.helpers.checkpoints import write_checkpoint

if TYPE_CHECKING:
    from pathlib import Path

MARS = load_ontology("ai4mars")


def picture(height: int, width: int, seed: int = 0) -> np.ndarray:
    grid = np.random.default_rng(seed).integers(0, 256, (7, 9, 3), np.uint8)
    return np.asarray(cv2.resize(grid, (width, height), interpolation=cv2.INTER_CUBIC), np.uint8)


def test_spread_claims_no_more_than_label_and_confidence() -> None:
    labels = np.array([[0, 2], [1, 1]], np.uint8)
    confidence = np.array([[255, 51], [153, 0]], np.uint8)
    scores = spread(labels, confidence, 3)
    np.testing.assert_allclose(scores.sum(axis=0), 1.0, rtol=1e-6)
    assert scores[:, 0, 0].tolist() == [1.0, 0.0, 0.0]
    # The label of three classes has a third at least, whatever the rounding says.
    np.testing.assert_allclose(scores[:, 0, 1], [1 / 3, 1 / 3, 1 / 3], rtol=1e-6)
    np.testing.assert_allclose(scores[:, 1, 0], [0.2, 0.6, 0.2], rtol=1e-6)


def test_flips_are_every_way_of_turning_and_the_first_is_none() -> None:
    assert Views().flips == [()]
    assert Views(mirror=True).flips == [(), (1,)]
    assert sorted(Views(mirror=True, vertical=True).flips) == [(), (0,), (0, 1), (1,)]
    assert Views((0.75, 1.0), mirror=True).count == 4
    assert Views().plain
    assert not Views((0.5,)).plain
    for scales in ((), (0.0,), (5.0,), (float("nan"),)):
        with pytest.raises(InputError, match="scales"):
            Views(scales)


def test_views_of_a_checkpoint_are_the_mean_of_its_probabilities(tmp_path: Path) -> None:
    model = open_model(write_checkpoint(tmp_path / "a.ckpt", ontology="ai4mars", height=64, width=96))
    assert model.checkpoint is not None
    module, n = model.checkpoint.module, MARS.n_classes
    image = picture(64, 96)
    viewer = Viewer(CheckpointScorer(module, n, "cpu"), Letterbox(64, 96), Views(mirror=True, vertical=True))
    pixels = torch.from_numpy(image.transpose(2, 0, 1)[None].copy())
    expected = torch.zeros(1, n, 64, 96)
    for axes in ([], [2], [3], [2, 3]):
        expected += module(pixels.flip(axes)).softmax(dim=1).flip(axes) / 4
    found = viewer.scores(image)
    np.testing.assert_allclose(found, expected[0].numpy(), atol=1e-5)
    np.testing.assert_allclose(found.sum(axis=0), 1.0, atol=1e-5)
    # What is turned gives what is turned.
    np.testing.assert_allclose(viewer.scores(image[:, ::-1].copy()), found[:, :, ::-1], atol=1e-5)


def test_scales_see_the_image_itself_enlarged(tmp_path: Path) -> None:
    model = open_model(write_checkpoint(tmp_path / "a.ckpt", ontology="ai4mars", height=48, width=64))
    assert model.checkpoint is not None
    scorer = CheckpointScorer(model.checkpoint.module, MARS.n_classes, "cpu")
    image = picture(96, 128)
    big = scorer(image)  # at scale 2 the network sees every pixel of it
    found = Viewer(scorer, Letterbox(48, 64), Views((2.0,))).scores(image)
    np.testing.assert_allclose(found, resize_scores(big, (48, 64)), atol=1e-5)
    one = Viewer(scorer, Letterbox(48, 64), Views()).scores(image)
    both = Viewer(scorer, Letterbox(48, 64), Views((1.0, 2.0))).scores(image)
    np.testing.assert_allclose(both, (one + found) / 2, atol=1e-5)


@pytest.mark.parametrize("size", [(30, 50), (48, 64), (90, 200), (48, 65)])
def test_a_bundle_scores_any_size_by_padding_or_by_windows(tmp_path: Path, size: tuple[int, int]) -> None:
    model = open_model(make_color_bundle(tmp_path / "b", MARS, 48, 64).path)
    scorer = EngineScorer(model.segmenter.engine, Letterbox(48, 64), MARS.n_classes)
    ids = (np.arange(size[1]) * MARS.n_classes // size[1]).astype(np.uint8)[None].repeat(size[0], 0)
    scores = scorer(MARS.colorize(ids))
    assert scores.shape == (MARS.n_classes, *size)
    np.testing.assert_array_equal(scores.argmax(axis=0), ids)
    np.testing.assert_allclose(scores.sum(axis=0), 1.0, atol=1e-3)


@pytest.mark.parametrize("views", [Views((0.75, 1.0, 1.25), mirror=True), Views((2.0,), vertical=True)])
def test_views_of_a_bundle_keep_labels_in_place(tmp_path: Path, views: Views) -> None:
    model = open_model(make_color_bundle(tmp_path / "b", MARS, 48, 64).path)
    ids = np.zeros((96, 128), np.uint8)
    ids[:, 70:] = 1
    ids[60:, :30] = 2
    labels, confidence = Labeller(model, LabelOptions(views)).label(MARS.colorize(ids))
    assert labels.shape == confidence.shape == ids.shape
    assert (labels == ids).mean() > 0.97  # but for the edges, where resizing mixes colours


def test_one_view_of_the_whole_is_the_path_of_the_vehicle(tmp_path: Path) -> None:
    model = open_model(write_checkpoint(tmp_path / "a.ckpt", ontology="ai4mars", height=50, width=70))
    image = picture(120, 130)
    labels, confidence = (a.copy() for a in Labeller(model, LabelOptions()).label(image))
    expected, sure = model.predict(image)
    np.testing.assert_array_equal(labels, expected)
    np.testing.assert_array_equal(confidence, sure)
    # And the general path says the same.
    again, sure_again = Labeller(model, LabelOptions())._viewer.label(image)
    np.testing.assert_array_equal(again, expected)
    assert np.abs(sure_again.astype(int) - sure).max() <= 1


def test_what_is_not_finite_is_an_error(tmp_path: Path) -> None:
    checkpoint = open_model(write_checkpoint(tmp_path / "a.ckpt", ontology="ai4mars", poison=float("nan")))
    bundle = open_model(make_color_bundle(tmp_path / "b", MARS, 48, 64, sharpness=float("nan")).path)
    for model in (checkpoint, bundle):
        with pytest.raises(EngineError, match="not finite"):
            Labeller(model, LabelOptions(Views(mirror=True))).label(picture(48, 64))
