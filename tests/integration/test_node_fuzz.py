# SPDX-License-Identifier: Apache-2.0
"""Ten thousand messages that no driver should send: through the node's own checks, and to a real node over DDS.

``OFFROAD_SEG_FUZZ=10000`` sends that many over DDS; without it some hundreds, to keep the suite short.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

pytest.importorskip("rclpy", reason="ROS 2 is not installed")

from nav_msgs.msg import Odometry
from rclpy.serialization import serialize_message
from sensor_msgs.msg import CameraInfo, Image

from offroad_seg.errors import CameraError, ImageError, TransformError
from offroad_seg.ros.settings import Settings
from offroad_seg.ros.transform_source import TransformSource
from offroad_seg.sensor_messages import (
    camera_from_info,
    check_image,
    compressed_to_rgb,
    depth_to_metres,
    image_to_rgb,
)
from tests.helpers import fuzz, scene
from tests.helpers.ros_client import RELIABLE, Client, cells, pixels
from tests.helpers.ros_process import running_node

try:
    from tf2_msgs.msg import TFMessage
except ImportError:
    TFMessage = None

NOW_NS = 1_800_000_000 * 10**9
OVER_DDS = int(os.environ.get("OFFROAD_SEG_FUZZ", "600"))
MAX_GROWTH_MIB = 60.0


def examples(count: int) -> settings:
    """So many, the same every time."""
    return settings(
        max_examples=count,
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )


def pictures() -> tuple[bytes, ...]:
    image = np.random.default_rng(0).integers(0, 255, (24, 40, 3), np.uint8)
    forms = ((".jpg", image), (".png", image), (".png", image[..., 0]), (".tiff", image))
    return tuple(cv2.imencode(suffix, picture)[1].tobytes() for suffix, picture in forms)


@examples(600)
@given(fuzz.images())
def test_images_are_read_or_refused(messages):
    for message in messages:
        try:
            check_image(message)
            image = image_to_rgb(message)
        except ImageError:
            continue
        assert image.shape == (message.height, message.width, 3)
        assert image.dtype == np.uint8


@examples(200)
@given(fuzz.depths())
def test_depth_is_read_or_refused(messages):
    for message in messages:
        try:
            depth = depth_to_metres(message)
        except ImageError:
            continue
        assert depth.shape == (message.height, message.width)
        assert not (depth <= 0).any()
        assert not np.isinf(depth).any()


@examples(300)
@given(fuzz.compressed_images(pictures()))
def test_pictures_are_decoded_or_refused(messages):
    for message in messages:
        try:
            image = compressed_to_rgb(message)
        except ImageError:
            continue
        assert image.ndim == 3
        assert image.shape[2] == 3


@examples(400)
@given(fuzz.camera_infos(), st.none() | st.just((fuzz.HEIGHT, fuzz.WIDTH)))
def test_calibrations_are_usable_or_refused(messages, size):
    for message in messages:
        try:
            camera = camera_from_info(message, size)
        except CameraError:
            continue
        assert np.isfinite([camera.fx, camera.fy, camera.cx, camera.cy]).all()
        assert camera.fx > 0
        assert camera.fy > 0
        assert size is None or (camera.height, camera.width) == size


@examples(250)
@given(fuzz.odometries(), fuzz.transforms())
def test_poses_are_taken_or_refused_and_never_made_up(odometries, transforms):
    source = TransformSource(Settings())
    for message in transforms:
        source.add_transforms([fuzz.at(each, NOW_NS) for each in message.transforms], static=False)
    for message in odometries:
        with suppress(TransformError):
            source.add_odometry(fuzz.at(message, NOW_NS))
        try:
            poses = source.poses("camera_optical_frame", NOW_NS, 0.0)
        except TransformError:
            continue
        for transform in (poses.base_T_camera, poses.odom_T_base):
            assert np.isfinite(transform.rotation_33).all()
            assert np.isfinite(transform.translation_3).all()
            np.testing.assert_allclose(transform.rotation_33 @ transform.rotation_33.T, np.eye(3), atol=1e-3)


def resident_mib(process) -> float:
    status = Path(f"/proc/{process.pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) / 1024


class Wire:
    """Sends fuzzed messages to the node."""

    def __init__(self, client):
        self._client, self.sent = client, 0
        make = client.node.create_publisher
        self._publishers = {
            "image": (Image, client.image),
            "camera_info": (CameraInfo, client.info),
            "odom": (Odometry, client.odom),
            "depth": (Image, make(Image, "depth", RELIABLE)),
        }
        if TFMessage is not None:
            self._publishers["tf"] = (TFMessage, make(TFMessage, "/tf", RELIABLE))

    def strategy(self):
        """(topic, messages, places at which their bytes on the wire are changed)."""
        kinds = {
            "image": fuzz.images(),
            "camera_info": fuzz.camera_infos(),
            "odom": fuzz.odometries(),
            "depth": fuzz.depths(),
            "tf": fuzz.transforms(),
        }
        damage = (
            st.just([])
            | st.just([])
            | st.lists(st.tuples(st.integers(4, 400), st.integers(0, 255)), max_size=4)
        )
        topics = [(st.just(name), kinds[name], damage) for name in self._publishers]
        return st.one_of(*(st.tuples(*parts) for parts in topics))

    def send(self, topic, message, damage):
        kind, publisher = self._publishers[topic]
        made = fuzz.to_ros(message, kind, self._client.now_ns())
        if damage:
            data = bytearray(serialize_message(made))
            for place, value in damage:
                data[place % len(data)] = value
            publisher.publish(bytes(data))
        else:
            publisher.publish(made)
        self.sent += 1
        self._client.spin(0.004)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("projection", ["ground_plane", "depth"])
def test_a_real_node_survives_them_and_works_on(domain, bundle, ontology, tmp_path, projection):
    image = scene.scene_image(ontology)
    arguments = [
        "--bundle",
        str(bundle.path),
        *scene.mount_parameters(),
        "--param",
        f"projection={projection}",
    ]
    log = tmp_path / "log"
    with running_node(arguments, log) as node, Client() as client:
        client.connect()
        expected = pixels(client.reply(image, scene.CAMERA)).copy()
        wire = Wire(client)
        before = []

        @examples(OVER_DDS // 2 // 5)  # each holds some six messages
        @given(wire.strategy())
        def send(example):
            topic, messages, damage = example
            for message in messages:
                wire.send(topic, message, damage)
            if not before and wire.sent >= 200:  # what is allocated once is there
                before.append(resident_mib(node.process))
            assert node.process.poll() is None, log.read_text()[-3000:]

        send()
        assert wire.sent >= OVER_DDS // 2
        assert node.process.poll() is None
        assert client.state() == "active"
        client.clear()
        np.testing.assert_array_equal(pixels(client.reply(image, scene.CAMERA)), expected)
        if projection == "ground_plane":
            client.clear()
            assert {-1, 5, 100} <= set(np.unique(cells(client.reply(image, scene.CAMERA, "costmap"))))
        growth = resident_mib(node.process) - before[0]
        print(f"{projection}: {wire.sent} messages, {growth:.1f} MiB more")
        assert growth < MAX_GROWTH_MIB
        assert "internal_error" not in log.read_text()
        assert "stack trace" not in log.read_text()
