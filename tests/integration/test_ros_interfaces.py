# SPDX-License-Identifier: Apache-2.0
"""The messages that the wheels lack, between two processes over real DDS, as ``/tf_static``, ``label_info`` and ``costmap_raw``."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from tests.ros_interfaces.build import PACKAGES, read_status

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytest.importorskip("rclpy", reason="rclpy is not installed (extra: ros)")

# As a distribution's own packages have them: a difference would be a publisher that Nav2 or tf2 cannot hear or misreads.
TYPE_HASHES = {
    "tf2_msgs/msg/TFMessage": "e369d0f05a23ae52508854b66f6aa0437f3449d652e8cbf22d5abe85d020f087",
    "vision_msgs/msg/LabelInfo": "3d37df4015cdf660cc851c51897f2acd957e1ca6205ba0a99aebffb9406b0783",
    "nav2_msgs/msg/Costmap": "d51bf7aecafdbb3f8f98215de648abe6d53f8db69156d6e143125d2ad2bf0027",
}
STAMP = {"sec": 1_699_999_999, "nanosec": 123_456_789}
TF_MESSAGE = {
    "transforms": [
        {
            "header": {"stamp": STAMP, "frame_id": "base_link"},
            "child_frame_id": "camera_link",
            "transform": {
                "translation": {"x": 1.25, "y": -0.5, "z": 0.875},
                "rotation": {"x": -0.5, "y": 0.5, "z": -0.5, "w": 0.5},
            },
        },
        {
            "header": {"stamp": {"sec": 0, "nanosec": 0}, "frame_id": "camera_link"},
            "child_frame_id": "camera_optical_frame",
            "transform": {
                "translation": {"x": 0.0, "y": 0.0, "z": 1e-9},
                "rotation": {"x": 0.0, "y": 0.0, "z": 0.6, "w": 0.8},
            },
        },
    ]
}
LABEL_INFO = {
    "header": {"stamp": STAMP, "frame_id": "camera_optical_frame"},
    "class_map": [
        {"class_id": 0, "class_name": "Background"},
        {"class_id": 10, "class_name": "Wüste – trockenes Gras"},
        {"class_id": 65535, "class_name": ""},
    ],
    "threshold": 0.375,
}
COSTMAP = {
    "header": {"stamp": STAMP, "frame_id": "odom"},
    "metadata": {
        "map_load_time": {"sec": 1, "nanosec": 2},
        "update_time": STAMP,
        "layer": "offroad_seg",
        "resolution": 0.125,
        "size_x": 300,
        "size_y": 200,
        "origin": {
            "position": {"x": -12.5, "y": 7.0, "z": 0.25},
            "orientation": {"x": 0.0, "y": 0.0, "z": 0.6, "w": 0.8},
        },
    },
    # 60,000 cells with every value: more than a UDP datagram holds by default settings of many hosts.
    "data": [(3 * i) % 256 for i in range(300 * 200)],
}


@pytest.fixture(scope="module", autouse=True)
def interfaces() -> None:
    """Skip where the packages could not be built, with the reason; fail where they should have been."""
    status = read_status()
    if status and status.state == "failed":
        pytest.fail(f"the packages could not be built: {status.reason}")
    missing = [package for package in PACKAGES if importlib.util.find_spec(package) is None]
    if missing:
        reason = status.reason if status and status.state == "skipped" else "run `make interfaces`"
        pytest.skip(f"{', '.join(missing)} not built: {reason}")


@pytest.fixture
def environment() -> Iterator[dict[str, str]]:
    from tests.helpers.ros_process import own_domain

    with own_domain():
        yield dict(os.environ)


def command(repo_root: Path, role: str, kind: str, topic: str, durability: str) -> list[str]:
    return [sys.executable, str(repo_root / "tests/helpers/interface_peer.py"), role, kind, topic, durability]


@contextmanager
def publishing(
    arguments: list[str], message: dict[str, Any], environment: dict[str, str]
) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    )
    try:
        assert process.stdin is not None
        process.stdin.write(json.dumps(message))
        process.stdin.close()
        yield process
    finally:
        process.terminate()
        process.wait(timeout=60)


@pytest.mark.parametrize(
    ("kind", "topic", "message"),
    [
        ("tf2_msgs/msg/TFMessage", "/tf_static", TF_MESSAGE),
        ("vision_msgs/msg/LabelInfo", "/perception/label_info", LABEL_INFO),
        ("nav2_msgs/msg/Costmap", "/perception/costmap_raw", COSTMAP),
    ],
)
def test_latched_message_reaches_a_late_subscriber_intact(
    repo_root: Path, environment: dict[str, str], kind: str, topic: str, message: dict[str, Any]
) -> None:
    with publishing(command(repo_root, "publish", kind, topic, "latched"), message, environment) as publisher:
        assert publisher.stdout is not None
        # Only then does the subscriber start: what it gets, it gets because the message was kept for it.
        assert publisher.stdout.readline() == "published\n"
        received = receive(repo_root, environment, kind, topic, "latched")

    assert received["type"] == kind
    assert received["message"] == message
    if received["hash"]:
        assert received["hash"] == TYPE_HASHES[kind]


def test_volatile_tf_arrives_intact(repo_root: Path, environment: dict[str, str]) -> None:
    kind, topic = "tf2_msgs/msg/TFMessage", "/tf"
    with publishing(command(repo_root, "publish", kind, topic, "volatile"), TF_MESSAGE, environment):
        assert receive(repo_root, environment, kind, topic, "volatile")["message"] == TF_MESSAGE


def receive(
    root: Path, environment: dict[str, str], kind: str, topic: str, durability: str
) -> dict[str, Any]:
    arguments = command(root, "receive", kind, topic, durability)
    done = subprocess.run(arguments, capture_output=True, text=True, env=environment, timeout=150)
    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads(done.stdout)
    return result
