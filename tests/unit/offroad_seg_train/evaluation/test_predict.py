# SPDX-License-Identifier: Apache-2.0
"""``predict``: masks that can be labels themselves, at each image's own size."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from offroad_seg.cli.main import main
from offroad_seg.errors import InputError
from offroad_seg.ontology import Ontology, load_ontology
from offroad_seg.overlay import overlay_image
from offroad_seg_train.data.image_sources import ArraySource
from offroad_seg_train.evaluation.overlays import OverlayWriter
from offroad_seg_train.evaluation.predict import name_images
from offroad_seg_train.evaluation.tiles import Band
from tests.helpers.bundles import make_color_bundle


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
    assert {p.name for p in (tmp_path / "out").iterdir()} == {"masks", "overlays"}
    mask = cv2.imread(str(tmp_path / "out" / "masks" / "sub" / "a.png"), cv2.IMREAD_UNCHANGED)
    assert mask.dtype == dtype
    raw = np.ascontiguousarray(mask[..., ::-1]) if mask.ndim == 3 else mask
    np.testing.assert_array_equal(ontology.encode(raw), ids)
    assert cv2.imread(str(tmp_path / "out" / "overlays" / "sub" / "a.jpg")).shape == image.shape
    assert main([*words, "--write", "ids,confidence", "--overwrite"]) == 0
    assert {p.name for p in (tmp_path / "out").iterdir()} == {"ids", "confidence"}
    mask = cv2.imread(str(tmp_path / "out" / "ids" / "sub" / "a.png"), cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(mask, ids)
    confidence = cv2.imread(str(tmp_path / "out" / "confidence" / "sub" / "a.png"), cv2.IMREAD_UNCHANGED)
    assert confidence.min() > 250


def test_large_image_comes_back_at_its_own_size(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    ontology = load_ontology("ai4mars")
    bundle = make_color_bundle(tmp_path / "bundle", ontology, 36, 60)
    image, ids = picture(ontology, 1100, 2600)
    cv2.imwrite(str(tmp_path / "big.png"), image[..., ::-1])
    words = ["predict", str(bundle.path), str(tmp_path / "big.png"), "--out", str(tmp_path / "out")]
    assert main(words) == 0
    mask = cv2.imread(str(tmp_path / "out" / "masks" / "big.png"), cv2.IMREAD_UNCHANGED)
    assert mask.shape == (1100, 2600)
    assert (ontology.encode(mask) == ids).mean() > 0.93  # the network sees 60 columns of it
    assert "--tile N" in caplog.text
    caplog.clear()
    words += ["--tile", "60", "--write", "masks,overlays,ids,confidence", "--overwrite"]
    assert main(words) == 0
    mask = cv2.imread(str(tmp_path / "out" / "masks" / "big.png"), cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(ontology.encode(mask), ids)
    assert "--tile N" not in caplog.text


def test_huge_overlays_are_shrunk(tmp_path: Path) -> None:
    ontology = load_ontology("ai4mars")
    image, ids = picture(ontology, 70, 103)
    for largest, shape in ((200, (70, 103)), (103, (70, 103)), (52, (35, 52)), (20, (12, 18))):
        writer = OverlayWriter(tmp_path / "a.png", ArraySource(image), ontology, largest)
        for top in (0, 13, 26, 39, 52, 65):
            band = ids[top : top + 13]
            writer.add(Band(top, band, band))
        writer.save()
        drawn = cv2.imread(str(tmp_path / "a.png"))[..., ::-1]
        assert drawn.shape[:2] == shape
        whole = cv2.resize(overlay_image(image, ids, ontology), shape[::-1], interpolation=cv2.INTER_AREA)
        assert np.abs(drawn.astype(int) - whole).mean() < 4


def test_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "x.png").write_bytes(b"x")
    assert list(name_images([tmp_path])) == ["a/x", "b/x"]
    with pytest.raises(InputError, match="two images would be called x"):
        name_images([tmp_path / "a", tmp_path / "b" / "x.png"])
    assert list(name_images([tmp_path / "a" / "*.png"])) == ["x"]
    # Where every folder has a picture of one name, a pattern keeps them apart.
    assert list(name_images([tmp_path / "*" / "x.png"])) == ["a/x", "b/x"]
    assert list(name_images([tmp_path / "**" / "x.png"])) == ["a/x", "b/x"]
    monkeypatch.chdir(tmp_path)
    assert name_images([Path("*/x.png")]) == {"a/x": Path("a/x.png"), "b/x": Path("b/x.png")}
    for nothing in ("none.png", "*.jpg"):
        with pytest.raises(InputError, match="no such image"):
            name_images([tmp_path / nothing])


@pytest.mark.parametrize("tile", [[], ["--tile", "60"]])
def test_bad_images_are_named_and_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture, tile: list[str]
) -> None:
    ontology = load_ontology("ai4mars")
    bundle = make_color_bundle(tmp_path / "bundle", ontology, 36, 60, poison=True)
    image, ids = picture(ontology, 36, 60)
    folder = tmp_path / "in"
    folder.mkdir()
    data = bytes(cv2.imencode(".png", image[..., ::-1])[1])
    (folder / "whole.png").write_bytes(data)
    (folder / "cut.png").write_bytes(data[: len(data) // 2])
    (folder / "not.tif").write_bytes(b"not a picture")
    cv2.imwrite(str(folder / "poison.png"), np.full((36, 60, 3), 255, np.uint8))  # breaks the network
    out = tmp_path / "out"
    words = ["predict", str(bundle.path), str(folder), "--out", str(out), "--write", "ids,overlays", *tile]
    assert main(words) == 1
    said = capsys.readouterr()
    assert "1 images" in said.out
    for name, reason in (("cut", "truncated PNG"), ("not", ""), ("poison", "not finite")):
        assert f"{name}." in said.err
        assert any(f"{name}." in r.message and reason in r.message for r in caplog.records)
    assert sorted(p.relative_to(out).as_posix() for p in out.rglob("*.*")) == [
        "ids/whole.png",
        "overlays/whole.jpg",
    ]
    mask = cv2.imread(str(out / "ids" / "whole.png"), cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(mask, ids)


def test_where_no_image_is_good_nothing_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = make_color_bundle(tmp_path / "bundle", load_ontology("ai4mars"), 36, 60, sharpness=float("nan"))
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((36, 60, 3), np.uint8))
    words = ["predict", str(bundle.path), str(tmp_path / "a.png"), "--out", str(tmp_path / "out")]
    assert main(words) == 1
    assert "not finite" in capsys.readouterr().err
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.png", "bundle"]


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["none.png"], "no such image"),
        (["a.png", "--write", "masks,x"], "no such results: x"),
        (["a.png", "--write", ","], "no such results"),
        (["a.png", "--tile", "9"], "a tile of 9 pixels"),
        (["a.png", "--tile", "40"], "windows of 40×24"),
        (["a.png", "--tile", "60", "--overlap", "0.9"], "an overlap of 0.9"),
        (["a.png", "--tta-scales", "1,b"], "no list of numbers"),
        (["a.png", "--tta-scales", "9"], "scales 9"),
    ],
)
def test_bad_usage_exits_2_and_writes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], complaint: str
) -> None:
    bundle = make_color_bundle(tmp_path / "bundle", load_ontology("ai4mars"), 36, 60)
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((36, 60, 3), np.uint8))
    words = [str(tmp_path / word) if word.endswith(".png") else word for word in words]
    assert main(["predict", str(bundle.path), *words, "--out", str(tmp_path / "out")]) == 2
    assert complaint in capsys.readouterr().err
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.png", "bundle"]
