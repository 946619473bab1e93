# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import pytest

from offroad_seg.errors import InputError
from offroad_seg.grouping import Grouping
from offroad_seg.ontology import load_ontology

ONTOLOGY = load_ontology("duality_desert")


def load(tmp_path, text):
    path = tmp_path / "groups.yaml"
    path.write_text(text, encoding="utf-8")
    return Grouping.load(path, ONTOLOGY)


def test_classes_become_groups_and_the_rest_is_unlabelled(tmp_path):
    grouping = load(tmp_path, "name: drive\ngroups:\n  free: [Landscape, Dry Grass]\n  blocked: [Rocks]\n")
    assert (grouping.name, grouping.names) == ("drive", ["free", "blocked"])
    labels = np.array([["Landscape", "Dry Grass", "Rocks"], ["Sky", "Trees", "Landscape"]])
    ids = np.vectorize(ONTOLOGY.id_of)(labels).astype(np.uint8)
    ids[1, 1] = 255
    groups = grouping.apply(ids)
    assert groups.dtype == np.uint8
    assert groups.tolist() == [[0, 0, 1], [255, 255, 0]]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("groups: {free: [Landscape, Sandbox]}", "no class 'Sandbox'"),
        ("groups: {free: [Landscape], other: [Landscape]}", "in two groups"),
        ("groups: {free: []}", "has no classes"),
        ("groups: {free: Landscape}", "has no classes"),
        ("free: [Landscape]", "no groups"),
        ("[1, 2]", "no groups"),
        ("groups: {a: [", "cannot be read"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(tmp_path, text, words):
    with pytest.raises(InputError, match=words) as error:
        load(tmp_path, text)
    assert "groups.yaml" in str(error.value)


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(InputError, match="cannot be read"):
        Grouping.load(tmp_path / "none.yaml", ONTOLOGY)
