# SPDX-License-Identifier: Apache-2.0
"""Masks of any flavour and size give their values; what cannot be right is refused in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest
from PIL import Image

from offroad_seg.errors import DataError, OntologyError
from offroad_seg.ontology import Ontology, load_ontology
from offroad_seg_train.data import reading
from offroad_seg_train.data.checks import check_pairs, describe
from offroad_seg_train.data.layouts import Pair
from offroad_seg_train.data.reading import encode_mask, read_mask, snap_advice, snap_mask, unknown_values

if TYPE_CHECKING:
    from pathlib import Path

POTSDAM = load_ontology("potsdam")
RESCUENET = load_ontology("rescuenet")


def colors(ontology: Ontology, ids: np.ndarray) -> np.ndarray:
    return np.array([c.palette[0] for c in ontology.classes], np.uint8)[ids]


def test_orthophotos_are_no_decompression_bombs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ids = np.random.default_rng(0).integers(0, 6, (60, 90))
    Image.fromarray(colors(POTSDAM, ids)).save(tmp_path / "a.tif")
    # Pillow refuses what is twice as large; the same with smaller numbers.
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    raw = read_mask(tmp_path / "a.tif", colors=True)
    np.testing.assert_array_equal(encode_mask(raw, POTSDAM, tmp_path), ids)


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("limit", [5000, 1000])
def test_absurd_sizes_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: int) -> None:
    Image.new("RGB", (90, 60)).save(tmp_path / "a.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", Image.MAX_IMAGE_PIXELS)
    monkeypatch.setattr(reading, "MAX_PIXELS", limit)
    with pytest.raises(DataError, match="megapixels"):
        read_mask(tmp_path / "a.png", colors=True)


@pytest.mark.parametrize("strip", [1, 200, 1 << 20])
def test_large_masks_are_read_in_strips(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, strip: int) -> None:
    monkeypatch.setattr(reading, "_STRIP_PIXELS", strip)
    ids = np.random.default_rng(0).integers(0, 6, (31, 52))
    raw = colors(POTSDAM, ids)
    np.testing.assert_array_equal(encode_mask(raw, POTSDAM, tmp_path), ids)
    raw[[0, 15, 30], :4] = (252, 255, 1)
    raw[30, 10] = (1, 2, 3)
    assert unknown_values(raw, POTSDAM) == {252 << 16 | 255 << 8 | 1: 12, 1 << 16 | 2 << 8 | 3: 1}
    with pytest.raises(OntologyError, match=r"\(252, 255, 1\) \(12 pixels\), \(1, 2, 3\) \(1 pixels\)"):
        encode_mask(raw, POTSDAM, tmp_path)
    snapped = snap_mask(raw, POTSDAM, 3)
    assert unknown_values(snapped, POTSDAM) == {}
    assert (snapped[[0, 15, 30], :4] == (255, 255, 0)).all()


def test_colours_snap_to_the_only_nearest_one() -> None:
    row = [(255, 255, 0), (252, 255, 0), (240, 240, 20), (255, 255, 128), (90, 200, 90), (3, 0, 2)]
    raw = np.array([row], np.uint8)
    result = snap_mask(raw, POTSDAM, 20)
    # Far colours stay unknown, and so would one between yellow and white.
    expected = [(255, 255, 0)] * 3 + [(255, 255, 128), (90, 200, 90), (0, 0, 0)]
    assert result[0].tolist() == [list(c) for c in expected]
    assert raw[0].tolist() == [list(c) for c in row]
    between = np.array([[(255, 255, 127), (255, 255, 128)]], np.uint8)
    assert snap_mask(between, POTSDAM, 255)[0].tolist() == [[255, 255, 0], [255, 255, 255]]
    pair = [
        {"name": n, "color": [r, 0, 0], "palette": [[r, 0, 0]], "cost": 0} for n, r in (("a", 0), ("b", 10))
    ]
    two = Ontology.from_dict({"name": "two", "classes": pair})
    tied = np.array([[(4, 0, 0), (5, 0, 0), (6, 0, 0)]], np.uint8)
    assert snap_mask(tied, two, 9)[0].tolist() == [[0, 0, 0], [5, 0, 0], [10, 0, 0]]
    assert snap_mask(raw, POTSDAM, 0) is raw
    grey = np.zeros((2, 3), np.uint8)
    assert snap_mask(grey, RESCUENET, 9) is grey
    assert snap_mask(raw, load_ontology("ycor"), 9) is raw


def test_the_mend_names_the_option_that_helps() -> None:
    assert "--snap-colors 3`" in snap_advice([252 << 16 | 255 << 8, 255], POTSDAM)
    assert snap_advice([252 << 16 | 255 << 8, 120 << 16 | 90 << 8], POTSDAM) == ""
    assert snap_advice([], POTSDAM) == ""
    assert snap_advice([5], load_ontology("ycor")) == ""


def test_sixteen_bits_from_png_and_from_tiff_of_either_byte_order(tmp_path: Path) -> None:
    raw = np.random.default_rng(0).choice(np.array([100, 7100, 10000], np.uint16), (30, 52))
    cv2.imwrite(str(tmp_path / "a.png"), raw)
    cv2.imwrite(str(tmp_path / "b.tif"), raw)
    Image.frombytes("I;16B", (52, 30), raw.astype(">u2").tobytes()).save(tmp_path / "c.tif")
    for name in ("a.png", "b.tif", "c.tif"):
        read = read_mask(tmp_path / name)
        assert read.dtype == np.uint16
        np.testing.assert_array_equal(read, raw)


def test_values_and_colours_are_told_apart_where_the_ontology_knows_both(tmp_path: Path) -> None:
    pairs = []
    for name, mask in (
        ("value", np.full((30, 52), 77, np.uint8)),
        ("colour", np.full((30, 52, 3), (4, 5, 6), np.uint8)),
    ):
        Image.new("RGB", (52, 30)).save(tmp_path / f"{name}.png")
        Image.fromarray(mask).save(tmp_path / f"{name}_mask.png")
        pairs.append(Pair(name, tmp_path / f"{name}.png", tmp_path / f"{name}_mask.png"))
    findings = check_pairs(pairs, RESCUENET, show_progress=False)
    text = "; ".join(describe(pairs, findings, RESCUENET))
    assert "mask values that are not in ontology rescuenet: 77 (1560 pixels in 1 files)" in text
    assert "mask colours that are not in ontology rescuenet: (4, 5, 6) (1560 pixels in 1 files)" in text


def test_alpha_says_nothing_about_the_class(tmp_path: Path) -> None:
    ids = np.random.default_rng(0).integers(0, 6, (30, 52))
    rgba = np.dstack([colors(POTSDAM, ids), np.full((30, 52), 130, np.uint8)])
    Image.fromarray(rgba).save(tmp_path / "a.png")
    np.testing.assert_array_equal(
        encode_mask(read_mask(tmp_path / "a.png", colors=True), POTSDAM, tmp_path), ids
    )


def test_grey_values_saved_as_rgb_are_values(tmp_path: Path) -> None:
    ids = np.random.default_rng(0).integers(0, 4, (30, 52)).astype(np.uint8)
    Image.fromarray(ids).convert("RGB").save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_mask(tmp_path / "a.png"), ids)
    Image.fromarray(np.dstack([ids, ids, ids + 1])).save(tmp_path / "a.png")
    with pytest.raises(DataError, match="RGB colours; one channel"):
        read_mask(tmp_path / "a.png")


def test_jpeg_masks_are_called_what_they_are(tmp_path: Path) -> None:
    ids = np.kron(np.random.default_rng(0).integers(0, 6, (6, 9)), np.ones((9, 9), int))
    Image.fromarray(colors(POTSDAM, ids)).save(tmp_path / "a.jpg", quality=80)
    with pytest.raises(OntologyError) as caught:
        encode_mask(read_mask(tmp_path / "a.jpg", colors=True), POTSDAM, tmp_path / "a.jpg")
    assert "more colours" in caught.value.what
    assert "lossy compression" in caught.value.mend
