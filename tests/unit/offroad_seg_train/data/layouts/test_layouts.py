# SPDX-License-Identifier: Apache-2.0
"""Pairing images and masks in the layouts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from offroad_seg.errors import DataError, InputError
from offroad_seg_train.data.layouts import guess_layout, list_pairs

if TYPE_CHECKING:
    from pathlib import Path


def test_each_layout_is_recognised_and_paired(duality: Path, ycor: Path, ai4mars: Path) -> None:
    for root, layout, first in (
        (duality, "duality", "cc0000000"),
        (ycor, "ycor", "0000"),
        (ai4mars, "ai4mars", "NLA_1"),
    ):
        assert guess_layout(root) == layout
        pairs = list_pairs(layout, root)
        assert pairs == list_pairs("auto", root)
        assert pairs[0].name == first
        assert all(p.image.is_file() and p.mask.is_file() for p in pairs)
        assert [p.name for p in pairs] == sorted(p.name for p in pairs)


def test_ycor_in_split_folders(ycor: Path) -> None:
    (ycor / "train").mkdir()
    (ycor / "0000").rename(ycor / "train" / "0000")
    assert [p.name for p in list_pairs("ycor", ycor)] == ["0003", "0012", "train/0000"]


def test_missing_masks_and_images_are_named(duality: Path) -> None:
    (duality / "Segmentation" / "cc0000001.png").unlink()
    (duality / "Color_Images" / "cc0000003.png").unlink()
    with pytest.raises(DataError) as caught:
        list_pairs("duality", duality)
    assert "1 images without a mask: Color_Images/cc0000001.png" in caught.value.what
    assert "1 masks without an image: Segmentation/cc0000003.png" in caught.value.what
    assert caught.value.exit_code == 2


def test_two_images_of_one_stem(duality: Path) -> None:
    (duality / "Color_Images" / "cc0000001.jpg").write_bytes(b"x")
    with pytest.raises(DataError, match="several files share: cc0000001"):
        list_pairs("duality", duality)


def test_hidden_and_other_files_are_left_out(duality: Path) -> None:
    (duality / "Color_Images" / "._cc0000001.png").write_bytes(b"x")
    (duality / "Color_Images" / "Thumbs.db").write_bytes(b"x")
    assert len(list_pairs("duality", duality)) == 4


def test_empty_and_missing_folders(tmp_path: Path, duality: Path) -> None:
    with pytest.raises(DataError, match="no such data folder"):
        list_pairs("duality", tmp_path / "nowhere")
    with pytest.raises(DataError, match="no data set that is known"):
        guess_layout(tmp_path / "duality" / "Segmentation")
    (tmp_path / "empty" / "images").mkdir(parents=True)
    with pytest.raises(DataError, match="masks is missing"):
        list_pairs("ai4mars", tmp_path / "empty")
    (tmp_path / "empty" / "masks").mkdir()
    with pytest.raises(DataError, match="is empty"):
        list_pairs("ai4mars", tmp_path / "empty")
    with pytest.raises(DataError, match="is empty"):
        list_pairs("ycor", tmp_path / "empty")
    with pytest.raises(InputError, match="no layout 'coco'"):
        list_pairs("coco", duality)


def test_a_folder_around_the_data_set_is_understood(tmp_path: Path, duality: Path) -> None:
    assert guess_layout(tmp_path) == "duality"
    assert list_pairs("auto", tmp_path)[0].name == "duality/cc0000000"


def test_two_data_sets_in_one_folder_are_refused(tmp_path: Path, duality: Path, ycor: Path) -> None:
    with pytest.raises(DataError, match="looks like several data sets: duality, ycor"):
        guess_layout(tmp_path)
