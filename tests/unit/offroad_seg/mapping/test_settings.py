# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math

import pytest

from offroad_seg.errors import InputError, OntologyError
from offroad_seg.mapping.settings import PipelineSettings
from offroad_seg.ontology import load_ontology

ONTOLOGY = load_ontology("duality_desert")


def test_the_defaults_build_a_projector_and_a_costmap():
    settings = PipelineSettings()
    assert not settings.projector(ONTOLOGY).needs_depth
    assert PipelineSettings(projection="depth").projector(ONTOLOGY).needs_depth
    assert settings.costmap(ONTOLOGY).unknown(0).cost_HW.shape == (200, 200)
    assert not settings.in_base_frame


def test_costs_by_class_reach_the_costmap():
    PipelineSettings(class_cost={"Rocks": 60, "Dry Grass": "lethal", "Flowers": "unknown"}).costmap(ONTOLOGY)
    with pytest.raises(OntologyError, match=r"(?s)no class 'Rock'.*Rocks"):
        PipelineSettings(class_cost={"Rock": 60}).costmap(ONTOLOGY)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"costmap_frame": "map"}, "costmap_frame"),
        ({"projection": "radar"}, "projection"),
        ({"odom_frame": "base_link"}, "two different names"),
        ({"slope_time": -1.0}, "slope_time"),
        ({"min_contrast": -1.0}, "min_contrast"),
        ({"min_contrast": 65.0}, "min_contrast"),
        ({"min_contrast": math.nan}, "min_contrast"),
        ({"unlabelled_cost": 0}, "unlabelled_cost"),
        ({"class_cost": {"Rocks": 99}}, "class_cost.Rocks"),
        ({"class_cost": {"Rocks": "deadly"}}, "class_cost.Rocks"),
        ({"costmap_width": -1.0}, "costmap.width"),
        ({"costmap_width": math.nan}, "costmap.width"),
    ],
)
def test_settings_that_make_no_sense_are_refused_at_once(options, named):
    with pytest.raises(InputError, match=named):
        PipelineSettings(**options)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"min_confidence": -0.1}, "min_confidence"),
        ({"resolution": 0.0}, "costmap.resolution"),
        ({"max_range": -3.0}, "max_range"),
        ({"shadow": "moon"}, "shadow"),
        ({"projection": "depth", "max_step": -1.0}, "max_step"),
        ({"projection": "depth", "max_slope": 90.0}, "max_slope"),
        ({"projection": "depth", "clearance": 0.1}, "clearance"),
        ({"decay_time": 0.0}, "decay_time"),
        ({"lethal_share": 2.0}, "lethal_share"),
        ({"sure_confidence": 1.5}, "costmap.sure_confidence"),
    ],
)
def test_numbers_out_of_bounds_are_refused_when_it_is_built(options, named):
    settings = PipelineSettings(**options)
    with pytest.raises(InputError, match=named):
        settings.projector(ONTOLOGY)
        settings.costmap(ONTOLOGY)
