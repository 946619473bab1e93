# SPDX-License-Identifier: Apache-2.0
"""The gate lets equal networks pass, and says and shows what differs in the others."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest

from offroad_seg.compile.gate import LIMITS, failures, require
from offroad_seg.compile.gate_images import GateImages, gate_images
from offroad_seg.compile.parity import Parity, compare
from offroad_seg.compile.refused import write_refused
from offroad_seg.errors import GateError
from offroad_seg.image import Letterbox
from offroad_seg.ontology import load_ontology
from tests.helpers.gates import HEIGHT, NAMES, WIDTH, by_brightness, one_image, saying, with_errors

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def images() -> GateImages:
    return gate_images(None, Letterbox(HEIGHT, WIDTH), count=2)


def judged(images: GateImages, errors: int, mean: float = 1.0) -> Parity:
    return compare("cand", by_brightness, with_errors(errors, mean), images, names=NAMES)


@pytest.mark.parametrize(("errors", "passes"), [(2, True), (3, False)])
def test_the_limit_of_fp32_is_one_pixel_in_a_thousand(images: GateImages, errors: int, passes: bool) -> None:
    parity = judged(images, errors)
    if passes:
        require([parity], "fp32", where="x", mend="y")
        return
    with pytest.raises(GateError, match=r"cand: 99\.8500% of 4000 pixels agree \(limit 99\.9%\)") as caught:
        require([parity], "fp32", where="x", mend="y")
    assert "→" in caught.value.what
    assert all(f"{name} " in caught.value.what for name in NAMES)
    assert "synthetic_0" in caught.value.what
    require([parity], "fp16", where="x", mend="y")  # half precision may differ more


@pytest.mark.parametrize(("precision", "limit"), [("fp32", 0.999), ("fp16", 0.995), ("int8", 0.98)])
def test_each_precision_has_its_limit(precision: str, limit: float) -> None:
    labels = np.zeros((100, 200), np.uint8)
    labels[:, 100:] = 1
    for errors, passes in ((round(20000 * (1 - limit)) - 1, True), (round(20000 * (1 - limit)) + 1, False)):
        found = labels.copy()
        found.flat[:: len(found.flat) // errors] ^= 1
        parity = compare("cand", saying(labels), saying(found), one_image(labels), names=NAMES)
        bad = [f for f in failures(parity, LIMITS[precision]) if "agree" in f]
        assert (bad == []) is passes, (parity.agreement, bad)


def test_a_class_that_is_lost_fails_though_nearly_all_pixels_agree() -> None:
    labels = np.zeros((1000, 1200), np.uint8)
    labels[:20, :60] = 1  # 1200 of 1.2 million pixels
    found = labels.copy()
    found[:20, :13] = 0
    parity = compare("cand", saying(labels), saying(found), one_image(labels), names=NAMES)
    assert parity.agreement > 0.999
    assert failures(parity, LIMITS["fp32"]) == ["IoU of class bush changes by -0.2167 (limit 0.01)"]


def test_masks_judge_by_the_truth() -> None:
    labels = np.zeros((60, 100), np.uint8)
    labels[:, 50:] = 1
    truth, found = labels.copy(), labels.copy()
    labels[::12, :50] = 1  # the reference errs here
    found[6::12, :50] = 1  # and the engine as often elsewhere: no class is worse for it
    plain = compare("cand", saying(labels), saying(found), one_image(labels), names=NAMES)
    assert any("IoU" in f for f in failures(plain, LIMITS["fp16"]))
    masked = compare("cand", saying(labels), saying(found), one_image(labels, truth), names=NAMES)
    assert not any("IoU" in f for f in failures(masked, LIMITS["fp16"]))
    assert masked.to_dict()["iou_against"] == "truth"


def test_not_finite_fails_though_all_labels_agree(images: GateImages) -> None:
    parity = judged(images, 0, mean=float("nan"))
    assert parity.agreement == 1.0
    with pytest.raises(GateError, match="not finite on 2 of 2 images: synthetic_0, synthetic_1"):
        require([parity], "fp32", where="x", mend="y")


def test_a_label_that_is_no_class_fails() -> None:
    labels = np.full((40, 50), 3, np.uint8)
    parity = compare("cand", saying(labels), saying(labels), one_image(labels), names=NAMES)
    assert failures(parity, LIMITS["int8"]) == [
        "the network gives class 3, and the ontology names only 3 classes"
    ]


def test_out_of_distribution_must_agree() -> None:
    labels = np.zeros((40, 50), np.uint8)
    inside, outside = np.zeros((40, 50), np.uint8), np.full((40, 50), 200, np.uint8)
    parity = compare("cand", saying(labels, inside), saying(labels, outside), one_image(labels), names=NAMES)
    assert "out of distribution" in failures(parity, LIMITS["fp16"])[0]


def test_pictures_of_the_worst_frames(tmp_path: Path) -> None:
    ontology = load_ontology("ai4mars")
    chosen = gate_images(None, Letterbox(60, 100), count=6)
    parity = compare("cand", by_brightness, with_errors(500), chosen, names=ontology.names)
    folder = write_refused(tmp_path / "engine", parity, LIMITS["fp32"], ontology)
    assert folder == tmp_path / "engine.refused"
    pictures = sorted(folder.glob("*.png"))
    assert [p.name[:2] for p in pictures] == ["1_", "2_", "3_", "4_"]
    picture = cv2.imread(str(pictures[0]))
    assert picture.shape[1] == 2 * 664
    # The first 500 pixels differ: rows 0 to 4 of the upper right panel are the colour of an error.
    red = (picture == (60, 0, 255)).all(axis=2)
    assert red[34:60, 700:1300].mean() > 0.9
    assert red[:, :660].sum() == 0
    record = json.loads((folder / "refused.json").read_text())
    assert record["agreement"] == pytest.approx(1 - 500 / 6000)
    assert len(record["images_by_name"]) == 6
    assert "pixels agree (limit 99.9%)" in (folder / "refused.txt").read_text()
    # Written again over itself, but never over something else.
    assert write_refused(tmp_path / "engine", parity, LIMITS["fp32"], ontology) == folder
    (folder / "refused.json").unlink()
    assert write_refused(tmp_path / "engine", parity, LIMITS["fp32"], ontology) is None
