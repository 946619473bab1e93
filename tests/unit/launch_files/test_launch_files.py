# SPDX-License-Identifier: Apache-2.0
"""What the launch files hand to the node; ``tests/integration/test_launch.py`` runs them with the real ``ros2 launch``."""

from __future__ import annotations

import re

import pytest

from offroad_seg.ros.dds import VARIABLES
from offroad_seg.ros.settings import RULES
from tests.helpers import launch_stand_in as stand_in

# The node's inputs; test_sros2_policy.py holds this list against the running node.
INPUTS = {"image", "camera_info", "odom", "imu", "depth"}
EVERYTHING = {
    "bundle": "b",
    "device": "cpu",
    "image_transport": "compressed",
    "base_frame": "base",
    "odom_frame": "map",
    "costmap_frame": "base",
    "use_sim_time": "true",
    "autostart": "false",
}


@pytest.fixture(scope="module")
def perception(repo_root):
    return stand_in.load(repo_root / "launch/perception.launch.py")


@pytest.fixture
def plain_environment(monkeypatch):
    for name in (*VARIABLES, "ROS_DISTRO"):
        monkeypatch.delenv(name, raising=False)


def node(perception, **given):
    return stand_in.only(stand_in.run(perception, **given), "LifecycleNode").given


def test_without_arguments_the_parameter_file_decides(perception):
    given = node(perception)
    file, values = given["parameters"]
    assert file.endswith("config/perception.yaml")
    assert values == {}
    assert given["name"] == "perception"
    assert given["respawn"] is False
    assert given["remappings"] == [("odom", "odom"), ("imu", "imu")]


def test_every_parameter_is_one_of_the_nodes_and_of_its_type(perception):
    values = node(perception, **EVERYTHING)["parameters"][1]
    assert values.keys() == EVERYTHING.keys()
    assert values.pop("use_sim_time") is True  # rclpy's own
    for name, value in values.items():
        assert type(value) is type(RULES[name].default)
        assert not RULES[name].choices or value in RULES[name].choices


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"image": "/cam/rgb"}, {"image": "/cam/rgb"}),
        (
            {"camera": "/camera", "odom": "/ekf", "imu": "/imu/data"},
            {
                "image": "/camera/image_raw",
                "camera_info": "/camera/camera_info",
                "depth": "/camera/depth",
                "odom": "/ekf",
                "imu": "/imu/data",
            },
        ),
        (
            {"camera": "zed/left", "image": "image_rect", "depth": "/zed/depth"},
            {"image": "zed/left/image_rect", "camera_info": "zed/left/camera_info", "depth": "/zed/depth"},
        ),
        (
            {"cameras": "front, left"},
            {"front/image": "front/image_raw", "left/image": "left/image_raw"},
        ),
        (
            {"cameras": "front", "camera": "/sensors", "image": "color"},
            {"front/image": "/sensors/front/color", "front/camera_info": "/sensors/front/camera_info"},
        ),
    ],
)
def test_inputs_are_renamed_to_the_drivers_topics(perception, given, expected):
    rules = dict(node(perception, **given)["remappings"])
    assert expected.items() <= rules.items()
    assert {name.split("/")[-1] for name in rules} <= INPUTS
    assert all(a != b for a, b in rules.items() if a not in ("odom", "imu"))


def test_cameras_are_a_list_of_names(perception):
    assert node(perception, cameras="front,left, /right/")["parameters"][1] == {
        "cameras": ["front", "left", "right"]
    }


@pytest.mark.parametrize(("given", "value"), [("true", True), ("false", False), ("events", False)])
def test_autostart(perception, given, value):
    assert node(perception, autostart=given)["parameters"][1] == {"autostart": value}


def test_lifecycle_events_wait_for_the_process_and_come_before_it(perception):
    actions = stand_in.run(perception, autostart="events")
    kinds = [a.kind for a in actions]
    assert kinds.count("RegisterEventHandler") == 2
    assert kinds.index("LifecycleNode") == len(kinds) - 1
    start, inactive = (a.args[0] for a in actions if a.kind == "RegisterEventHandler")
    assert start.kind == "OnProcessStart"
    (configure,) = start.given["on_start"]
    assert configure.given["event"].given["transition_id"] == 1
    # A node that deactivated itself is not activated again.
    assert inactive.given["start_state"] == "configuring"
    (activate,) = inactive.given["entities"]
    assert activate.given["event"].given["transition_id"] == 3


def test_respawn_waits(perception):
    given = node(perception, respawn="true", respawn_delay="0.5")
    assert (given["respawn"], given["respawn_delay"]) == (True, 0.5)


def test_rviz_shows_our_file_in_the_nodes_namespace(perception, repo_root):
    given = {"rviz": "true", "namespace": "rover", "use_sim_time": "true", "odom": "/odometry/filtered"}
    rviz = stand_in.only(stand_in.run(perception, **given), "Node").given
    assert rviz["arguments"] == ["-d", str(repo_root / "config/rviz/offroad_seg.rviz")]
    assert rviz["namespace"] == "rover"
    assert rviz["parameters"] == [{"use_sim_time": True}]
    assert rviz["remappings"] == [("odom", "/odometry/filtered")]
    assert not [a for a in stand_in.run(perception) if a.kind == "Node"]


def variables(perception, **given):
    actions = stand_in.run(perception, **given)
    return dict(a.args for a in actions if a.kind == "SetEnvironmentVariable")


def test_the_profile_for_large_images_is_used_unless_the_user_has_one(
    perception, plain_environment, monkeypatch, tmp_path
):
    found = variables(perception)
    assert set(found) == set(VARIABLES)
    assert all(path.endswith("config/dds/fastdds_large_images.xml") for path in found.values())
    monkeypatch.setenv(VARIABLES[1], "/mine.xml")
    assert variables(perception) == {}
    other = tmp_path / "other.xml"
    other.write_text("<dds/>")
    assert set(variables(perception, dds_profile=str(other)).values()) == {str(other)}


@pytest.mark.parametrize(
    ("distribution", "name", "value"),
    [("humble", "ROS_LOCALHOST_ONLY", "1"), ("jazzy", "ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")],
)
def test_local_only(perception, plain_environment, monkeypatch, distribution, name, value):
    monkeypatch.setenv("ROS_DISTRO", distribution)
    assert name not in variables(perception)
    assert variables(perception, local_only="true")[name] == value


@pytest.mark.parametrize(
    "given", [{"rviz": "maybe"}, {"autostart": "later"}, {"respawn": "2"}, {"dds_profile": "/nowhere.xml"}]
)
def test_a_wrong_argument_is_named(perception, given):
    ((name, value),) = given.items()
    with pytest.raises(RuntimeError, match=re.escape(f"launch argument {name}:={value}")):
        stand_in.run(perception, **given)


def test_lifecycle_events_do_not_go_with_respawn(perception):
    with pytest.raises(RuntimeError, match="give autostart:=true"):
        stand_in.run(perception, autostart="events", respawn="true")


@pytest.mark.parametrize("name", ["replay", "multi_camera"])
def test_the_others_include_it_with_arguments_that_it_has(repo_root, perception, name):
    module = stand_in.load(repo_root / f"launch/{name}.launch.py")
    include = stand_in.only(stand_in.run(module), "IncludeLaunchDescription")
    (source,) = include.args
    assert source.args == (str(repo_root / "launch/perception.launch.py"),)
    passed = dict(include.given.get("launch_arguments", ()))
    known = stand_in.arguments(perception)
    assert set(passed) <= set(known)
    own = set(stand_in.arguments(module)) - set(known)
    assert own == ({"bag", "rate", "delay"} if name == "replay" else set())


def test_a_replay_runs_in_the_bags_time_on_this_machine_and_ends_with_it(repo_root):
    module = stand_in.load(repo_root / "launch/replay.launch.py")
    actions = stand_in.run(module, bag="b", bundle="c")
    passed = dict(stand_in.only(actions, "IncludeLaunchDescription").given["launch_arguments"])
    assert passed["use_sim_time"] == "true"
    assert stand_in.arguments(module)["local_only"] == "true"
    (bag,) = stand_in.only(actions, "TimerAction").given["actions"]
    assert bag.given["cmd"][:3] == ["ros2", "bag", "play"]
    assert "--clock" in bag.given["cmd"]
    handler = stand_in.only(actions, "RegisterEventHandler").args[0]
    assert handler.given["target_action"] is bag
    (event,) = handler.given["on_exit"]
    assert event.given["event"].kind == "Shutdown"


def test_the_example_has_several_cameras(repo_root):
    module = stand_in.load(repo_root / "launch/multi_camera.launch.py")
    assert stand_in.arguments(module)["cameras"] == "front,left,right"
