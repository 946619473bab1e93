# SPDX-License-Identifier: Apache-2.0
"""A recorded bag through the real node, in simulated time; ends with the bag.

    ros2 launch offroad_seg replay.launch.py bundle:=BUNDLE bag:=BAG rviz:=true

The other arguments of perception.launch.py, such as params_file, can be given, too, and reach it.

For figures instead of pictures: offroad-seg replay BUNDLE BAG --out DIR.
"""

from __future__ import annotations

from pathlib import Path

from launch import LaunchDescription
from launch.actions import (
    DeclareLaunchArgument,
    EmitEvent,
    ExecuteProcess,
    IncludeLaunchDescription,
    RegisterEventHandler,
    TimerAction,
)
from launch.event_handlers import OnProcessExit
from launch.events import Shutdown
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration

ARGUMENTS = {
    "bag": (None, "folder or file of the bag"),
    "rate": ("1.0", "speed of the playback"),
    "delay": ("3.0", "seconds that the node gets to load its bundle before the bag starts"),
    "bundle": (None, "folder of the bundle to run"),
    "image": ("/camera/image", "topic of the images in the bag"),
    "camera_info": ("/camera/camera_info", "topic of their calibration"),
    "odom": ("/odom", "topic of the odometry"),
    "image_transport": ("raw", "raw or compressed"),
    "local_only": ("true", "keep DDS on this machine"),
    "rviz": ("false", "open RViz"),
}
_PASSED_ON = ("bundle", "image", "camera_info", "odom", "image_transport", "local_only", "rviz")


def generate_launch_description() -> LaunchDescription:
    given = {name: LaunchConfiguration(name) for name in ARGUMENTS}
    perception = IncludeLaunchDescription(
        PythonLaunchDescriptionSource(str(Path(__file__).resolve().parent / "perception.launch.py")),
        launch_arguments=[("use_sim_time", "true"), *((name, given[name]) for name in _PASSED_ON)],
    )
    bag = ExecuteProcess(
        cmd=["ros2", "bag", "play", given["bag"], "--clock", "100", "--rate", given["rate"]], output="screen"
    )
    end = RegisterEventHandler(
        OnProcessExit(target_action=bag, on_exit=[EmitEvent(event=Shutdown(reason="the bag has ended"))])
    )
    arguments = [
        DeclareLaunchArgument(name, description=text)
        if default is None
        else DeclareLaunchArgument(name, default_value=default, description=text)
        for name, (default, text) in ARGUMENTS.items()
    ]
    return LaunchDescription([*arguments, perception, end, TimerAction(period=given["delay"], actions=[bag])])
