# SPDX-License-Identifier: Apache-2.0
"""Data sets give the pixels and ids that lie on disk, through the runtime's own letterbox."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from offroad_seg.compile.images import read_image
from offroad_seg.errors import DataError, OntologyError
from offroad_seg.image import Letterbox
from offroad_seg.ontology import load_ontology
from offroad_seg_train.data.checks import check_dataset
from offroad_seg_train.data.dataset import build_dataset
from offroad_seg_train.data.layouts import list_pairs
from offroad_seg_train.data.reading import read_mask
from offroad_seg_train.data.splits import split

if TYPE_CHECKING:
    from pathlib import Path

LETTERBOX = Letterbox(24, 40)


def test_item_is_the_letterboxed_pair(duality: Path) -> None:
    dataset = build_dataset("duality", duality, None, LETTERBOX)
    image_CHW, labels_HW = dataset[2]
    assert image_CHW.shape == (3, 24, 40)
    assert image_CHW.dtype == torch.uint8
    assert labels_HW.shape == (24, 40)
    assert labels_HW.dtype == torch.int64
    source = cv2.imread(str(duality / "Color_Images" / "cc0000002.png"))[..., ::-1]
    np.testing.assert_array_equal(
        image_CHW.permute(1, 2, 0).numpy(), LETTERBOX.apply(np.ascontiguousarray(source))
    )
    raw = cv2.imread(str(duality / "Segmentation" / "cc0000002.png"), cv2.IMREAD_UNCHANGED)
    expected = LETTERBOX.apply_mask(load_ontology("duality_desert").encode(raw))
    np.testing.assert_array_equal(labels_HW.numpy(), expected)
    assert 255 in expected  # the padding


def test_palette_indexes_are_read_not_colours(ycor: Path) -> None:
    mask = read_mask(ycor / "0003" / "labels.png")
    with Image.open(ycor / "0003" / "labels.png") as picture:
        assert picture.mode == "P"
        np.testing.assert_array_equal(mask, np.asarray(picture))
    assert {1, 2} <= set(np.unique(mask))  # these two share a colour
    _, ids = build_dataset("ycor", ycor, None, LETTERBOX).read(1)
    np.testing.assert_array_equal(ids == 255, mask == 0)


def test_grey_images_and_8_bit_masks(ai4mars: Path) -> None:
    dataset = build_dataset("auto", ai4mars, "ai4mars", LETTERBOX)
    image, ids = dataset.read(0)
    assert image.shape == (30, 52, 3)
    assert set(np.unique(ids)) == {0, 1, 2, 3, 255}


@pytest.mark.parametrize("palette", [False, True])
def test_masks_of_colours(tmp_path: Path, palette: bool) -> None:
    ontology = load_ontology("potsdam")
    ids = np.random.default_rng(0).integers(0, ontology.n_classes, (30, 52)).astype(np.uint8)
    for folder in ("images", "masks"):
        (tmp_path / folder).mkdir()
    Image.fromarray(ontology.colorize(ids)).save(tmp_path / "images" / "a.png")
    colors = np.array([c.palette[0] for c in ontology.classes], np.uint8)
    if palette:
        mask = Image.fromarray(ids, "P")
        mask.putpalette(colors.tobytes())
    else:
        mask = Image.fromarray(colors[ids])
    mask.save(tmp_path / "masks" / "a.png")
    dataset = build_dataset("ai4mars", tmp_path, ontology, LETTERBOX)
    np.testing.assert_array_equal(dataset.read(0)[1], ids)
    result = check_dataset("ai4mars", tmp_path, ontology, show_progress=False)
    assert result.class_pixels_N.sum() == ids.size
    Image.fromarray(np.full((30, 52, 3), 77, np.uint8)).save(tmp_path / "masks" / "a.png")
    with pytest.raises(DataError, match=r"mask colours .* \(77, 77, 77\) \(1560 pixels in 1 files\)"):
        check_dataset("ai4mars", tmp_path, ontology, show_progress=False)
    Image.fromarray(ids).save(tmp_path / "masks" / "a.png")
    with pytest.raises(DataError, match="one channel, but ontology potsdam knows colours only: 1"):
        check_dataset("ai4mars", tmp_path, ontology, show_progress=False)


def test_indices_choose_and_order(duality: Path) -> None:
    dataset = build_dataset("duality", duality, "duality_desert", LETTERBOX, indices=[3, 1])
    assert dataset.names == ["cc0000003", "cc0000001"]
    assert len(dataset) == 2


def test_augmentation_runs_at_network_size_each_time_and_never_spoils_the_cache(duality: Path) -> None:
    shapes = []

    def blacken(image: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        shapes.append((image.shape, labels.shape))
        image[:], labels[:] = 0, 7
        return image, labels

    cached = build_dataset("duality", duality, None, LETTERBOX, augment=blacken, cache=True)
    for _ in range(2):
        image, labels = cached[0]
        assert int(image.max()) == 0
        assert int(labels.min()) == 7
    assert shapes == [((24, 40, 3), (24, 40))] * 2
    cached.augment = None
    plain = build_dataset("duality", duality, None, LETTERBOX)
    assert torch.equal(cached[0][0], plain[0][0])
    assert torch.equal(cached[0][1], plain[0][1])


def test_cache_gives_the_same_without_the_files(duality: Path) -> None:
    dataset = build_dataset("duality", duality, None, LETTERBOX, cache=True)
    before = dataset[1]
    (duality / "Color_Images" / "cc0000001.png").unlink()
    assert torch.equal(dataset[1][0], before[0])


def test_works_in_worker_processes(duality: Path) -> None:
    dataset = build_dataset("duality", duality, None, LETTERBOX)
    batches = list(torch.utils.data.DataLoader(dataset, batch_size=3, num_workers=1))
    assert [b[0].shape[0] for b in batches] == [3, 1]
    assert torch.equal(batches[0][1][0], dataset[0][1])


def test_bad_pairs_are_refused_when_read(duality: Path) -> None:
    dataset = build_dataset("duality", duality, None, LETTERBOX)
    mask = duality / "Segmentation" / "cc0000000.png"
    whole = mask.read_bytes()
    mask.write_bytes(whole[: len(whole) * 2 // 3])
    with pytest.raises(DataError, match="truncated PNG"):
        dataset[0]
    cv2.imwrite(str(mask), np.full((30, 50), 100, np.uint16))
    with pytest.raises(DataError, match="differ in size"):
        dataset[0]
    cv2.imwrite(str(mask), np.full((30, 52), 100, np.uint8))
    with pytest.raises(DataError, match="8-bit mask where 16-bit"):
        dataset[0]
    cv2.imwrite(str(mask), np.full((30, 52), 4321, np.uint16))
    with pytest.raises(OntologyError, match=r"4321 \(1560 pixels\)"):
        dataset[0]
    cv2.imwrite(str(mask), np.full((30, 52, 3), (1, 2, 3), np.uint8))
    with pytest.raises(DataError, match="one channel"):
        dataset[0]


def test_phone_pictures_are_turned_as_they_say(tmp_path: Path) -> None:
    picture = Image.fromarray(np.zeros((30, 52, 3), np.uint8))
    exif = picture.getexif()
    exif[0x0112] = 6
    picture.save(tmp_path / "a.jpg", exif=exif)
    assert read_image(tmp_path / "a.jpg").shape == (52, 30, 3)


@pytest.mark.shared_data
@pytest.mark.parametrize(
    ("folder", "layout", "count", "n_val"),
    [
        ("duality_sample", "duality", 62, 12),
        ("ycor_small", "ycor", 300, 50),
        ("ai4mars_small", "ai4mars", 300, 60),
    ],
)
def test_real_data(shared_data: Path, folder: str, layout: str, count: int, n_val: int) -> None:
    pairs = list_pairs("auto", shared_data / folder)
    assert len(pairs) == count
    halves = split([p.name for p in pairs], n_val / count)
    assert len(halves.val) == n_val
    dataset = build_dataset(layout, shared_data / folder, None, Letterbox(136, 240), indices=halves.val[:2])
    for image, labels in dataset:
        assert image.shape == (3, 136, 240)
        assert (labels < dataset.ontology.n_classes).any()
