# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json

import cv2
import numpy as np
import pytest
import yaml

from offroad_seg.errors import InputError
from offroad_seg_train.synthetic import write_dataset
from offroad_seg_train.synthetic.dataset import images_per_world

SIZE = (112, 64)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    out = tmp_path_factory.mktemp("data") / "desert"
    return write_dataset(out, 3, 5, *SIZE, progress=False, workers=1, depth=True)


def _bytes(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_layout_is_that_of_the_duality_data(data):
    names = ["w000_0000.png", "w000_0001.png", "w000_0002.png"]
    for folder in ("Color_Images", "Segmentation", "depth"):
        assert sorted(p.name for p in (data / folder).iterdir()) == names
    assert {p.name for p in data.iterdir()} == {
        "Color_Images",
        "Segmentation",
        "depth",
        "camera.yaml",
        "frames.jsonl",
    }


def test_masks_are_16_bit_raw_values(data, ontology):
    for path in (data / "Segmentation").iterdir():
        mask = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        assert mask.dtype == np.uint16
        assert mask.shape == (64, 112)
        assert ontology.encode(mask).max() < ontology.n_classes
        colour = cv2.imread(str(data / "Color_Images" / path.name), cv2.IMREAD_UNCHANGED)
        assert colour.shape == (64, 112, 3)
        assert colour.std() > 15


def test_images_are_stored_as_rgb(data, ontology):
    """Sky is bluer than the soil: the channels are not swapped."""
    blue = []
    for path in (data / "Color_Images").iterdir():
        rgb = cv2.imread(str(path))[..., ::-1].astype(float)
        mask = cv2.imread(str(data / "Segmentation" / path.name), cv2.IMREAD_UNCHANGED)
        ratio = rgb[..., 2] / (rgb[..., 0] + 1)
        if (mask == 10000).any() and (mask == 7100).any():
            blue.append(ratio[mask == 10000].mean() > ratio[mask == 7100].mean())
    assert blue
    assert all(blue)


def test_depth_is_in_millimetres_and_zero_in_the_sky(data):
    for path in (data / "depth").iterdir():
        depth = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        mask = cv2.imread(str(data / "Segmentation" / path.name), cv2.IMREAD_UNCHANGED)
        assert depth.dtype == np.uint16
        assert (depth[mask == 10000] == 0).all()
        assert 300 < depth[depth > 0].min() < 20000


def test_calibration_and_poses_are_written(data):
    camera = yaml.safe_load((data / "camera.yaml").read_text())
    assert (camera["image_width"], camera["image_height"]) == SIZE
    assert camera["distortion_model"] == "plumb_bob"
    assert len(camera["projection_matrix"]["data"]) == 12
    rows = [json.loads(line) for line in (data / "frames.jsonl").read_text().splitlines()]
    assert [r["name"] for r in rows] == ["w000_0000.png", "w000_0001.png", "w000_0002.png"]
    assert np.linalg.norm(rows[0]["quaternion_xyzw"]) == pytest.approx(1.0, abs=1e-4)
    assert rows[0]["position"] != rows[1]["position"]


def test_same_seed_same_bytes(data, tmp_path):
    again = write_dataset(tmp_path / "again", 3, 5, *SIZE, progress=False, workers=1, depth=True)
    assert _bytes(again) == _bytes(data)


@pytest.mark.slow
def test_workers_do_not_change_the_result_and_worlds_differ(tmp_path):
    one = write_dataset(tmp_path / "one", 5, 6, *SIZE, progress=False, workers=1)
    two = write_dataset(tmp_path / "two", 5, 6, *SIZE, progress=False, workers=2)
    assert _bytes(one) == _bytes(two)
    assert sorted(p.name for p in (one / "Color_Images").iterdir())[-1] == "w001_0000.png"
    suns = {tuple(json.loads(line)["sun"]) for line in (one / "frames.jsonl").read_text().splitlines()}
    assert len(suns) == 2


def test_a_folder_that_is_not_empty_is_refused_and_left_alone(tmp_path):
    (tmp_path / "mine.txt").write_text("precious")
    with pytest.raises(InputError, match="not empty"):
        write_dataset(tmp_path, 1, 0, *SIZE, progress=False, workers=1)
    assert _bytes(tmp_path) == {"mine.txt": b"precious"}


def test_overwrite_replaces_the_folder(tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "old.txt").write_text("old")
    write_dataset(out, 1, 5, *SIZE, progress=False, workers=1, overwrite=True)
    assert not (out / "old.txt").exists()
    assert (out / "Color_Images" / "w000_0000.png").exists()
    assert list(tmp_path.iterdir()) == [out]


@pytest.mark.parametrize(
    "wrong",
    [{"images": 0}, {"seed": -1}, {"workers": 0}, {"width": 4}, {"height": 0}],
)
def test_numbers_that_make_no_sense_are_refused(tmp_path, wrong):
    good = {"images": 1, "seed": 0, "width": 64, "height": 48, "workers": 1, "progress": False}
    with pytest.raises(InputError):
        write_dataset(tmp_path / "out", **{**good, **wrong})
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("images", "expected"), [(1, 4), (48, 4), (120, 10), (480, 40), (2000, 40)])
def test_worlds_are_shared_by_a_bounded_number_of_pictures(images, expected):
    assert images_per_world(images) == expected
