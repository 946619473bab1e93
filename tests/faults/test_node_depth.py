# SPDX-License-Identifier: Apache-2.0
"""``projection: depth``: the depth image of the same stamp, or no costmap for that frame; never the plane instead."""

from __future__ import annotations

import array
import math

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="ROS 2 is not installed")

from sensor_msgs.msg import Image, PointCloud2

from offroad_seg.mapping.cloud import POINT
from tests.helpers import scene
from tests.helpers.node_fixtures import node_arguments
from tests.helpers.ros_client import OPTICAL, RELIABLE, Client, cells, pixels, set_header
from tests.helpers.ros_process import running_node

TOLERANCE_S = 0.02


def true_depth():
    """z-depth of the plain ground under the scene's camera; NaN above the horizon."""
    pitch, height = scene.MOUNT["pitch"], scene.MOUNT["z"]
    v = (np.arange(scene.HEIGHT) + 0.5 - scene.CAMERA.cy) / scene.CAMERA.fy
    down = np.sin(pitch) + v * np.cos(pitch)  # metres down for each metre of z-depth
    depth = np.where(down > 0.02, height / np.maximum(down, 0.02), np.nan).astype(np.float32)
    return np.repeat(depth[:, None], scene.WIDTH, axis=1)


def depth_message(depth_HW, stamp, encoding="32FC1", **changes):
    message = Image(height=depth_HW.shape[0], width=depth_HW.shape[1], encoding=encoding)
    message.step = depth_HW.shape[1] * depth_HW.itemsize
    message.data = array.array("B", np.ascontiguousarray(depth_HW).tobytes())
    set_header(message, stamp, OPTICAL)
    for name, value in changes.items():
        setattr(message, name, value)
    return message


@pytest.fixture(scope="module")
def client(domain, bundle, tmp_path_factory):
    log = tmp_path_factory.mktemp("node") / "log"
    options = ["projection=depth", "tf_timeout=0.5", f"depth_tolerance={TOLERANCE_S}", "stall_timeout=30"]
    arguments = node_arguments(bundle, *options, "max_age=10")
    with running_node(arguments, log), Client() as client:
        client.depth = client.node.create_publisher(Image, "depth", RELIABLE)
        client.connect()
        assert client.spin_until(lambda: client.depth.get_subscription_count() > 0)
        yield client


@pytest.fixture(scope="module")
def image(ontology):
    """Plain ground below the sky: nothing that stands."""
    labels = scene.scene_labels(ontology)
    labels[labels == ontology.id_of("Rocks")] = ontology.id_of("Landscape")
    return ontology.colorize(labels)


def good_depth(stamp):
    return depth_message(true_depth(), stamp)


def send(client, image, message=None, delay_s=0.0):
    """A frame, and ``message(stamp)`` as its depth after some time; its stamp."""
    stamp = client.send_frame(image, scene.CAMERA)
    client.spin(delay_s)
    if message is not None:
        client.depth.publish(message(stamp))
    return stamp


@pytest.fixture(autouse=True)
def maps(client, image):
    """Call it for the costmap of a frame with good depth; before each test and after it there is one."""

    def maps():
        return client.answered(lambda: send(client, image, good_depth), again_s=1.0)

    maps()
    client.spin(3 * TOLERANCE_S)  # its depth is too old for the next image
    yield maps
    maps()


def known_cells(grid):
    return int((cells(grid) >= 0).sum())


def test_good_depth_maps_the_ground(maps):
    grid = maps()
    assert known_cells(grid) > 500
    assert 100 not in cells(grid)  # plain ground is no obstacle


def test_millimetres_say_the_same_as_metres(client, image):
    millimetres = np.nan_to_num(true_depth() * 1000.0).astype(np.uint16)
    grid = client.answered(
        lambda: send(client, image, lambda s: depth_message(millimetres, s, "16UC1")), again_s=1.0
    )
    assert known_cells(grid) > 500


def test_points_are_those_of_the_depth(client, image):
    """Not of the plane: a wall 3 m ahead, and a hole in the depth."""
    depth_HW = true_depth()
    depth_HW[40:80, 60:110] = 3.0
    depth_HW[:, 150:170] = math.nan
    client.got["points"] = []
    subscription = client.node.create_subscription(
        PointCloud2, "points", client.got["points"].append, RELIABLE
    )
    found = client.answers(
        lambda: send(client, image, lambda s: depth_message(depth_HW, s)), "points", "labels"
    )
    client.node.destroy_subscription(subscription)
    cloud, labels = found["points"], found["labels"]
    assert cloud.header == labels.header
    assert (cloud.height, cloud.width, cloud.is_dense) == (labels.height, labels.width, False)
    points = np.frombuffer(cloud.data, POINT).reshape(cloud.height, cloud.width)
    np.testing.assert_array_equal(points["label"], pixels(labels))
    there = np.isfinite(points["z"])
    np.testing.assert_array_equal(points["z"][there], depth_HW[there])
    assert there[42:78, 62:108].all()
    assert not there[:, 150:170].any()
    assert not there[:18].any()  # sky
    rows, columns = np.nonzero(there)
    uv, seen = scene.CAMERA.project(np.stack([points[n][there] for n in "xyz"], axis=1).astype(np.float64))
    assert seen.all()
    np.testing.assert_allclose(uv, np.stack([columns, rows], axis=1), atol=0.02)


def test_depth_that_comes_after_its_image_is_waited_for(client, image):
    assert client.answered(lambda: send(client, image, good_depth, delay_s=0.2), again_s=1.0)


def test_depth_of_a_near_stamp_belongs_to_the_image(client, image):
    near = round(0.8 * TOLERANCE_S * 1e9)
    assert client.answered(
        lambda: send(client, image, lambda s: depth_message(true_depth(), s - near)), again_s=1.0
    )


def nan_depth():
    return np.full((scene.HEIGHT, scene.WIDTH), math.nan, np.float32)


BAD = {
    "missing": (None, "no_depth", "no depth image within"),
    "of another stamp": (lambda s: depth_message(true_depth(), s - 50_000_000), "no_depth", "within 0.02 s"),
    "all NaN": (lambda s: depth_message(nan_depth(), s), "bad_depth", "depth"),
    "all zero": (
        lambda s: depth_message(np.zeros((scene.HEIGHT, scene.WIDTH), np.uint16), s, "16UC1"),
        "bad_depth",
        "depth",
    ),
    "of another size": (lambda s: depth_message(true_depth()[::2, ::2], s), "bad_depth", "100×60"),
    "not aligned": (
        lambda s: depth_message(true_depth(), s, header=_header(s, "depth_optical_frame")),
        "bad_depth",
        "depth_optical_frame",
    ),
    "of an unknown encoding": (lambda s: depth_message(true_depth(), s, "64FC1"), "bad_depth", "64FC1"),
    "short": (
        lambda s: depth_message(true_depth(), s, data=array.array("B", bytes(10))),
        "bad_depth",
        "10 bytes",
    ),
    "of an odd step": (
        lambda s: depth_message(true_depth(), s, step=scene.WIDTH * 4 - 1),
        "bad_depth",
        "step",
    ),
    "empty": (lambda s: depth_message(true_depth(), s, height=0, width=0), "bad_depth", "0×0"),
}


def _header(stamp, frame_id):
    message = Image()
    set_header(message, stamp, frame_id)
    return message.header


@pytest.mark.parametrize("fault", BAD)
def test_without_usable_depth_labels_go_on_and_there_is_no_costmap(client, image, maps, fault):
    message, cause, words = BAD[fault]

    def without_depth():
        client.spin(3 * TOLERANCE_S)  # the good depth before is too old for this image
        return send(client, image, message)

    sent, _ = client.refused(without_depth, maps, "costmap", cause, words)
    assert client.answer("labels", sent) is not None


def test_depth_that_stops_makes_the_costmap_unknown(domain, bundle, image, tmp_path):
    """And an image on its head is mapped as it is: depth lies in the image's own orientation."""
    arguments = node_arguments(
        bundle,
        "projection=depth",
        "camera_rotation=180",
        "stall_timeout=0.6",
        f"camera_mount.roll={math.pi}",  # the camera hangs on its head
    )
    arguments += ["--namespace", "turned"]
    with running_node(arguments, tmp_path / "log"), Client(namespace="turned") as client:
        depth = client.node.create_publisher(Image, "depth", RELIABLE)
        client.connect()
        assert client.spin_until(lambda: depth.get_subscription_count() > 0)
        upside_down, its_depth = image[::-1, ::-1], true_depth()[::-1, ::-1]

        def send_turned():
            stamp = client.send_frame(upside_down, scene.CAMERA)
            depth.publish(depth_message(its_depth, stamp))
            return stamp

        grid = client.answered(send_turned)
        assert known_cells(grid) > 500
        _, column = np.nonzero(cells(grid) >= 0)
        assert column.mean() > 110  # ahead of the vehicle, which is in the middle
        client.clear()
        client.until(
            lambda: client.send_frame(upside_down, scene.CAMERA),
            lambda: (
                bool(client.got["labels"] and client.got["costmap"])
                and known_cells(client.got["costmap"][-1]) == 0
            ),
            again_s=0.1,
        )
