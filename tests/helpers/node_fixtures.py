# SPDX-License-Identifier: Apache-2.0
"""Fixtures of the tests that run the real node; a test module imports those that it uses."""

from __future__ import annotations

import pytest

from offroad_seg.ontology import load_ontology
from tests.helpers.bundles import make_color_bundle


@pytest.fixture(scope="module")
def ontology():
    return load_ontology("duality_desert")


@pytest.fixture(scope="module")
def bundle(tmp_path_factory, ontology):
    """96×160 input: the scene of 120×200 is reduced, and not letterboxed to a square."""
    return make_color_bundle(tmp_path_factory.mktemp("bundle") / "color", ontology, 96, 160, sharpness=1e-3)


@pytest.fixture(scope="module")
def domain():
    pytest.importorskip("rclpy", reason="ROS 2 is not installed")
    from tests.helpers.ros_process import own_domain

    with own_domain() as number:
        yield number
