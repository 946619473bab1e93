# SPDX-License-Identifier: Apache-2.0
"""``predict``: masks that can be labels themselves, at each image's own size."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest

from offroad_seg.cli.main import main
from offroad_seg.errors import InputError
from offroad_seg.ontology import Ontology, load_ontology
from offroad_seg_train.evaluation.predict import name_images
from tests.helpers.bundles import make_color_bundle

if TYPE_CHECKING:
    from pathlib import Path


def picture(ontology: Ontology, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Stripes of the classes' colours, and their ids."""
    ids = np.broadcast_to(np.arange(width) * ontology.n_classes // width, (height, width)).astype(np.uint8)
    return ontology.colorize(ids), ids


@pytest.mark.parametrize(
    ("name", "dtype"), [("duality_desert", np.uint16), ("ycor", np.uint8), ("rescuenet", np.uint8)]
)
def test_masks_hold_raw_values(tmp_path: Path, name: str, dtype: type) -> None:
    ontology = load_ontology(name)
    bundle = make_color_bundle(tmp_path / "bundle", ontology, 36, 60)
    image, ids = picture(ontology, 36, 60)
    (tmp_path / "in" / "sub").mkdir(parents=True)
    cv2.imwrite(str(tmp_path / "in" / "sub" / "a.png"), image[..., ::-1])
    words = ["predict", str(bundle.path), str(tmp_path / "in"), "--out", str(tmp_path / "out")]
    assert main(words) == 0
    mask = cv2.imread(str(tmp_path / "out" / "masks" / "sub" / "a.png"), cv2.IMREAD_UNCHANGED)
    assert mask.dtype == dtype
    raw = np.ascontiguousarray(mask[..., ::-1]) if mask.ndim == 3 else mask
    np.testing.assert_array_equal(ontology.encode(raw), ids)
    assert cv2.imread(str(tmp_path / "out" / "overlays" / "sub" / "a.jpg")).shape == image.shape
    assert main([*words, "--ids", "--overwrite"]) == 0
    mask = cv2.imread(str(tmp_path / "out" / "masks" / "sub" / "a.png"), cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(mask, ids)


def test_large_image_comes_back_at_its_own_size(tmp_path: Path) -> None:
    ontology = load_ontology("ai4mars")
    bundle = make_color_bundle(tmp_path / "bundle", ontology, 36, 60)
    image, ids = picture(ontology, 1100, 2600)
    cv2.imwrite(str(tmp_path / "big.png"), image[..., ::-1])
    words = ["predict", str(bundle.path), str(tmp_path / "big.png"), "--out", str(tmp_path / "out")]
    assert main(words) == 0
    mask = cv2.imread(str(tmp_path / "out" / "masks" / "big.png"), cv2.IMREAD_UNCHANGED)
    assert mask.shape == (1100, 2600)
    assert (ontology.encode(mask) == ids).mean() > 0.93  # the network sees 60 columns of it


def test_names(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "x.png").write_bytes(b"x")
    assert list(name_images([tmp_path])) == ["a/x", "b/x"]
    with pytest.raises(InputError, match="two images would be called x"):
        name_images([tmp_path / "a", tmp_path / "b" / "x.png"])


def test_bad_images_exit_2_and_leave_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bundle = make_color_bundle(tmp_path / "bundle", load_ontology("ai4mars"), 36, 60)
    image, _ = picture(load_ontology("ai4mars"), 36, 60)
    data = bytes(cv2.imencode(".png", image)[1])
    (tmp_path / "cut.png").write_bytes(data[: len(data) // 2])
    (tmp_path / "whole.png").write_bytes(data)
    for words, complaint in (
        (["whole.png", "cut.png"], "truncated PNG"),
        (["none.png"], "No such file"),
    ):
        paths = [str(tmp_path / word) for word in words]
        assert main(["predict", str(bundle.path), *paths, "--out", str(tmp_path / "out")]) == 2
        assert complaint in capsys.readouterr().err
        assert not (tmp_path / "out").exists()


def test_network_that_is_not_finite_exits_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bundle = make_color_bundle(tmp_path / "bundle", load_ontology("ai4mars"), 36, 60, sharpness=float("nan"))
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((36, 60, 3), np.uint8))
    words = ["predict", str(bundle.path), str(tmp_path / "a.png"), "--out", str(tmp_path / "out")]
    assert main(words) == 1
    assert "not finite" in capsys.readouterr().err
