# SPDX-License-Identifier: Apache-2.0
"""Which pictures a gate runs on, their masks, and those that are left for int8's ranges."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest

from offroad_seg.compile.gate_images import calibration_images, gate_images, read_mask
from offroad_seg.errors import ImageError, InputError, OntologyError
from offroad_seg.image import Letterbox
from offroad_seg.ontology import load_ontology

if TYPE_CHECKING:
    from pathlib import Path

BOX = Letterbox(40, 50)
DESERT = load_ontology("duality_desert")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "images" / "sub").mkdir(parents=True)
    for i in range(9):
        name = f"sub/{i}.jpg" if i == 8 else f"{i}.png"
        cv2.imwrite(str(tmp_path / "images" / name), np.full((30, 60, 3), 20 * i, np.uint8))
    return tmp_path / "images"


def write_masks(folder: Path, size: tuple[int, int] = (30, 60), value: int = 7100) -> Path:
    masks = folder.parent / "masks"
    (masks / "sub").mkdir(parents=True, exist_ok=True)
    for i in range(9):
        name = f"sub/{i}.png" if i == 8 else f"{i}.png"
        cv2.imwrite(str(masks / name), np.full(size, value, np.uint16))
    return masks


def test_images_come_evenly_from_a_folder_and_are_letterboxed(folder: Path) -> None:
    chosen = gate_images(folder, BOX, count=3)
    assert [image.name for image in chosen.images] == ["0.png", "4.png", "sub/8.jpg"]
    assert chosen.source == "real"
    assert not chosen.has_truth
    image = chosen.images[1]
    assert image.image_HWC.shape == (40, 50, 3)
    assert image.image_HWC[20, 25].tolist() == [80, 80, 80]
    # 60×30 fits 50×40 as 50×25, in the middle.
    assert image.inside == (slice(7, 32), slice(0, 50))
    assert len(gate_images(folder, BOX, count=50).images) == 9
    with pytest.raises(ImageError):
        gate_images(folder / "nowhere", BOX)


def test_masks_are_read_as_class_ids_at_network_size(folder: Path) -> None:
    chosen = gate_images(folder, BOX, count=3, masks=write_masks(folder), ontology=DESERT)
    assert chosen.has_truth
    for image in chosen.images:
        assert set(np.unique(image.truth_HW[image.inside])) == {DESERT.id_of("Landscape")}
        assert set(np.unique(image.truth_HW[:7])) == {255}
    assert chosen.digest() != gate_images(folder, BOX, count=3).digest()


def test_wrong_masks_are_refused_by_name(folder: Path) -> None:
    masks = write_masks(folder, size=(30, 50))
    with pytest.raises(ImageError, match="the mask is 50×30 and its image 60×30"):
        gate_images(folder, BOX, masks=masks, ontology=DESERT)
    write_masks(folder, value=4711)
    with pytest.raises(OntologyError, match="4711"):
        gate_images(folder, BOX, masks=masks, ontology=DESERT)
    (write_masks(folder) / "sub" / "8.png").unlink()
    with pytest.raises(ImageError, match=r"no mask for sub/8\.jpg"):
        gate_images(folder, BOX, masks=masks, ontology=DESERT)
    with pytest.raises(InputError, match="masks without images"):
        gate_images(None, BOX, masks=masks, ontology=DESERT)


def test_masks_with_a_palette_give_their_indexes(tmp_path: Path) -> None:
    image_module = pytest.importorskip("PIL.Image", reason="Pillow is not installed")
    ycor = load_ontology("ycor")
    indexes = np.arange(9, dtype=np.uint8).repeat(7).reshape(9, 7)
    picture = image_module.fromarray(indexes, "P")
    picture.putpalette([v for i in range(256) for v in (i * 7 % 256, 255 - i, 30)])
    picture.save(tmp_path / "labels.png")
    np.testing.assert_array_equal(read_mask(tmp_path / "labels.png", ycor), ycor.encode(indexes))


def test_masks_of_colours(tmp_path: Path) -> None:
    rescuenet = load_ontology("rescuenet")
    assert rescuenet.has_palette
    colors = np.array([c.palette[0] for c in rescuenet.classes], np.uint8)[None].repeat(3, axis=0)
    cv2.imwrite(str(tmp_path / "mask.png"), colors[..., ::-1])
    np.testing.assert_array_equal(read_mask(tmp_path / "mask.png", rescuenet), rescuenet.encode(colors))


def test_synthetic_images_are_the_same_each_time_and_use_the_whole_range() -> None:
    a, b = (gate_images(None, BOX) for _ in range(2))
    assert a.source == "synthetic"
    assert a.digest() == b.digest()
    assert all(i.image_HWC.min() == 0 and i.image_HWC.max() == 255 for i in a.images)
    assert not np.array_equal(a.images[0].image_HWC, a.images[1].image_HWC)


def test_ranges_come_from_pictures_that_the_gate_does_not_use(folder: Path) -> None:
    gate = [image.name for image in gate_images(folder, BOX, count=3).images]
    rest = calibration_images(None, folder, BOX, not_these=gate)
    assert sorted(int(image[20, 25, 0]) for image in rest) == [20, 40, 60, 100, 120, 140]
    assert len(calibration_images(folder, None, BOX, not_these=gate)) == 9
    everything = [image.name for image in gate_images(folder, BOX).images]
    with pytest.raises(InputError, match="uses every picture") as caught:
        calibration_images(None, folder, BOX, not_these=everything)
    assert "--calibration" in caught.value.mend
    with pytest.raises(InputError, match="int8 needs pictures"):
        calibration_images(None, None, BOX)
