# SPDX-License-Identifier: Apache-2.0
"""Every parameter of the mapping reaches it under its own name."""

from __future__ import annotations

from dataclasses import fields

from offroad_seg.mapping.settings import PipelineSettings
from offroad_seg.ros.loading import pipeline_settings
from offroad_seg.ros.settings import Settings

# Settings of the pipeline that are no parameters of the node.
NOT_ASKED_FOR = {
    *("min_evidence", "max_evidence", "lethal_share", "slope_time", "slope_uncertainty", "shadow", "min_standing_px"),
}  # fmt: skip


def test_each_parameter_arrives_and_is_no_other():
    settings = Settings(
        min_confidence=0.11,
        min_contrast=1.1,
        costmap_width=12.0,
        costmap_height=13.0,
        costmap_resolution=0.14,
        costmap_max_range=15.5,
        costmap_decay_time=16.0,
        costmap_sure_confidence=0.17,
        costmap_unlabelled_cost=17,
        ground_height=0.18,
        base_frame="rover",
        odom_frame="world",
        costmap_frame="rover",
        ood_action="ignore",
        output_size=(19, 20),
        camera_rotation=270,
        projection="depth",
        contact_slope=2.1,
        contact_slope_least=1.2,
        max_step=0.22,
        max_slope=23.0,
        clearance=2.4,
    )
    given = pipeline_settings(settings, {"Rocks": 25})
    expected = {
        "min_confidence": 0.11,
        "min_contrast": 1.1,
        "costmap_width": 12.0,
        "costmap_height": 13.0,
        "resolution": 0.14,
        "max_range": 15.5,
        "decay_time": 16.0,
        "sure_confidence": 0.17,
        "unlabelled_cost": 17,
        "ground_height": 0.18,
        "base_frame": "rover",
        "odom_frame": "world",
        "costmap_frame": "rover",
        "heed_ood": False,
        "output_size": (19, 20),
        "rotation": 270,
        "projection": "depth",
        "contact_slope": 2.1,
        "contact_slope_least": 1.2,
        "max_step": 0.22,
        "max_slope": 23.0,
        "clearance": 2.4,
        "class_cost": {"Rocks": 25},
    }
    assert {name: getattr(given, name) for name in expected} == expected
    assert {f.name for f in fields(PipelineSettings)} == expected.keys() | NOT_ASKED_FOR
    plain = PipelineSettings()
    assert all(getattr(plain, name) != value for name, value in expected.items())


def test_the_words_for_unlabelled_ground():
    for value, word in ((-1, "unknown"), (100, "lethal"), (30, 30)):
        assert pipeline_settings(Settings(costmap_unlabelled_cost=value), {}).unlabelled_cost == word
