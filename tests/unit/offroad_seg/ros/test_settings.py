# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math
from dataclasses import fields

import pytest
import yaml

from offroad_seg.errors import InputError
from offroad_seg.pipeline import PipelineSettings
from offroad_seg.ros.rules import check_cost, check_value
from offroad_seg.ros.settings import RULES, Settings, mount_rule


def test_every_parameter_has_a_default_that_is_allowed_and_a_description():
    for rule in RULES.values():
        checked = check_value(rule, rule.default)
        assert checked == rule.default or math.isnan(checked)
        assert rule.description
        if isinstance(rule.default, float):
            assert rule.low is not None
            assert rule.high is not None


def test_the_parameter_file_holds_every_parameter_with_its_default(repo_root):
    def flat(tree, prefix=""):
        for key, value in tree.items():
            if isinstance(value, dict):
                yield from flat(value, f"{prefix}{key}.")
            else:
                yield prefix + key, tuple(value) if isinstance(value, list) else value

    data = yaml.safe_load((repo_root / "config/perception.yaml").read_text(encoding="utf-8"))
    given = dict(flat(data["/**"]["ros__parameters"]))
    # The mount has no default: what is not given comes from /tf.
    expected = {name: rule.default for name, rule in RULES.items() if not rule.optional}
    assert given == expected
    assert {name: type(value) for name, value in given.items()} == {n: type(v) for n, v in expected.items()}


def test_every_parameter_is_in_the_documentation(repo_root):
    text = (repo_root / "docs/node.md").read_text(encoding="utf-8")
    assert [name for name in RULES if f"`{name}`" not in text] == []


def test_defaults_are_those_of_the_pipeline():
    """One truth: what replay takes by default, the node takes."""
    same = {"min_confidence", "costmap_width", "costmap_height", "ground_height", "odom_frame", "base_frame"}
    same |= {
        "min_contrast",
        "projection",
        "contact_slope",
        "contact_slope_least",
        "max_step",
        "max_slope",
        "clearance",
    }
    ours, theirs = Settings(), PipelineSettings()
    assert same <= {f.name for f in fields(PipelineSettings)}
    for name in same:
        assert getattr(ours, name) == getattr(theirs, name), name
    assert ours.costmap_resolution == theirs.resolution
    assert ours.costmap_max_range == theirs.max_range
    assert ours.costmap_decay_time == theirs.decay_time
    assert ours.costmap_sure_confidence == theirs.sure_confidence
    assert ours.grid_frame == theirs.costmap_frame


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("max_age", -0.1),
        ("max_age", math.nan),
        ("max_age", math.inf),
        ("max_age", True),
        ("max_age", "1"),
        ("threads", 1.0),
        ("threads", -1),
        ("autostart", 1),
        ("bundle", 5),
        ("image_transport", "theora"),
        ("min_confidence", 1.01),
        ("min_contrast", -0.1),
        ("min_contrast", math.nan),
        ("min_contrast", 64.1),
        ("camera_mount.pitch", 100.0),
        ("camera_mount.x", math.inf),
        ("costmap.sure_confidence", 1.01),
        ("costmap.unlabelled_cost", 0),
        ("costmap.unlabelled_cost", 99),
    ],
)
def test_bad_values_are_refused_by_name(name, value):
    with pytest.raises(InputError, match=name.replace(".", r"\.")):
        check_value(RULES[name], value)


def test_whole_numbers_are_taken_for_numbers():
    value = check_value(RULES["max_age"], 2)
    assert value == 2.0
    assert type(value) is float


@pytest.mark.parametrize(
    ("value", "cost"), [(0, 0), (98, 98), (100, "lethal"), ("lethal", "lethal"), ("unknown", "unknown")]
)
def test_costs(value, cost):
    assert check_cost("Rocks", value) == cost


@pytest.mark.parametrize("value", [-1, 99, 101, 5.0, True, None, "free", ""])
def test_bad_costs(value):
    with pytest.raises(InputError, match=r"class_cost\.Rocks"):
        check_cost("Rocks", value)


def test_a_mount_is_never_identity_by_default():
    assert Settings().mount() is None
    assert Settings(mount_z=1.2, mount_pitch=0.1).mount() == (0, 0, 1.2, 0, 0.1, 0)
    with pytest.raises(InputError, match=r"camera_mount\.z"):
        Settings(mount_x=0.5).mount()


@pytest.mark.parametrize("value", [[640, 360], (640, 360)])
def test_a_size_is_two_whole_numbers(value):
    assert Settings.from_values({"output_size": check_value(RULES["output_size"], value)}).size_of_labels == (
        640,
        360,
    )


@pytest.mark.parametrize("value", [[], [0, 0]])
def test_no_size_is_the_images_own(value):
    assert (
        Settings.from_values({"output_size": check_value(RULES["output_size"], value)}).size_of_labels is None
    )


@pytest.mark.parametrize(
    "value", [[640], [640, 0], [640, 360, 3], [640.0, 360.0], [-1, 5], [9000, 5], "640", 640]
)
def test_what_is_no_size_is_refused(value):
    with pytest.raises(InputError, match="output_size"):
        check_value(RULES["output_size"], value)


def test_a_rotation_is_a_quarter_turn():
    assert check_value(RULES["camera_rotation"], 270) == 270
    with pytest.raises(InputError, match="0, 90, 180, 270"):
        check_value(RULES["camera_rotation"], 45)


@pytest.mark.parametrize(
    ("value", "names"),
    [
        ([], ()),
        (None, ()),
        ([""], ()),
        (["front"], ("front",)),
        (("front", "/rig/left"), ("front", "/rig/left")),
    ],
)
def test_cameras_are_namespaces(value, names):
    assert check_value(RULES["cameras"], value) == names


@pytest.mark.parametrize(
    "value", ["front", 5, [5], ["fr ont"], ["2nd"], ["a//b"], ["a", "a"], ["a/b", "a_b"], ["front/"], ["~x"]]
)
def test_what_is_no_list_of_cameras_is_refused(value):
    with pytest.raises(InputError, match="cameras"):
        check_value(RULES["cameras"], value)


def test_each_of_several_cameras_has_a_mount_of_its_own():
    nan = math.nan
    settings = Settings(cameras=("front", "rig/left"), mounts={"rig_left": (0.5, nan, 1.0, nan, 0.2, nan)})
    assert settings.camera_names == ("front", "rig/left")
    assert settings.mount("front") is None
    assert settings.mount("rig/left") == (0.5, 0, 1.0, 0, 0.2, 0)
    with pytest.raises(InputError, match=r"camera_mount\.front\.z"):
        Settings(cameras=("front",), mounts={"front": (0.5, nan, nan, nan, nan, nan)}).mount("front")
    with pytest.raises(InputError, match="there are several"):
        Settings(cameras=("front",), mount_z=1.0).mount("front")


def test_the_rule_of_a_cameras_mount_is_that_of_the_one_camera():
    rule = mount_rule("camera_mount.rig_left.pitch", ("front", "rig/left"))
    assert (rule.name, rule.high) == ("camera_mount.rig_left.pitch", RULES["camera_mount.pitch"].high)
    for name in ("camera_mount.right.pitch", "camera_mount.front.tilt", "camera_mount.pitch", "bundle"):
        assert mount_rule(name, ("front", "rig/left")) is None
