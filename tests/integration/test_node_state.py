# SPDX-License-Identifier: Apache-2.0
"""``offroad-seg node --state``, which a container's health check runs, against the real node."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest

pytest.importorskip("rclpy", reason="ROS 2 is not installed")

from tests.helpers import scene
from tests.helpers.ros_process import running_node


def ask(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "offroad_seg.cli.main", "node", "--state", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=150)


def test_it_says_the_state_and_its_exit_status_says_whether_it_is_active(domain, bundle, tmp_path):
    arguments = ["--bundle", str(bundle.path), *scene.mount_parameters(), "--namespace", "truck"]
    with running_node([*arguments, "--param", "autostart=false"], tmp_path / "log", ready="waiting"):
        asked = ask("--namespace", "truck", "--timeout", "60")
        assert (asked.returncode, asked.stdout.strip()) == (1, "unconfigured"), asked.stderr
    with running_node(arguments, tmp_path / "log2"):
        deadline = time.monotonic() + 120  # it configures, then activates
        while (asked := ask("--namespace", "truck", "--timeout", "60")).returncode:
            assert time.monotonic() < deadline, asked.stdout + asked.stderr
        assert asked.stdout.strip() == "active"


def test_no_node_is_an_error_that_names_it(domain):
    asked = ask("--timeout", "0.5")
    assert asked.returncode == 1
    assert "no lifecycle node answers after 0.5 s" in asked.stderr
    assert "/perception" in asked.stderr
