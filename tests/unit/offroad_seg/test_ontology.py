# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import copy
import warnings

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from offroad_seg.errors import OntologyError
from offroad_seg.ontology import Ontology, load_ontology, ontology_names

DESERT = load_ontology("duality_desert")


@pytest.mark.parametrize("name", ["duality_desert", "ycor", "ai4mars", "rellis3d"])
def test_shipped_ontology_round_trips_and_does_not_warn(name):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ontology = load_ontology(name)
    assert Ontology.from_dict(ontology.to_dict()) == ontology
    assert ontology.name == name


def test_seed_deck_warns_and_never_gives_a_cost():
    with pytest.warns(UserWarning, match="sky"):
        deck = load_ontology("seed_deck")
    assert (deck.costs_256 == -1).all()


def test_every_shipped_sky_says_nothing_of_the_ground():
    for name in ontology_names():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ontology = load_ontology(name)
        for c in ontology.classes:
            if c.name.lower() == "sky":
                assert ontology.costs_256[c.id] == -1


def test_desert_is_the_table_of_the_data():
    raw = {c.name: c.raw for c in DESERT.classes}
    assert raw["Sky"] == (10000,)
    assert raw["Flowers"] == (600,)
    assert raw["Landscape"] == (7100,)
    assert DESERT.n_classes == 10
    lethal = {c.name for c in DESERT.classes if DESERT.costs_256[c.id] == 100}
    assert lethal == {"Trees", "Logs", "Rocks"}
    assert {c.name for c in DESERT.classes if c.standing} == lethal | {"Lush Bushes", "Dry Bushes"}


@given(
    st.lists(
        st.sampled_from([100, 200, 300, 500, 550, 600, 700, 800, 7100, 10000, 0]), min_size=6, max_size=6
    )
)
def test_encode_then_decode_gives_the_raw_values_back(values):
    raw = np.array(values, np.uint16).reshape(2, 3)
    for dtype in (np.uint16, np.int32, np.int64):
        ids = DESERT.encode(raw.astype(dtype))
        assert ids.dtype == np.uint8
        assert ((ids == 255) == (raw == 0)).all()
        assert (DESERT.decode(ids) == raw).all()


@pytest.mark.parametrize("dtype", [np.uint16, np.int32])
def test_unknown_values_are_named_with_their_counts(dtype):
    raw = np.full((4, 5), 7100, dtype)
    raw[0, :3] = 123
    raw[1, 0] = 9
    with pytest.raises(OntologyError, match=r"9 \(1 pixels\), 123 \(3 pixels\)") as error:
        DESERT.encode(raw, where="mask.png")
    assert "mask.png" in str(error.value)


def test_negative_values_are_unknown_not_wrapped_around():
    raw = np.full((2, 3), -1, np.int64)
    with pytest.raises(OntologyError, match=r"-1 \(6 pixels\)"):
        DESERT.encode(raw)


def test_float_masks_are_refused():
    with pytest.raises(OntologyError, match="float32"):
        DESERT.encode(np.zeros((2, 3), np.float32))


def test_colorize_uses_the_class_colours_and_black_for_unlabelled():
    picture = DESERT.colorize(np.array([[0, 9, 255]], np.uint8))
    assert picture.shape == (1, 3, 3)
    assert picture[0].tolist() == [list(DESERT.classes[0].color), list(DESERT.classes[9].color), [0, 0, 0]]


def _valid():
    return {
        "name": "two",
        "classes": [
            {"name": "A", "color": [1, 2, 3], "raw": [1], "cost": 0},
            {"name": "B", "color": [4, 5, 6], "raw": [2, 3], "cost": "lethal", "standing": True},
        ],
        "ignore": [0],
    }


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d["classes"][1].update(name="a"), "two classes"),
        (lambda d: d["classes"][1].update(raw=[1]), "raw value 1 belongs to both A and B"),
        (lambda d: d.update(ignore=[2]), "raw value 2 belongs to both ignore and B"),
        (lambda d: d["classes"][0].pop("cost"), "`cost` is missing"),
        (lambda d: d["classes"][0].pop("name"), "`name` is missing"),
        (lambda d: d["classes"][0].update(cost=99), "99 is not a cost"),
        (lambda d: d["classes"][0].update(cost=True), "True is not a cost"),
        (lambda d: d["classes"][0].update(traversability=50), "ambiguous"),
        (lambda d: d["classes"][0].update(id=1), "`id` is 1"),
        (lambda d: d["classes"][0].update(color=[1, 2]), "`color`"),
        (lambda d: d["classes"][0].update(raw=[70000]), "raw values"),
        (lambda d: d["classes"][0].update(raw=[]), "`raw` is empty"),
        (lambda d: d["classes"][0].update(standing="yes"), "`standing`"),
        (lambda d: d["classes"][0].update(colour=[1, 2, 3]), "unknown keys: colour"),
        (lambda d: d.update(classes=[]), "`classes` is missing or empty"),
        (lambda d: d.pop("name"), "`name` is missing"),
    ],
)
def test_a_wrong_ontology_is_refused_by_name(change, message):
    data = _valid()
    Ontology.from_dict(copy.deepcopy(data))
    change(data)
    with pytest.raises(OntologyError, match=message):
        Ontology.from_dict(data)


def test_soft_ground_gives_way_and_is_written_only_where_it_is():
    assert DESERT.soft_256[DESERT.id_of("Dry Grass")]
    assert not DESERT.soft_256[DESERT.id_of("Landscape")]
    assert Ontology.from_dict(DESERT.to_dict()).soft_256.tolist() == DESERT.soft_256.tolist()
    assert ["soft" in c.to_dict() for c in DESERT.classes] == [c.soft for c in DESERT.classes]
    data = DESERT.to_dict()
    data["classes"][0]["soft"] = True
    with pytest.raises(OntologyError, match="`standing` or `soft`, not both"):
        Ontology.from_dict(data)
    data["classes"][0].update(standing=False, soft="yes")
    with pytest.raises(OntologyError, match="`soft` is 'yes'"):
        Ontology.from_dict(data)


def test_missing_ontology_lists_those_that_exist():
    with pytest.raises(OntologyError, match="duality_desert"):
        load_ontology("no_such_one")


def test_broken_yaml_is_an_error_with_the_path(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("name: [unclosed")
    with pytest.raises(OntologyError, match=r"mine\.yaml"):
        load_ontology(path)


@pytest.mark.shared_data
def test_every_real_mask_fits_its_ontology(shared_data):
    for path in sorted((shared_data / "duality_sample" / "Segmentation").glob("*.png")):
        raw = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        ids = DESERT.encode(raw, where=str(path))
        assert (DESERT.decode(ids) == raw).all()
    rellis = next((shared_data / "rellis_frame").glob("*.png"))
    load_ontology("rellis3d").encode(cv2.imread(str(rellis), cv2.IMREAD_UNCHANGED))
