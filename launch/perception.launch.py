# SPDX-License-Identifier: Apache-2.0
r"""The perception node, and RViz if wanted.

    ros2 launch offroad_seg perception.launch.py bundle:=BUNDLE camera:=/camera odom:=/odometry/filtered

With Nav2's lifecycle manager, give autostart:=false and name the node `perception` in its node_names. To put it into
your own launch file, include this one; every argument can be given there, and an empty one leaves what the parameter
file says. `ros2 launch offroad_seg perception.launch.py --show-args` lists them all.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from launch import Action, LaunchContext, LaunchDescription
from launch.actions import (
    DeclareLaunchArgument,
    EmitEvent,
    OpaqueFunction,
    RegisterEventHandler,
    SetEnvironmentVariable,
)
from launch.event_handlers import OnProcessStart
from launch.events import matches_action
from launch_ros.actions import LifecycleNode, Node
from launch_ros.event_handlers import OnStateTransition
from launch_ros.events.lifecycle import ChangeState
from lifecycle_msgs.msg import Transition

# The repository, or share/offroad_seg of an installation: config/ lies beside launch/ in both.
SHARE = Path(__file__).resolve().parents[1]
DDS_VARIABLES = ("FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE")

ARGUMENTS = {
    "params_file": (str(SHARE / "config/perception.yaml"), "the node's parameters"),
    "namespace": ("", "namespace of the node and its topics"),
    "camera": ("", "the camera driver's namespace: the topics of the camera that follow lie in it"),
    "cameras": (
        "",
        "several cameras, such as front,left,right: each has its topics in a namespace of its name",
    ),
    "image": ("", "topic of the images; empty: image_raw below `camera` or `cameras`, else image"),
    "camera_info": ("camera_info", "topic of the calibration"),
    "depth": ("", "topic of depth images that are aligned with the images; empty: depth"),
    "odom": ("odom", "topic of the vehicle's odometry"),
    "imu": ("imu", "topic of the vehicle's IMU, with attitude: imu in params_file"),
    "autostart": (
        "",
        "true: by itself; events: by this launch; false: by a lifecycle manager; empty: see params_file",
    ),
    "respawn": ("false", "start the node again when it ends"),
    "respawn_delay": ("2.0", "seconds to wait before that"),
    "log_level": ("info", "debug, info, warn, error"),
    "dds_profile": (
        "",
        "Fast DDS profile; empty: the one for large images, unless the environment names one",
    ),
    "local_only": ("false", "keep DDS on this machine"),
    "rviz": ("false", "open RViz"),
    "rviz_config": (str(SHARE / "config/rviz/offroad_seg.rviz"), "what RViz shows"),
}
# Parameters that may be given here, too; an empty one leaves what params_file says.
PARAMETERS = {
    "bundle": "folder of the bundle to run",
    "device": "auto, cpu or cuda",
    "image_transport": "raw or compressed",
    "base_frame": "the vehicle's frame",
    "odom_frame": "the frame in which the costmap is fused",
    "costmap_frame": "the costmap's frame",
    "use_sim_time": "take the time from /clock: true or false",
}


def generate_launch_description() -> LaunchDescription:
    arguments = [
        DeclareLaunchArgument(name, default_value=default, description=text)
        for name, (default, text) in ARGUMENTS.items()
    ]
    arguments += [
        DeclareLaunchArgument(name, default_value="", description=f"{text}; empty: as in params_file")
        for name, text in PARAMETERS.items()
    ]
    return LaunchDescription([*arguments, OpaqueFunction(function=actions)])


def actions(context: LaunchContext) -> list[Action]:
    given = {name: context.launch_configurations[name] for name in (*ARGUMENTS, *PARAMETERS)}
    perception = LifecycleNode(
        package="offroad_seg",
        executable="perception_node",
        name="perception",
        namespace=given["namespace"],
        output="screen",
        parameters=[given["params_file"], parameters(given)],
        remappings=remappings(given),
        arguments=["--ros-args", "--log-level", given["log_level"]],
        respawn=is_true("respawn", given["respawn"]),
        respawn_delay=float(given["respawn_delay"]),
    )
    found = [*environment(given), perception]
    if given["autostart"] == "events":
        if is_true("respawn", given["respawn"]):
            # DDS takes a killed node for alive for some seconds: the request to configure would go to the old one.
            raise RuntimeError("launch argument autostart:=events: with respawn:=true give autostart:=true")
        # Before the node: its start must not be missed.
        found = [*environment(given), *lifecycle_events(perception), perception]
    if is_true("rviz", given["rviz"]):
        found.append(
            Node(
                package="rviz2",
                executable="rviz2",
                namespace=given["namespace"],
                arguments=["-d", given["rviz_config"]],
                remappings=[("odom", given["odom"])],
                parameters=[{"use_sim_time": parameters(given).get("use_sim_time", False)}],
            )
        )
    return found


def parameters(given: dict[str, str]) -> dict[str, Any]:
    """Those that are given as launch arguments; they win over the parameter file."""
    values: dict[str, Any] = {name: given[name] for name in PARAMETERS if given[name]}
    if "use_sim_time" in values:
        values["use_sim_time"] = is_true("use_sim_time", values["use_sim_time"])
    if given["autostart"]:
        values["autostart"] = given["autostart"] != "events" and is_true("autostart", given["autostart"])
    if names := camera_names(given):
        values["cameras"] = names
    return values


def remappings(given: dict[str, str]) -> list[tuple[str, str]]:
    """The node's inputs, to the topics of the drivers."""
    rules = [("odom", given["odom"]), ("imu", given["imu"])]
    for name in camera_names(given) or [""]:
        place = "/".join(part for part in (given["camera"].rstrip("/"), name) if part)
        topics = {
            "image": given["image"] or ("image_raw" if place else "image"),
            "camera_info": given["camera_info"],
            "depth": given["depth"] or "depth",
        }
        for topic, target in topics.items():
            outer = target if target.startswith("/") or not place else f"{place}/{target}"
            inner = f"{name}/{topic}" if name else topic
            if inner != outer:
                rules.append((inner, outer))
    return rules


def camera_names(given: dict[str, str]) -> list[str]:
    return [name.strip().strip("/") for name in given["cameras"].split(",") if name.strip()]


def lifecycle_events(node: LifecycleNode) -> list[Action]:
    """Configure the node when its process has started, and activate it when that is done."""

    def change(transition: int) -> EmitEvent:
        return EmitEvent(
            event=ChangeState(lifecycle_node_matcher=matches_action(node), transition_id=transition)
        )

    configure, activate = change(Transition.TRANSITION_CONFIGURE), change(Transition.TRANSITION_ACTIVATE)
    return [
        RegisterEventHandler(OnProcessStart(target_action=node, on_start=[configure])),
        RegisterEventHandler(
            OnStateTransition(
                target_lifecycle_node=node,
                start_state="configuring",
                goal_state="inactive",
                entities=[activate],
            )
        ),
    ]


def environment(given: dict[str, str]) -> list[Action]:
    """For every node of this launch: shared memory large enough for images, and how far DDS reaches."""
    values = {}
    profile = given["dds_profile"]
    if profile and not Path(profile).is_file():
        raise RuntimeError(f"launch argument dds_profile:={profile}: there is no such file")
    if profile or not any(os.environ.get(name) for name in DDS_VARIABLES):
        path = profile or str(SHARE / "config/dds/fastdds_large_images.xml")
        values = dict.fromkeys(DDS_VARIABLES, path)
    if is_true("local_only", given["local_only"]):
        if os.environ.get("ROS_DISTRO") == "humble":
            values["ROS_LOCALHOST_ONLY"] = "1"
        else:
            values["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
    return [SetEnvironmentVariable(name, value) for name, value in values.items()]


def is_true(name: str, text: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise RuntimeError(f"launch argument {name}:={text}: give true or false")
    return text.lower() == "true"
