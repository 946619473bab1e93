# SPDX-License-Identifier: Apache-2.0
"""Fixtures of the tests that run the real node; a test module imports those that it uses."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from offroad_seg.ontology import load_ontology
from tests.helpers import scene
from tests.helpers.bundles import make_color_bundle

if TYPE_CHECKING:
    from offroad_seg.bundle import Bundle


def node_arguments(bundle: Bundle, *options: str, mounted: bool = True) -> list[str]:
    """What ``offroad-seg node`` is started with.

    Args:
        bundle: What it loads.
        options: ``name=value`` of its parameters.
        mounted: The camera sits where the scene is seen from; else tf has to say it.
    """
    parameters = [word for option in options for word in ("--param", option)]
    return ["--bundle", str(bundle.path), *(scene.mount_parameters() if mounted else []), *parameters]


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


@pytest.fixture
def image(ontology):
    return scene.scene_image(ontology)


@pytest.fixture
def maps(client, image):
    """Call it, and the node maps; so it does before a test, and after whatever the test did."""

    def good_frame():
        return client.reply(image, scene.CAMERA, "costmap")

    client.clear()
    good_frame()
    yield good_frame
    client.clear()
    good_frame()
