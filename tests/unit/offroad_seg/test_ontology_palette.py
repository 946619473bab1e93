# SPDX-License-Identifier: Apache-2.0
"""Ontologies whose masks are colour pictures."""

from __future__ import annotations

import copy
import warnings

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from offroad_seg.errors import OntologyError
from offroad_seg.ontology import Ontology, load_ontology

POTSDAM = load_ontology("potsdam")
COLORS = [c.palette[0] for c in POTSDAM.classes] + [(0, 0, 0)]


@pytest.mark.parametrize(
    ("name", "n_classes", "has_raw", "has_palette"),
    [
        ("rugd", 24, True, True),
        ("rescuenet", 11, True, True),
        ("aeroscapes", 12, True, False),
        ("potsdam", 6, False, True),
        ("duality_desert", 10, True, False),
    ],
)
def test_shipped_ontologies_know_their_codings_and_round_trip(name, n_classes, has_raw, has_palette):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ontology = load_ontology(name)
    assert (ontology.n_classes, ontology.has_raw, ontology.has_palette) == (n_classes, has_raw, has_palette)
    assert Ontology.from_dict(ontology.to_dict()) == ontology


def test_potsdam_is_the_table_of_the_contest():
    picture = np.array([[[255, 255, 255], [0, 0, 255], [0, 255, 255], [0, 255, 0]],
                        [[255, 255, 0], [255, 0, 0], [0, 0, 0], [255, 255, 255]]], np.uint8)  # fmt: skip
    ids = POTSDAM.encode(picture)
    assert ids.dtype == np.uint8
    assert ids.tolist() == [[0, 1, 2, 3], [4, 5, 255, 0]]
    assert POTSDAM.names == [
        "Impervious Surfaces", "Building", "Low Vegetation", "Tree", "Car", "Clutter"
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["rugd", "rescuenet"])
def test_values_and_colours_of_one_ontology_mean_the_same(name):
    ontology = load_ontology(name)
    raw = np.array([[c.raw[0] for c in ontology.classes]], np.uint8)
    picture = np.array([[c.palette[0] for c in ontology.classes]], np.uint8)
    assert (ontology.encode(raw) == ontology.encode(picture)).all()
    assert (ontology.colorize(ontology.encode(raw)) == picture).all()
    assert (ontology.decode(ontology.encode(picture)) == raw).all()


def test_rugd_void_carries_no_class():
    assert (load_ontology("rugd").encode(np.zeros((2, 5, 3), np.uint8)) == 255).all()


@given(st.lists(st.sampled_from(COLORS), min_size=6, max_size=6))
def test_encode_then_decode_gives_the_picture_back(pixels):
    picture = np.array(pixels, np.uint8).reshape(2, 3, 3)
    ids = POTSDAM.encode(picture)
    assert ((ids == 255) == (picture == 0).all(2)).all()
    assert (POTSDAM.decode(ids) == picture).all()


@given(st.lists(st.tuples(*[st.integers(0, 255)] * 3), min_size=1, max_size=40))
def test_a_colour_is_known_exactly_if_it_is_listed(pixels):
    picture = np.array([pixels], np.uint8)
    expected = {}
    for color in pixels:
        if color not in COLORS:
            packed = color[0] << 16 | color[1] << 8 | color[2]
            expected[packed] = expected.get(packed, 0) + 1
    assert POTSDAM.unknown_values(picture) == expected


def test_unknown_colours_are_named_with_their_counts():
    picture = np.full((4, 5, 3), 255, np.uint8)
    picture[0, :3] = (252, 255, 0)
    picture[1, 0] = (0, 0, 1)
    with pytest.raises(
        OntologyError, match=r"\(252, 255, 0\) \(3 pixels\), \(0, 0, 1\) \(1 pixels\)"
    ) as error:
        POTSDAM.encode(picture, where="2_10.tif")
    assert "2_10.tif" in str(error.value)
    assert "ignore_palette" in str(error.value)


def test_a_mask_that_was_saved_with_loss_is_refused_in_one_short_message():
    rng = np.random.default_rng(0)
    blocks = np.array(COLORS, np.uint8)[rng.integers(0, len(COLORS), (8, 12))]
    picture = blocks.repeat(9, 0).repeat(9, 1)
    lossy = cv2.imdecode(cv2.imencode(".jpg", picture)[1], cv2.IMREAD_COLOR)
    with pytest.raises(OntologyError, match=r"and \d+ more") as error:
        POTSDAM.encode(lossy)
    assert "without loss" in str(error.value)
    assert len(str(error.value)) < 900


def test_a_view_with_gaps_in_memory_is_read_right():
    picture = np.zeros((4, 6, 3), np.uint8)
    picture[:, ::2] = (0, 0, 255)
    bgr = picture[..., ::-1]  # what OpenCV gives, turned into RGB by a view
    assert (POTSDAM.encode(picture[:, ::2]) == 1).all()
    assert POTSDAM.encode(bgr[..., ::-1])[0].tolist() == [1, 255, 1, 255, 1, 255]


@pytest.mark.parametrize(
    ("ontology", "mask", "message"),
    [
        ("potsdam", np.zeros((4, 5), np.uint8), "knows colours only"),
        ("duality_desert", np.zeros((4, 5, 3), np.uint8), "knows raw values only"),
        ("potsdam", np.zeros((4, 5, 4), np.uint8), r"not uint8 \(4, 5, 4\)"),
        ("potsdam", np.zeros((4, 5, 3), np.uint16), "not uint16"),
        ("potsdam", np.zeros((4, 5, 3), np.float32), "float32"),
    ],
)
def test_a_mask_of_the_other_coding_is_refused(ontology, mask, message):
    with pytest.raises(OntologyError, match=message):
        load_ontology(ontology).encode(mask, where="mask.png")
    with pytest.raises(OntologyError, match=message):
        load_ontology(ontology).unknown_values(mask)


def _valid():
    return {
        "name": "two",
        "classes": [
            {"name": "A", "color": [1, 2, 3], "palette": [[1, 2, 3], [1, 2, 4]], "cost": 0},
            {"name": "B", "color": [4, 5, 6], "palette": [[4, 5, 6]], "cost": "lethal", "standing": True},
        ],
        "ignore_palette": [[0, 0, 0]],
    }


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d["classes"][1].update(palette=[[1, 2, 4]]), r"palette colour \(1, 2, 4\) belongs to both A and B"),
        (lambda d: d["classes"][0].update(palette=[[0, 0, 0]]), "belongs to both ignore_palette and A"),
        (lambda d: d.update(ignore_palette=[[0, 0, 0], [0, 0, 0]]), "`ignore_palette` lists a value twice"),
        (lambda d: d["classes"][0].update(palette=[[1, 2, 256]]), "palette colours are"),
        (lambda d: d["classes"][0].update(palette=[1, 2, 3]), "palette colours are"),
        (lambda d: d["classes"][0].update(palette=[[1, 2, True]]), "palette colours are"),
        (lambda d: d["classes"][0].update(palette=[]), "`palette` is empty"),
        (lambda d: d["classes"][0].pop("palette"), "`raw` \\(or `palette`\\) is missing"),
        (lambda d: d["classes"][0].update(raw=[1]), "`raw` is missing in B"),
        (lambda d: (d["classes"][1].pop("palette"), d["classes"][1].update(raw=[1])), "`raw` is missing in A"),
        (lambda d: d.update(ignore=[0]), "`raw` is missing in A, B"),
        (lambda d: d.update(ignore_palette=[0]), "palette colours are"),
    ],
)  # fmt: skip
def test_a_wrong_palette_is_refused_by_name(change, message):
    data = _valid()
    Ontology.from_dict(copy.deepcopy(data))
    change(data)
    with pytest.raises(OntologyError, match=message):
        Ontology.from_dict(data)


def test_several_colours_can_mean_one_class():
    ontology = Ontology.from_dict(_valid())
    assert ontology.encode(np.array([[[1, 2, 3], [1, 2, 4], [4, 5, 6], [0, 0, 0]]], np.uint8)).tolist() == [
        [0, 0, 1, 255]
    ]
