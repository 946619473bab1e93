# SPDX-License-Identifier: Apache-2.0
"""The Fast DDS profile for large images, and how far DDS reaches. Both must be chosen before ``rclpy.init``."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

from offroad_seg import resources

if TYPE_CHECKING:
    from collections.abc import Iterator, MutableMapping

PROFILE = "config/dds/fastdds_large_images.xml"
VARIABLES = ("FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE")
"""The name that Fast DDS 2 (Humble, Jazzy) reads, and the one that Fast DDS 3 (Kilted) reads."""


def use_large_image_profile(environment: MutableMapping[str, str] = os.environ) -> str:
    """Make Fast DDS load the profile, unless the user has chosen one; returns the file that will be used.

    Raises:
        InputError: The profile is not installed.
    """
    for name in VARIABLES:
        if environment.get(name):
            return environment[name]
    path = str(resources.find(PROFILE))
    for name in VARIABLES:
        environment[name] = path
    return path


@contextmanager
def on_this_machine(environment: MutableMapping[str, str] = os.environ) -> Iterator[None]:
    """Whatever begins inside, here or in a child process, talks to nobody on another machine."""
    humble = environment.get("ROS_DISTRO") == "humble"
    name, value = ("ROS_LOCALHOST_ONLY", "1") if humble else ("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    before = environment.get(name)
    environment[name] = value
    try:
        yield
    finally:
        if before is None:
            del environment[name]
        else:
            environment[name] = before
