# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import os

import pytest

from offroad_seg.ros.dds import PROFILE, VARIABLES, on_this_machine, use_large_image_profile
from offroad_seg.ros.replay_node import own_domain


def test_the_profile_is_used_unless_the_user_has_one():
    environment: dict[str, str] = {}
    path = use_large_image_profile(environment)
    assert path.endswith(PROFILE)
    assert environment == dict.fromkeys(VARIABLES, path)
    assert use_large_image_profile({VARIABLES[1]: "/mine.xml"}) == "/mine.xml"


@pytest.mark.parametrize(
    ("distribution", "name", "value"),
    [
        ({"ROS_DISTRO": "humble"}, "ROS_LOCALHOST_ONLY", "1"),
        ({"ROS_DISTRO": "jazzy"}, "ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST"),
        ({}, "ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST"),
    ],
)
def test_dds_stays_on_this_machine_for_a_while(distribution, name, value):
    for before in ({}, {name: "other"}):
        environment = {**distribution, **before}
        with on_this_machine(environment):
            assert environment[name] == value
        assert environment == {**distribution, **before}


def test_a_replay_stays_on_this_machine(monkeypatch):
    monkeypatch.delenv("ROS_DISTRO", raising=False)
    monkeypatch.setenv("ROS_AUTOMATIC_DISCOVERY_RANGE", "SUBNET")
    with own_domain():
        assert os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] == "LOCALHOST"
    assert os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] == "SUBNET"
