# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import warnings

import pytest

from offroad_seg.ontology import load_ontology, ontology_names
from offroad_seg_train.audit.ontology_checks import cost_findings
from offroad_seg_train.audit.roles import GROUND, OTHER, SKY, STANDING, role, role_by_name, words


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Sky", SKY),
        ("night sky", SKY),
        ("Smooth Trail", GROUND),
        ("Bedrock", GROUND),
        ("Road Blocked", GROUND),
        ("Big Rock", STANDING),
        ("Road Sign", STANDING),
        ("Building_No_Damage", STANDING),
        ("Skyscraper", OTHER),
        ("Background", OTHER),
        ("Clutter", OTHER),
    ],
)
def test_names_speak(name, expected):
    assert role_by_name(name) == expected


def test_words_are_split_as_people_write_names():
    assert words("DryGrass_2") == ["dry", "grass"]
    assert words("rock-bed") == ["rock", "bed"]
    assert words("RGBSky") == ["rgb", "sky"]


def test_what_the_ontology_says_goes_before_the_name():
    roles = {c.name: role(c) for c in load_ontology("ycor").classes}
    assert roles["Non-Traversable Low Vegetation"] == STANDING
    assert roles["Rough Trail"] == GROUND
    assert roles["Sky"] == SKY
    assert {c.name: role(c) for c in load_ontology("rugd").classes}["rock-bed"] == GROUND


@pytest.mark.parametrize("name", ontology_names())
def test_no_ontology_of_ours_contradicts_itself(name):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ontology = load_ontology(name)
    assert cost_findings(ontology) == []
