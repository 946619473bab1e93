# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import pytest

from offroad_seg.errors import DataError, InputError
from offroad_seg_train.audit.sources import NEIGHBOURS, WHOLE, find_sources
from tests.helpers.planted import HEIGHT, LANDSCAPE, WIDTH, write_frame

IMAGE = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
MASK = np.full((HEIGHT, WIDTH), LANDSCAPE, np.uint16)


def fill(folder, names):
    for name in names:
        write_frame(folder, name, IMAGE, MASK)
    return folder


def test_one_folder_is_one_part(tmp_path):
    found = find_sources(fill(tmp_path / "a", ["cc1", "cc2"]), [], "auto")
    assert found.parts == [WHOLE]
    assert [f.name for f in found.frames] == ["cc1", "cc2"]


def test_a_data_set_says_its_parts_itself(tmp_path):
    fill(tmp_path / "val", ["cc1"])
    fill(tmp_path / "train", ["cc1", "cc2"])
    fill(tmp_path / "test", ["cc9"])
    found = find_sources(tmp_path, [], "auto")
    assert found.parts == ["train", "val", "test"]
    assert [f.name for f in found.frames] == ["test/cc9", "train/cc1", "train/cc2", "val/cc1"]


def test_held_out_folders_have_their_own_names(tmp_path):
    train = fill(tmp_path / "mine", ["cc1"])
    val = [fill(tmp_path / name, ["cc1"]) for name in ("hill", "x/hill")]
    found = find_sources(train, val, "auto")
    assert found.parts == ["train", "hill", "hill2"]
    assert [f.name for f in found.frames] == ["train/cc1", "hill/cc1", "hill2/cc1"]
    assert found.frames[1].paths[1] == val[0] / "Segmentation" / "cc1.png"


@pytest.mark.parametrize("val", ["data", "data/val", "."])
def test_a_folder_is_not_held_out_of_itself(tmp_path, val):
    fill(tmp_path / "data" / "val", ["cc1"])
    with pytest.raises(InputError, match="one lies in the other"):
        find_sources(tmp_path / "data", [tmp_path / val], "auto")


def test_missing_and_unknown_folders_are_named(tmp_path):
    with pytest.raises(DataError, match="no such"):
        find_sources(tmp_path / "none", [], "auto")
    with pytest.raises(DataError, match="no data set"):
        find_sources(tmp_path, [], "auto")


def test_neighbours_are_near_in_one_sequence(tmp_path):
    names = [f"cc{k}" for k in range(2, 2 + NEIGHBOURS + 2)] + ["mt3"]
    frames = find_sources(fill(tmp_path / "a", names), [], "auto").frames
    by_name = {f.name: f for f in frames}
    # By number: cc9 comes before cc10, whatever their letters say.
    assert by_name["cc2"].is_neighbour(by_name[f"cc{2 + NEIGHBOURS}"])
    assert not by_name["cc2"].is_neighbour(by_name[f"cc{3 + NEIGHBOURS}"])
    assert not by_name["cc3"].is_neighbour(by_name["mt3"])


def test_pictures_that_no_one_reads_are_listed(tmp_path):
    fill(tmp_path / "a", ["cc1"])
    stray = tmp_path / "a" / "preview.jpg"
    stray.write_bytes(b"")
    (tmp_path / "a" / "readme.txt").write_text("")
    assert find_sources(tmp_path / "a", [], "auto").unread == {tmp_path / "a": [stray]}
