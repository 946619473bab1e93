# SPDX-License-Identifier: Apache-2.0
"""The viewer layouts by themselves; what they ask for is held against node, replay and live view in their tests."""

from __future__ import annotations

import pytest

from tests.helpers.layouts import FOLDER, OF_NODE, OF_REPLAY, OF_VIEW, layout_of

LAYOUTS = (OF_NODE, OF_REPLAY, OF_VIEW)


def test_there_is_no_other_layout(repo_root):
    assert sorted(p.name for p in (repo_root / FOLDER).iterdir()) == sorted(LAYOUTS)


@pytest.mark.parametrize("name", LAYOUTS)
def test_every_panel_is_in_the_window_once(repo_root, name):
    layout = layout_of(repo_root / FOLDER / name)
    assert sorted(layout.placed) == sorted(layout.panels)


@pytest.mark.parametrize("name", LAYOUTS)
def test_titles_are_there_for_foxglove_and_for_lichtblick(repo_root, name):
    """Each reads a key of its own and shows the panel's kind where it is missing."""
    panels = layout_of(repo_root / FOLDER / name).panels
    titled = {k: p for k, p in panels.items() if not k.startswith("Diagnostic")}
    for panel in titled.values():
        assert panel["lichtblickPanelTitle"] == panel["foxglovePanelTitle"] != ""


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_picture_does_not_wait_for_a_calibration(repo_root, name):
    """With a calibration topic that is not there Lichtblick shows no image at all; with one that is, a rectified one."""
    panels = layout_of(repo_root / FOLDER / name).panels
    pictures = [p["imageMode"] for k, p in panels.items() if k.startswith("Image!")]
    assert pictures
    assert all(set(mode) == {"imageTopic"} for mode in pictures)


@pytest.mark.parametrize("name", LAYOUTS)
def test_transforms_of_a_recording_are_read_ahead(repo_root, name):
    """Else Lichtblick warns, and after a jump in time the poses before it are missing."""
    panels = layout_of(repo_root / FOLDER / name).panels
    scenes = [p["scene"] for k, p in panels.items() if k.startswith(("Image!", "3D!"))]
    assert all(scene["transforms"]["enablePreloading"] is True for scene in scenes)


@pytest.mark.parametrize("name", [OF_NODE, OF_REPLAY])
def test_plots_show_recordings_too(repo_root, name):
    """A plot that follows the last seconds stays empty in Lichtblick 1.28.1 where a recording is open."""
    panels = layout_of(repo_root / FOLDER / name).panels
    plots = [p for k, p in panels.items() if k.startswith("Plot!")]
    assert plots
    assert all("followingViewWidth" not in plot for plot in plots)


@pytest.mark.parametrize("name", [OF_NODE, OF_REPLAY])
def test_class_ids_are_not_shown_as_a_picture(repo_root, name):
    """A mono8 image of class ids looks black; only the live view sends them in colours."""
    topics = {topic for topic, _ in layout_of(repo_root / FOLDER / name).topics}
    assert "/labels" not in topics


def test_the_colour_of_a_class_among_the_points_is_the_same_in_every_frame(repo_root):
    """Without limits a viewer stretches the colours over the classes that a frame happens to have."""
    points = layout_of(repo_root / FOLDER / OF_NODE).panels["3D!map"]["topics"]["/points"]
    assert (points["colorField"], points["minValue"]) == ("label", 0)
    assert points["maxValue"] > 0
