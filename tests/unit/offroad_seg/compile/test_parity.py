# SPDX-License-Identifier: Apache-2.0
"""The gate lets equal networks pass, and says what differs in the others."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest

from offroad_seg.compile.parity import GateImages, compare, gate_images, require
from offroad_seg.engines.base import EngineOutput
from offroad_seg.errors import GateError, ImageError
from offroad_seg.image import Letterbox

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

HEIGHT, WIDTH = 40, 50
NAMES = ["ground", "bush", "sky"]


def by_brightness(image_BHWC: np.ndarray) -> EngineOutput:
    labels = (image_BHWC[..., 0] // 86).astype(np.uint8)
    return EngineOutput(labels, image_BHWC[..., 1].copy(), np.ones(1, np.float32))


def with_errors(count: int, mean: float = 1.0) -> Callable[[np.ndarray], EngineOutput]:
    def infer(image_BHWC: np.ndarray) -> EngineOutput:
        output = by_brightness(image_BHWC)
        flat = output.labels_BHW.reshape(-1)
        flat[:count] = (flat[:count] + 1) % 3
        return EngineOutput(output.labels_BHW, output.confidence_BHW, np.array([mean], np.float32))

    return infer


@pytest.fixture
def images() -> GateImages:
    return gate_images(None, Letterbox(HEIGHT, WIDTH), count=2)


def test_equal_networks_pass(images: GateImages) -> None:
    parity = compare("same", by_brightness, by_brightness, images)
    assert parity.agreement == parity.worst_agreement == 1.0
    assert parity.pixels == 2 * HEIGHT * WIDTH
    assert parity.to_dict()["source"] == "synthetic"
    require([parity], "fp32", NAMES, where="x", mend="y")


@pytest.mark.parametrize(("errors", "passes"), [(2, True), (3, False)])
def test_the_limit_is_one_in_a_thousand(images: GateImages, errors: int, passes: bool) -> None:
    parity = compare("cand", by_brightness, with_errors(errors), images)
    assert parity.agreement == pytest.approx(1 - errors / 2000)
    if passes:
        require([parity], "fp32", NAMES, where="x", mend="y")
    else:
        with pytest.raises(
            GateError, match=r"cand: 99\.8500% of 4000 pixels agree \(limit 99\.9%\)"
        ) as caught:
            require([parity], "fp32", NAMES, where="x", mend="y")
        assert "→" in caught.value.what
        assert any(f"{name} " in caught.value.what for name in NAMES)
        require([parity], "fp16", NAMES, where="x", mend="y")  # half precision may differ more


def test_not_finite_fails_though_all_labels_agree(images: GateImages) -> None:
    parity = compare("cand", by_brightness, with_errors(0, mean=float("nan")), images)
    assert parity.agreement == 1.0
    with pytest.raises(GateError, match="not finite on 2 images: synthetic_0, synthetic_1"):
        require([parity], "fp32", NAMES, where="x", mend="y")


def test_an_engine_that_reuses_its_arrays_is_compared_rightly(images: GateImages) -> None:
    kept = EngineOutput(
        np.empty((1, HEIGHT, WIDTH), np.uint8), np.empty((1, HEIGHT, WIDTH), np.uint8), np.ones(1, np.float32)
    )

    def first(image: np.ndarray) -> EngineOutput:
        kept.labels_BHW[:], kept.confidence_BHW[:] = 0, 10
        return kept

    def second(image: np.ndarray) -> EngineOutput:
        kept.labels_BHW[:], kept.confidence_BHW[:] = 1, 61
        return kept

    parity = compare("cand", first, second, images)
    assert parity.agreement == 0.0
    assert parity.differing == {(0, 1): 2 * HEIGHT * WIDTH}
    assert parity.max_confidence_difference == pytest.approx(51 / 255)


def test_images_come_evenly_from_a_folder_and_are_letterboxed(tmp_path: Path) -> None:
    for i in range(9):
        cv2.imwrite(str(tmp_path / f"{i}.png"), np.full((30, 60, 3), 20 * i, np.uint8))
    chosen = gate_images(tmp_path, Letterbox(HEIGHT, WIDTH), count=3)
    assert [name for name, _ in chosen.images] == ["0.png", "4.png", "8.png"]
    assert chosen.source == "real"
    assert chosen.images[1][1].shape == (HEIGHT, WIDTH, 3)
    assert chosen.images[1][1][20, 25].tolist() == [80, 80, 80]
    assert len(gate_images(tmp_path, Letterbox(HEIGHT, WIDTH), count=50).images) == 9
    with pytest.raises(ImageError):
        gate_images(tmp_path / "nowhere", Letterbox(HEIGHT, WIDTH))


def test_synthetic_images_are_the_same_each_time_and_use_the_whole_range() -> None:
    a, b = (gate_images(None, Letterbox(HEIGHT, WIDTH)).images for _ in range(2))
    assert all(np.array_equal(x[1], y[1]) for x, y in zip(a, b, strict=True))
    assert all(image.min() == 0 and image.max() == 255 for _, image in a)
    assert not np.array_equal(a[0][1], a[1][1])
