# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from offroad_seg.errors import DataError
from offroad_seg.ontology import load_ontology
from offroad_seg_train.audit import mask_probe
from offroad_seg_train.audit.finding import MaskValue
from offroad_seg_train.audit.mask_probe import COLUMNS, ROWS, probe_mask, value_ids
from offroad_seg_train.data.reading import EIGHT_BIT

DESERT = load_ontology("duality_desert")
POTSDAM = load_ontology("potsdam")


def save(path, mask):
    Image.fromarray(mask).save(path)
    return path


@settings(max_examples=20, deadline=None)
@given(
    height=st.integers(1, 90),
    width=st.integers(1, 90),
    seed=st.integers(0, 2**32 - 1),
    strip=st.sampled_from([64, 1 << 20]),
    colored=st.booleans(),
)
def test_values_and_places_are_what_counting_gives(tmp_path_factory, height, width, seed, strip, colored):
    rng = np.random.default_rng(seed)
    ontology = POTSDAM if colored else DESERT
    known = [c.palette[0] for c in ontology.classes] if colored else [c.raw[0] for c in ontology.classes]
    index = rng.integers(0, len(known), (height, width))
    mask = np.array(known, np.uint8 if colored else np.uint16)[index]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mask_probe, "_STRIP_PIXELS", strip)
        path = save(tmp_path_factory.mktemp("mask") / "m.png", mask)
        found = probe_mask(path, ontology, None)
    assert found.unknown == {}
    assert found.coding == ""
    assert found.pixels_V.sum() == height * width
    ids = value_ids(found.values, ontology)
    for place, (value, own) in enumerate(zip(found.values, ids, strict=True)):
        here = index == own
        assert value.is_color == colored
        assert found.pixels_V[place] == here.sum() == found.ids_256[own]
        middles = (np.arange(height) + 0.5) / height
        assert found.height_V[place] == pytest.approx((here.sum(axis=1) * middles).sum() / here.sum())
    # Each cell that holds pixels is shared out among the values.
    whole = found.heat_VRC.sum(axis=0)
    assert np.isin(whole.round(5), [0, 1]).all()
    if height >= ROWS and width >= COLUMNS:
        np.testing.assert_allclose(whole, 1, atol=1e-5)


def test_the_top_of_the_mask_is_the_top_of_the_heat_map(tmp_path):
    mask = np.full((48, 96), 7100, np.uint16)
    mask[:12, 48:] = 10000
    found = probe_mask(save(tmp_path / "m.png", mask), DESERT, None)
    sky = found.values.index(MaskValue(10000))
    assert found.heat_VRC[sky, : ROWS // 4, COLUMNS // 2 :].min() == 1
    assert found.heat_VRC[sky].sum() == ROWS // 4 * COLUMNS // 2
    assert found.height_V[sky] == pytest.approx(0.125)


def test_texture_and_light_are_those_of_the_image_under_the_value(tmp_path):
    rng = np.random.default_rng(0)
    mask = np.full((64, 96), 7100, np.uint16)
    mask[:32] = 10000
    image = rng.integers(0, 120, (64, 96, 3), np.uint8)
    image[:32] = 200
    found = probe_mask(save(tmp_path / "m.png", mask), DESERT, image)
    ground, sky = found.values.index(MaskValue(7100)), found.values.index(MaskValue(10000))
    assert found.texture_V[sky] == 0
    assert found.light_V[sky] == pytest.approx(200)
    assert found.texture_V[ground] > 10
    assert 40 < found.light_V[ground] < 80


def test_values_outside_the_ontology_are_counted(tmp_path):
    mask = np.full((20, 30), 7100, np.uint16)
    mask[3, :7] = 1234
    found = probe_mask(save(tmp_path / "m.png", mask), DESERT, None)
    assert found.unknown == {1234: 7}
    assert found.unknown_more == (0, 0)
    assert found.ids_256.sum() == 593


def test_very_many_values_keep_memory_and_the_count(tmp_path):
    mask = np.arange(6000, 6000 + 50 * 60, dtype=np.uint16).reshape(50, 60)  # 7100 is one of them
    found = probe_mask(save(tmp_path / "m.png", mask), DESERT, None)
    assert len(found.values) == 64
    assert len(found.unknown) + found.unknown_more[0] == 2999
    assert sum(found.unknown.values()) + found.unknown_more[1] == 2999


def test_eight_bits_are_told_from_values_that_are_unknown(tmp_path):
    found = probe_mask(save(tmp_path / "m.png", np.full((9, 16), 188, np.uint8)), DESERT, None)
    assert found.coding == EIGHT_BIT
    assert found.unknown == {}
    assert found.ids_256.sum() == 0


def test_lossy_formats_are_noted_and_odd_modes_refused(tmp_path):
    grey = Image.fromarray(np.full((24, 32), 3, np.uint8))
    grey.save(tmp_path / "m.jpg")
    assert probe_mask(tmp_path / "m.jpg", load_ontology("ai4mars"), None).lossy
    Image.new("LA", (8, 6)).save(tmp_path / "a.png")
    with pytest.raises(DataError):
        probe_mask(tmp_path / "a.png", POTSDAM, None)


def test_colours_where_values_are_meant_are_a_matter_of_coding(tmp_path):
    Image.new("RGB", (8, 6), (3, 4, 5)).save(tmp_path / "c.png")
    found = probe_mask(tmp_path / "c.png", DESERT, None)
    assert "knows raw values only" in found.coding
    assert [v.label for v in found.values] == ["(3, 4, 5)"]
    (tmp_path / "d.png").write_bytes((tmp_path / "c.png").read_bytes()[:50])
    with pytest.raises(DataError):
        probe_mask(tmp_path / "d.png", DESERT, None)


def test_grey_masks_where_colours_are_meant_are_a_matter_of_coding(tmp_path):
    found = probe_mask(save(tmp_path / "m.png", np.full((9, 16), 3, np.uint8)), POTSDAM, None)
    assert "knows colours only" in found.coding
