# SPDX-License-Identifier: Apache-2.0
"""The launch files by the real ``ros2 launch``: on a distribution, or where ``OFFROAD_SEG_ROS2`` names that command.

Where it is not, ``tests/unit/launch_files`` holds what the files hand over.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest
import yaml

pytest.importorskip("rclpy", reason="ROS 2 is not installed")

from sensor_msgs.msg import Image

from tests.helpers import scene
from tests.helpers.ros_client import Client
from tests.helpers.ros_process import PATIENCE_S, NodeProcess

ROS2 = os.environ.get("OFFROAD_SEG_ROS2") or shutil.which("ros2")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(ROS2 is None, reason="ros2 launch is not installed (the wheels do not have it)"),
]


@pytest.fixture(scope="module")
def prefix(repo_root, tmp_path_factory):
    """The package as ``colcon build --symlink-install`` installs it, with the Python that runs ``ros2``."""
    prefix = tmp_path_factory.mktemp("install")
    share, programs = prefix / "share/offroad_seg", prefix / "lib/offroad_seg"
    index = prefix / "share/ament_index/resource_index/packages"
    for folder in (share / "launch", programs, index):
        folder.mkdir(parents=True)
    (index / "offroad_seg").touch()
    (share / "config").symlink_to(repo_root / "config")
    for file in (repo_root / "launch").glob("*.launch.py"):
        (share / "launch" / file.name).symlink_to(file)
    python = Path(ROS2).read_text(errors="replace").splitlines()[0]
    program = programs / "perception_node"
    program.write_text(f"{python}\nimport sys\nfrom offroad_seg.ros.main import main\nsys.exit(main())\n")
    program.chmod(0o755)
    return prefix


@pytest.fixture
def launch(domain, prefix, tmp_path):
    """Starts ``ros2 launch offroad_seg FILE ARGUMENTS``; whatever runs at the end of the test is ended."""
    running = []

    def start(*arguments):
        inherited = ("_ROS_WHEELS_BOOTSTRAP_COMPLETE", "LD_LIBRARY_PATH") if _is_other_python() else ()
        environment = {k: v for k, v in os.environ.items() if k not in inherited}
        found = [prefix, *os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep), Path(ROS2).parents[1]]
        environment["AMENT_PREFIX_PATH"] = os.pathsep.join(str(p) for p in found if str(p))
        environment["PATH"] = f"{Path(ROS2).parent}{os.pathsep}{environment['PATH']}"
        environment |= {"ROS_LOG_DIR": str(tmp_path / "logs"), "RCUTILS_COLORIZED_OUTPUT": "0"}
        log = tmp_path / f"log{len(running)}"
        process = _Launch([ROS2, "launch", "offroad_seg", *arguments], log, environment)
        running.append(process)
        return process

    yield start
    for process in running:
        process.end()


class _Launch(NodeProcess):
    """A launch in place of one node."""

    def __init__(self, command, log, environment):
        self.log, self._segments = log, set()
        with log.open("w") as stream:
            self.process = subprocess.Popen(
                command, stdout=stream, stderr=subprocess.STDOUT, env=environment, start_new_session=True
            )


def _is_other_python():
    return not Path(ROS2).parent.samefile(Path(shutil.which("python3") or ROS2).parent)


@pytest.fixture
def mount(tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text(
        yaml.safe_dump({"/**": {"ros__parameters": {"tf_timeout": 1.0, "camera_mount": scene.MOUNT}}})
    )
    return file


def test_events_start_a_node_in_a_namespace(launch, bundle, mount, ontology):
    started = launch(
        "perception.launch.py",
        f"bundle:={bundle.path}",
        f"params_file:={mount}",
        "namespace:=rover",
        "image:=picture",
        "autostart:=events",
        "local_only:=true",
    )
    started.wait_for("waiting to be configured")
    started.wait_for("configured: bundle")
    with Client(namespace="rover") as client:
        client.image = client.node.create_publisher(Image, "picture", 10)
        client.connect()
        client.reply(scene.scene_image(ontology), scene.CAMERA, "costmap")
    assert started.end() == 0
    assert "process has finished cleanly" in started.log.read_text()


def test_a_killed_node_comes_back(launch, bundle, mount, ontology):
    started = launch(
        "perception.launch.py",
        f"bundle:={bundle.path}",
        f"params_file:={mount}",
        "respawn:=true",
        "respawn_delay:=0.3",
    )
    started.wait_for("configured: bundle")
    image = scene.scene_image(ontology)
    with Client() as client:
        client.connect()
        client.reply(image, scene.CAMERA, "costmap")
        number = int(started.log.read_text().split("process started with pid [")[1].split("]")[0])
        os.kill(number, signal.SIGKILL)
        started.wait_for("process has died")
        client.clear()
        client.reply(image, scene.CAMERA, "costmap")
    assert started.log.read_text().count("process started with pid") == 2
    assert started.end() == 0


def test_several_cameras_reach_one_node(launch, bundle):
    started = launch(
        "multi_camera.launch.py", f"bundle:={bundle.path}", "cameras:=front,left", "camera:=/rig"
    )
    started.wait_for("configured: bundle")
    with Client() as client:
        wanted = [
            f"/rig/{name}/{topic}" for name in ("front", "left") for topic in ("image_raw", "camera_info")
        ]
        assert client.spin_until(lambda: all(client.node.count_subscribers(t) for t in wanted))


def test_a_replay_ends_with_its_bag(launch, bundle):
    """Where ``ros2 bag`` is not installed it ends at once, and so must the node."""
    started = launch("replay.launch.py", f"bundle:={bundle.path}", "bag:=none", "delay:=2.5")
    started.wait_for("configured: bundle")
    assert started.process.wait(PATIENCE_S) == 0
    assert "process has finished cleanly" in started.log.read_text()


@pytest.mark.parametrize("argument", ["dds_profile:=/nowhere.xml", "rviz:=maybe"])
def test_a_wrong_argument_ends_the_launch_and_is_named(launch, argument):
    started = launch("perception.launch.py", argument)
    assert started.process.wait(PATIENCE_S) == 1
    assert f"launch argument {argument}" in started.log.read_text()
