# SPDX-License-Identifier: Apache-2.0
"""What the node publishes, over real DDS, held against the offline pipeline."""

from __future__ import annotations

import math

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="ROS 2 is not installed")

from geometry_msgs.msg import PoseWithCovariance

from offroad_seg.engines.registry import load_engine
from offroad_seg.segmenter import Segmenter
from offroad_seg.types import Frame
from tests.helpers import scene
from tests.helpers.ros_client import OPTICAL, Client, cells, pixels
from tests.helpers.ros_process import running_node


@pytest.fixture(scope="module")
def image(ontology):
    """The scene with noise, so that confidence is not the same everywhere."""
    noise = np.random.default_rng(1).integers(-25, 26, (scene.HEIGHT, scene.WIDTH, 3))
    return np.clip(scene.scene_image(ontology).astype(int) + noise, 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def client(domain, bundle, tmp_path_factory):
    log = tmp_path_factory.mktemp("node") / "log"
    arguments = [
        "--bundle",
        str(bundle.path),
        *scene.mount_parameters(),
        "--param",
        "costmap.width=12",
        "--param",
        "tf_timeout=1",
        "--param",
        "contact_slope=2",
    ]
    with running_node(arguments, log), Client() as client:
        client.connect()
        yield client


@pytest.fixture(autouse=True)
def _fresh(client):
    client.clear()


@pytest.fixture(scope="module")
def offline(bundle, image):
    engine = load_engine(bundle)
    result = Segmenter(bundle, engine).segment(Frame(image, 0, OPTICAL))
    yield result
    engine.close()


def test_labels_and_confidence_equal_the_offline_pipeline_on_every_pixel(client, image, offline):
    found = client.answers(lambda: client.send_frame(image, scene.CAMERA), "labels", "confidence")
    labels, confidence = found["labels"], found["confidence"]
    assert (labels.height, labels.width, labels.encoding) == (scene.HEIGHT, scene.WIDTH, "mono8")
    np.testing.assert_array_equal(pixels(labels), offline.labels_HW)
    assert len(np.unique(offline.labels_HW)) >= 3
    np.testing.assert_array_equal(pixels(confidence), offline.confidence_HW)
    assert len(np.unique(offline.confidence_HW)) > 10


def test_output_headers_are_the_input_header(client, image):
    topics = ("labels", "confidence", "costmap")
    found = client.answers(lambda: client.send_frame(image, scene.CAMERA), *topics)
    assert found["labels"].header.frame_id == OPTICAL
    assert found["confidence"].header == found["labels"].header


def test_costmap_is_what_nav2_accepts(client, image):
    grid = client.reply(image, scene.CAMERA, "costmap", x=3.0)
    info = grid.info
    assert grid.header.frame_id == "odom"
    assert info.resolution == pytest.approx(0.1)
    assert (info.width, info.height) == (120, 200)
    assert len(grid.data) == info.width * info.height
    origin = info.origin
    assert all(math.isfinite(v) for v in (origin.position.x, origin.position.y, origin.position.z))
    q = origin.orientation
    assert math.hypot(q.x, q.y, q.z, q.w) == pytest.approx(1.0)
    assert grid.header.stamp == info.map_load_time
    assert origin.position.x == pytest.approx(3.0 - 6.0, abs=0.1)
    assert origin.position.y == pytest.approx(-10.0, abs=0.1)


def test_costmap_shows_the_rock_and_nothing_behind_it(client, image, ontology):
    grid = client.reply(image, scene.CAMERA, "costmap", x=100.0)  # where no other test has been
    cost = cells(grid)
    values = set(np.unique(cost).tolist())
    assert values <= {-1, 5, 100} | set(range(5, 99))
    assert {-1, 5, 100} <= values

    def cell(x, y):
        row = int((y - grid.info.origin.position.y) / grid.info.resolution)
        column = int((100.0 + x - grid.info.origin.position.x) / grid.info.resolution)
        return cost[row, column]

    # Pixel rows 45–70 and columns 60–85 at f = 120, camera 1.5 m up and 0.5 m ahead, looking 0.3 rad down.
    depression = 0.3 + math.atan((70 - 59.5) / 120)
    foot = 0.5 + 1.5 / math.tan(depression)
    side = (99.5 - 72) / 120 * math.hypot(foot - 0.5, 1.5) * math.cos(depression - 0.3)
    near_rock = [cell(foot + dx, side) for dx in (-0.2, -0.1, 0.0, 0.1, 0.2)]
    assert 100 in near_rock
    assert cell(foot + 0.8, side * (foot + 0.8) / foot) == -1  # in its shadow
    assert cell(foot, -side) == 5  # as far away on the other side
    assert cell(-2.0, 0.0) == -1  # behind the vehicle
    assert cell(0.5, 0.0) == -1  # below the camera, outside the image


def test_the_costmap_moves_with_odometry(client, image):
    first = client.reply(image, scene.CAMERA, "costmap", x=0.0)
    later = client.reply(image, scene.CAMERA, "costmap", x=2.0)
    assert later.info.origin.position.x - first.info.origin.position.x == pytest.approx(2.0, abs=1e-6)


def test_the_plane_is_levelled_by_the_attitude_in_odometry(client, image):
    """A vehicle that dips its nose sees nearer ground, and does not take it for ground farther away."""

    def nearest_m(pitch, x):
        pose = PoseWithCovariance()
        pose.pose.position.x = x
        pose.pose.orientation.y, pose.pose.orientation.w = math.sin(pitch / 2), math.cos(pitch / 2)

        def send():
            stamp = client.now_ns()
            client.send_info(scene.CAMERA, stamp)
            client.send_odometry(stamp, pose=pose)
            return client.send_image(image, stamp)

        grid = client.answered(send)
        column = np.flatnonzero((cells(grid) >= 0).any(axis=0))[0]
        return grid.info.origin.position.x + (column + 0.5) * grid.info.resolution - x

    def expected_m(pitch):
        """The lowest row looks 0.3 rad + atan(59.5 / 120) down; the camera is 0.5 m ahead and 1.5 m up."""
        ahead = 0.5 * math.cos(pitch) + 1.5 * math.sin(pitch)
        up = 1.5 * math.cos(pitch) - 0.5 * math.sin(pitch)
        return ahead + up / math.tan(pitch + 0.3 + math.atan(59.5 / 120))

    assert nearest_m(0.0, 600.0) == pytest.approx(expected_m(0.0), abs=0.15)
    assert nearest_m(0.2, 700.0) == pytest.approx(expected_m(0.2), abs=0.15)
    assert expected_m(0.2) < expected_m(0.0) - 0.3


def test_overlay_comes_only_while_somebody_listens(client, image, ontology, offline):
    client.reply(image, scene.CAMERA)
    assert not client.got["overlay"]
    subscription = client.listen("overlay")
    overlay = client.reply(image, scene.CAMERA, "overlay")
    assert overlay.encoding == "rgb8"
    mean = (image.astype(int) + ontology.colorize(offline.labels_HW)) / 2
    assert np.abs(pixels(overlay) - mean).max() <= 1
    client.node.destroy_subscription(subscription)


def test_a_late_subscriber_gets_the_latched_costmap(client, image):
    client.reply(image, scene.CAMERA, "costmap")
    with Client(listen=()) as late:
        assert late.spin_until(lambda: bool(late.got["costmap"]))
        assert late.got["costmap"][0].header.frame_id == "odom"


def test_diagnostics_name_engine_rates_and_latencies(client, image):

    def measured():
        """What is told is of the last seconds: frames must come."""
        status = client.status()
        return (
            bool(status)
            and status["inference"][0] == 0
            and "segment_ms.p99" in status["inference"][2]
            and {"unknown_share.p50", "tf_age_ms.p50", "contact_slope.p50"} <= set(status["costmap"][2])
        )

    client.until(lambda: client.send_frame(image, scene.CAMERA), measured)
    _, message, values = client.status()["inference"]
    assert message == "ok"
    assert float(values["segment_ms.p50"]) > 0
    node = client.status()["node"][2]
    assert node["state"] == "active"
    assert node["backend"].startswith("onnxruntime ")
    assert node["bundle"] == "nearest_color"
    assert float(node["memory_mib"]) > 10
    costmap = client.status()["costmap"][2]
    assert 0.0 < float(costmap["unknown_share.p50"]) < 1.0
    assert float(costmap["contact_slope.p50"]) == 2.0


def test_odometry_that_comes_after_the_image_is_waited_for(client, image):
    client.reply(image, scene.CAMERA, "costmap")
    waited = []

    def send():
        stamp = client.now_ns()
        client.send_odometry(stamp - 5_000_000)
        client.send_image(image, stamp)
        # The labels do not wait for the pose.
        waited.append(client.spin_until(lambda: client.answer("labels", {stamp}) is not None, 2.0))
        assert client.answer("costmap", {stamp}) is None
        client.send_odometry(client.now_ns())
        return stamp

    # A machine that is busy may take longer than the node waits, once.
    assert client.answered(send)
    assert any(waited)
