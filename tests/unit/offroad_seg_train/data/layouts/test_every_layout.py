# SPDX-License-Identifier: Apache-2.0
"""Every layout is recognised, gives the labels that were drawn, and names what is wrong with bad input."""

from __future__ import annotations

import shutil
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from offroad_seg.errors import DataError, InputError, OntologyError
from offroad_seg.image import Letterbox
from offroad_seg.ontology import Ontology, load_ontology
from offroad_seg_train.data.checks import check_dataset
from offroad_seg_train.data.dataset import SegmentationDataset
from offroad_seg_train.data.layouts import LAYOUTS, Pair, find_layout, guess_layout, list_pairs, scan
from offroad_seg_train.data.splits import split_pairs
from tests.helpers.datasets import MAKERS, FakeSet, encode, write_aeroscapes, write_rescuenet

if TYPE_CHECKING:
    from pathlib import Path

LETTERBOX = Letterbox(24, 40)
PARTLY_LABELLED = {"ai4mars_published"}
OF_COLORS = {"rugd", "rugd_sample", "rescuenet_colors", "potsdam", "generic_colors"}


@pytest.fixture(params=list(MAKERS))
def made(request: pytest.FixtureRequest, tmp_path: Path) -> FakeSet:
    return MAKERS[request.param](tmp_path / request.param)


def read(made: FakeSet, pair: Pair) -> np.ndarray:
    return SegmentationDataset([pair], made.ontology, LETTERBOX).read(0)[1]


def refuse(made: FakeSet, pattern: str) -> DataError:
    """The whole check refuses the set, names what it should, and says what to do."""
    with pytest.raises(DataError, match=pattern) as caught:
        check_dataset(made.layout, made.root, made.ontology, show_progress=False)
    assert caught.value.mend
    assert caught.value.exit_code == 2
    return caught.value


def test_every_layout_has_a_maker() -> None:
    assert {name.partition("_")[0] for name in MAKERS} == set(LAYOUTS)


def test_it_is_recognised_and_gives_the_labels_that_were_drawn(made: FakeSet) -> None:
    assert guess_layout(made.root) == made.layout
    pairs = list_pairs("auto", made.root)
    assert [p.name for p in pairs] == sorted(made.ids)
    assert {p.name: p.part for p in pairs if p.part} == made.parts
    for pair in pairs:
        np.testing.assert_array_equal(read(made, pair), made.ids[pair.name])
    image_CHW, labels_HW = SegmentationDataset(pairs, made.ontology, LETTERBOX)[0]
    assert image_CHW.shape == (3, 24, 40)
    assert labels_HW.shape == (24, 40)
    result = check_dataset("auto", made.root, made.ontology, show_progress=False)
    total = sum(ids.size for ids in made.ids.values())
    assert result.class_pixels_N.sum() + result.unlabelled_pixels == total


def test_its_own_split_is_taken(made: FakeSet) -> None:
    pairs = list_pairs("auto", made.root)
    if not {"val", "test"} & set(made.parts.values()):
        with pytest.raises(DataError, match="does not say how to split"):
            split_pairs(pairs, 0.3, "official")
        return
    parts = split_pairs(pairs, 0.3, "auto")
    assert parts == split_pairs(pairs, 0.3, "official")
    named = {name: [pairs[i].name for i in getattr(parts, name)] for name in ("train", "val", "test")}
    for name, part in made.parts.items():
        # A set without validation gives a part of its training frames.
        also = "val" if part == "train" and "val" not in made.parts.values() else part
        assert name in named[part] or name in named[also]
    assert named["train"]
    assert named["test"] == [n for n in sorted(made.parts) if made.parts[n] == "test"]
    held_out = sum(len(names) for names in named.values())
    assert held_out == len(made.parts)


def test_groups_never_lie_on_both_sides(made: FakeSet) -> None:
    pairs = list_pairs("auto", made.root)
    if len({p.group for p in pairs}) < 2:
        with pytest.raises(DataError, match="in one group"):
            split_pairs(pairs, 0.4, "groups")
        return
    parts = split_pairs(pairs, 0.4, "groups")
    sides = [{pairs[i].group for i in side} for side in (parts.train, parts.val)]
    assert all(sides)
    assert not sides[0] & sides[1]


def test_missing_mask(request: pytest.FixtureRequest, made: FakeSet) -> None:
    pair = list_pairs(made.layout, made.root)[0]
    pair.mask.unlink()
    if request.node.callspec.params["made"] in PARTLY_LABELLED:
        # It publishes more images than labels, so this is no mistake.
        assert scan(made.layout, made.root).unlabelled == 2
        return
    error = refuse(made, "1 images without a mask: ")
    assert pair.image.name in error.what


def test_missing_image(made: FakeSet) -> None:
    pair = list_pairs(made.layout, made.root)[0]
    pair.image.unlink()
    error = refuse(made, "1 masks without an image: ")
    assert pair.mask.name in error.what


@pytest.mark.parametrize("which", ["image", "mask"])
def test_truncated(made: FakeSet, which: str) -> None:
    pair = list_pairs(made.layout, made.root)[0]
    path: Path = getattr(pair, which)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 2 // 3])
    error = refuse(made, f"{which}s that cannot be read: 1")
    assert path.name in error.what
    with pytest.raises(DataError):
        read(made, pair)


def test_mask_of_another_size(made: FakeSet) -> None:
    pair = list_pairs(made.layout, made.root)[0]
    with Image.open(pair.mask) as mask:
        mask.crop((0, 0, mask.width - 1, mask.height)).save(pair.mask)
    height, width = made.size
    refuse(made, f"different sizes: 1 — .*image {width}×{height}, mask {width - 1}×{height}")
    with pytest.raises(DataError, match="differ in size"):
        read(made, pair)


def test_unknown_value_or_colour(made: FakeSet) -> None:
    pair = list_pairs(made.layout, made.root)[0]
    with Image.open(pair.mask) as mask:
        is_color = made.ontology.has_palette and mask.mode in ("RGB", "P")
        raw = np.array(mask.convert("RGB") if is_color else mask)
    raw[3, :7] = (252, 255, 1) if is_color else 222
    Image.fromarray(raw).save(pair.mask)
    pattern = (
        r"colours .* \(252, 255, 1\) \(7 pixels in 1 files\)" if is_color else r"values .* 222 \(7 pixels"
    )
    error = refuse(made, pattern)
    assert pair.mask.name in error.what
    pattern = r"\(252, 255, 1\) \(7 pixels\)" if is_color else r"222 \(7 pixels\)"
    with pytest.raises(OntologyError, match=pattern):
        read(made, pair)


@pytest.mark.parametrize("made", [name for name in MAKERS if name not in OF_COLORS], indirect=True)
def test_eight_bits_where_sixteen_are_needed(made: FakeSet) -> None:
    pairs = list_pairs(made.layout, made.root)
    wide = replace(
        made.ontology,
        classes=tuple(replace(c, raw=tuple(v + 700 for v in c.raw)) for c in made.ontology.classes),
    )
    made.ontology = Ontology.from_dict(wide.to_dict())
    for pair in pairs:
        with Image.open(pair.mask) as mask:
            Image.fromarray(np.asarray(mask).astype(np.uint8)).save(pair.mask)
    refuse(made, f"8-bit mask where 16-bit is expected.*: {len(pairs)}")
    encode(made.ids[pairs[0].name], made.ontology, "grey").save(pairs[0].mask)
    np.testing.assert_array_equal(read(made, pairs[0]), made.ids[pairs[0].name])


@pytest.mark.parametrize("layout", LAYOUTS)
def test_empty_folder(layout: str, tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        list_pairs(layout, tmp_path)
    assert str(tmp_path) in caught.value.where
    assert caught.value.mend


def test_empty_folders_of_the_right_names(made: FakeSet) -> None:
    for pair in list_pairs(made.layout, made.root):
        pair.mask.unlink()
    for path in made.root.rglob("*"):
        if path.suffix.lower() in (".jpg", ".png", ".tif"):
            path.unlink()
    with pytest.raises(DataError, match="is empty|no files"):
        list_pairs(made.layout, made.root)


def test_wrong_layout(made: FakeSet) -> None:
    with pytest.raises(InputError, match="there is no layout 'coco'.*") as caught:
        list_pairs("coco", made.root)
    assert "rescuenet" in caught.value.mend
    other = "ycor" if made.layout != "ycor" else "aeroscapes"
    with pytest.raises(DataError) as refused:
        list_pairs(other, made.root)
    assert made.layout in refused.value.mend or other in refused.value.mend


def test_wrong_ontology(made: FakeSet) -> None:
    unfit = [{"name": "one", "color": [9, 9, 9], "raw": [9999], "cost": 0}]
    made.ontology = Ontology.from_dict({"name": "unfit", "classes": unfit})
    refuse(made, "16-bit is expected|not in ontology unfit|colours; one channel")


def test_rugd_scenes_are_groups_and_rellis_sequences_too(tmp_path: Path) -> None:
    groups = {p.group for p in list_pairs("rugd", MAKERS["rugd"](tmp_path / "a").root)}
    assert groups == {"creek", "park-8", "trail-10", "village"}
    groups = {p.group for p in list_pairs("rellis3d", MAKERS["rellis3d"](tmp_path / "b").root)}
    assert groups == {"00000", "00001", "00002"}
    groups = {p.group for p in list_pairs("ai4mars", MAKERS["ai4mars"](tmp_path / "c").root)}
    assert groups == {"000", "001", "002"}
    groups = {p.group for p in list_pairs("duality", MAKERS["duality"](tmp_path / "d").root)}
    assert {g.rpartition("/")[2] for g in groups} == {"cc", "ww"}


def test_values_are_read_where_colours_lie_beside_them(tmp_path: Path) -> None:
    made = write_rescuenet(tmp_path / "rescuenet")
    colours = write_rescuenet(tmp_path / "colours", "rgb").root
    for folder in colours.glob("ColorMasks-*"):
        shutil.copytree(folder, made.root / folder.name)
    assert all(p.mask.parent.name.endswith("-label-img") for p in list_pairs("auto", made.root))


def test_rellis_ids_that_its_authors_merge() -> None:
    rellis = load_ontology("rellis3d")
    ids = rellis.encode(np.array([[3, 29, 30, 6, 32, 0]], np.uint8))[0]
    assert [rellis.names[i] for i in ids[:5]] == ["grass"] * 3 + ["water"] * 2
    assert ids[5] == 255


def test_look_alikes_are_not_taken_for_what_they_are_not(tmp_path: Path) -> None:
    made = write_rescuenet(tmp_path / "FloodNet-Supervised_v1.0")
    with pytest.raises(DataError, match="no data set that is known"):
        guess_layout(made.root)
    voc = write_aeroscapes(tmp_path / "VOC2012")
    (voc.root / "SegmentationObject").mkdir()
    with pytest.raises(DataError, match="no data set that is known"):
        guess_layout(voc.root)


def test_a_folder_with_its_own_ontology_is_generic_whatever_its_frames_are_called(tmp_path: Path) -> None:
    made = MAKERS["ai4mars"](tmp_path / "mars")
    assert guess_layout(made.root) == "ai4mars"
    shutil.copy(tmp_path / "mars" / "images" / next((made.root / "images").iterdir()).name, tmp_path)
    (made.root / "ontology.yaml").write_text("name: x\n")
    assert guess_layout(made.root) == "generic"
    assert find_layout("auto", made.root).ontology is None


def test_infrared_potsdam_is_refused(tmp_path: Path) -> None:
    made = MAKERS["potsdam"](tmp_path / "potsdam")
    for path in (made.root / "2_Ortho_RGB").iterdir():
        path.rename(path.with_name(path.name.replace("_RGB", "_IRRG")))
    with pytest.raises(DataError, match="no files top_potsdam_…_RGB.tif") as caught:
        list_pairs("auto", made.root)
    assert "2_Ortho_RGB" in caught.value.mend
