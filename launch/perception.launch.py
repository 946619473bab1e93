# SPDX-License-Identifier: Apache-2.0
r"""The perception node, and RViz if wanted.

    ros2 launch offroad_seg perception.launch.py bundle:=BUNDLE \
        image:=/camera/image_raw camera_info:=/camera/camera_info odom:=/odometry/filtered

With Nav2's lifecycle manager, give autostart:=false and name the node `perception` in its node_names.
"""

from __future__ import annotations

import os
from pathlib import Path

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, SetEnvironmentVariable
from launch.conditions import IfCondition
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import LifecycleNode, Node
from launch_ros.parameter_descriptions import ParameterValue

# The repository, or share/offroad_seg of an installation: config/ lies beside launch/ in both.
SHARE = Path(__file__).resolve().parents[1]
DDS_VARIABLES = ("FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE")

ARGUMENTS = {
    "bundle": ("", "folder of the bundle to run"),
    "params_file": (str(SHARE / "config/perception.yaml"), "the node's parameters"),
    "namespace": ("", "namespace of the node and its topics"),
    "image": ("image", "topic of the camera's images"),
    "camera_info": ("camera_info", "topic of its calibration"),
    "odom": ("odom", "topic of the vehicle's odometry"),
    "image_transport": ("raw", "raw or compressed"),
    "use_sim_time": ("false", "take the time from /clock"),
    "autostart": ("true", "configure and activate by itself; false under a lifecycle manager"),
    "log_level": ("info", "debug, info, warn, error"),
    "rviz": ("false", "open RViz with the costmap and the overlay"),
}


def generate_launch_description() -> LaunchDescription:
    given = {name: LaunchConfiguration(name) for name in ARGUMENTS}

    def text(name: str) -> ParameterValue:
        return ParameterValue(given[name], value_type=str)

    def flag(name: str) -> ParameterValue:
        return ParameterValue(given[name], value_type=bool)

    node = LifecycleNode(
        package="offroad_seg",
        executable="perception_node",
        name="perception",
        namespace=given["namespace"],
        output="screen",
        parameters=[
            given["params_file"],
            {
                "bundle": text("bundle"),
                "image_transport": text("image_transport"),
                "use_sim_time": flag("use_sim_time"),
                "autostart": flag("autostart"),
            },
        ],
        remappings=[(name, given[name]) for name in ("image", "camera_info", "odom")],
        arguments=["--ros-args", "--log-level", ["perception:=", given["log_level"]]],
    )
    rviz = Node(
        package="rviz2",
        executable="rviz2",
        namespace=given["namespace"],
        arguments=["-d", str(SHARE / "config/rviz/perception.rviz")],
        parameters=[{"use_sim_time": flag("use_sim_time")}],
        condition=IfCondition(given["rviz"]),
    )
    return LaunchDescription([*large_image_profile(), *declared(), node, rviz])


def declared() -> list[DeclareLaunchArgument]:
    return [
        DeclareLaunchArgument(name, default_value=default, description=text)
        for name, (default, text) in ARGUMENTS.items()
    ]


def large_image_profile() -> list[SetEnvironmentVariable]:
    """Shared memory large enough for images, for every node of this launch, unless the user has a profile."""
    if any(os.environ.get(name) for name in DDS_VARIABLES):
        return []
    path = str(SHARE / "config/dds/fastdds_large_images.xml")
    return [SetEnvironmentVariable(name, path) for name in DDS_VARIABLES]
