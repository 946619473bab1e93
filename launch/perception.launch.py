# SPDX-License-Identifier: Apache-2.0
r"""The perception node, and RViz if wanted.

    ros2 launch offroad_seg perception.launch.py bundle:=BUNDLE \
        image:=/camera/image_raw camera_info:=/camera/camera_info odom:=/odometry/filtered

With Nav2's lifecycle manager, give autostart:=false and name the node `perception` in its node_names.
"""

from __future__ import annotations

import os
from pathlib import Path

from launch import LaunchContext, LaunchDescription
from launch.actions import DeclareLaunchArgument, OpaqueFunction, SetEnvironmentVariable
from launch_ros.actions import LifecycleNode, Node

# The repository, or share/offroad_seg of an installation: config/ lies beside launch/ in both.
SHARE = Path(__file__).resolve().parents[1]
DDS_VARIABLES = ("FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE")

ARGUMENTS = {
    "params_file": (str(SHARE / "config/perception.yaml"), "the node's parameters"),
    "namespace": ("", "namespace of the node and its topics"),
    "image": ("image", "topic of the camera's images"),
    "camera_info": ("camera_info", "topic of its calibration"),
    "odom": ("odom", "topic of the vehicle's odometry"),
    "log_level": ("info", "debug, info, warn, error"),
    "rviz": ("false", "open RViz with the costmap and the overlay"),
}
# Parameters that may be given here, too; an empty one leaves what params_file says.
PARAMETERS = {
    "bundle": "folder of the bundle to run",
    "image_transport": "raw or compressed",
    "use_sim_time": "take the time from /clock: true or false",
    "autostart": "configure and activate by itself: true, or false under a lifecycle manager",
}
FLAGS = ("use_sim_time", "autostart")


def generate_launch_description() -> LaunchDescription:
    arguments = [
        DeclareLaunchArgument(name, default_value=default, description=text)
        for name, (default, text) in ARGUMENTS.items()
    ]
    arguments += [
        DeclareLaunchArgument(name, default_value="", description=f"{text}; empty: as in params_file")
        for name, text in PARAMETERS.items()
    ]
    return LaunchDescription([*large_image_profile(), *arguments, OpaqueFunction(function=nodes)])


def nodes(context: LaunchContext) -> list[Node]:
    given = {name: context.launch_configurations[name] for name in (*ARGUMENTS, *PARAMETERS)}
    parameters = {name: given[name] for name in PARAMETERS if given[name]}
    for name in FLAGS:
        if name in parameters:
            parameters[name] = is_true(name, parameters[name])
    perception = LifecycleNode(
        package="offroad_seg",
        executable="perception_node",
        name="perception",
        namespace=given["namespace"],
        output="screen",
        parameters=[given["params_file"], parameters],
        remappings=[(name, given[name]) for name in ("image", "camera_info", "odom")],
        arguments=["--ros-args", "--log-level", given["log_level"]],
    )
    if not is_true("rviz", given["rviz"]):
        return [perception]
    rviz = Node(
        package="rviz2",
        executable="rviz2",
        namespace=given["namespace"],
        arguments=["-d", str(SHARE / "config/rviz/perception.rviz")],
        parameters=[{"use_sim_time": parameters.get("use_sim_time", False)}],
    )
    return [perception, rviz]


def is_true(name: str, text: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise RuntimeError(f"launch argument {name}:={text}: give true or false")
    return text.lower() == "true"


def large_image_profile() -> list[SetEnvironmentVariable]:
    """Shared memory large enough for images, for every node of this launch, unless the user has a profile."""
    if any(os.environ.get(name) for name in DDS_VARIABLES):
        return []
    path = str(SHARE / "config/dds/fastdds_large_images.xml")
    return [SetEnvironmentVariable(name, path) for name in DDS_VARIABLES]
