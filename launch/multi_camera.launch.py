# SPDX-License-Identifier: Apache-2.0
r"""Several cameras into one node: one network in memory, one costmap.

    ros2 launch offroad_seg multi_camera.launch.py bundle:=BUNDLE cameras:=front,left,right

The drivers publish /front/image_raw and /front/camera_info, and so on; `camera:=/sensors` puts that in front of each
name. Where the cameras sit comes from /tf_static, or from camera_mount.front.x and so on in the parameter file. All
other arguments of perception.launch.py can be given, too, and reach it.
"""

from __future__ import annotations

from pathlib import Path

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource

# Defaults of this example, for arguments of perception.launch.py.
ARGUMENTS = {
    "cameras": ("front,left,right", "names of the cameras, which are their namespaces"),
    "respawn": ("true", "start the node again when it ends"),
}


def generate_launch_description() -> LaunchDescription:
    arguments = [
        DeclareLaunchArgument(name, default_value=default, description=text)
        for name, (default, text) in ARGUMENTS.items()
    ]
    perception = PythonLaunchDescriptionSource(str(Path(__file__).resolve().parent / "perception.launch.py"))
    return LaunchDescription([*arguments, IncludeLaunchDescription(perception)])
