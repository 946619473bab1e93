# SPDX-License-Identifier: Apache-2.0
"""Parameters that have no test of their own elsewhere do what they say: seen in the grids that the node publishes."""

from __future__ import annotations

import math

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="ROS 2 is not installed")

from sensor_msgs.msg import Image

from tests.faults.test_node_depth import depth_message, true_depth
from tests.helpers import scene
from tests.helpers.bundles import make_color_bundle
from tests.helpers.ros_client import RELIABLE, Client, cells
from tests.helpers.ros_process import running_node


@pytest.fixture
def image(ontology):
    """Plain ground below the sky."""
    labels = scene.scene_labels(ontology)
    labels[labels == ontology.id_of("Rocks")] = ontology.id_of("Landscape")
    return ontology.colorize(labels)


def arguments(bundle, **parameters):
    words = ["--bundle", str(bundle.path), *scene.mount_parameters()]
    for name, value in parameters.items():
        words += ["--param", f"{name.replace('__', '.')}={value}"]
    return words


def known(grid):
    """Coordinates, shape (N, 2), of the known cells' centres."""
    rows, columns = np.nonzero(cells(grid) >= 0)
    origin, res = grid.info.origin.position, grid.info.resolution
    return np.stack([origin.x + (columns + 0.5) * res, origin.y + (rows + 0.5) * res], axis=1)


def test_the_grid_lies_where_the_parameters_say(domain, bundle, image, tmp_path):
    options = arguments(
        bundle, base_frame="rover", odom_frame="world", ground_height=0.4, tf_timeout=1,
        costmap__width=14, costmap__height=9, costmap__resolution=0.2, costmap__max_range=5, costmap__decay_time=0.2,
    )  # fmt: skip
    with running_node(options, tmp_path / "log"), Client() as client:
        client.connect()

        def grid_at(x):
            """The first grid of a vehicle at x; the camera is half a metre ahead."""

            def send():
                stamp = client.now_ns()
                client.send_info(scene.CAMERA, stamp)
                odometry = {"child_frame_id": "rover"}
                client.send_odometry(stamp, x, header=_header(stamp, "world"), **odometry)
                return client.send_image(image, stamp)

            return client.answered(send)

        first = grid_at(0.0)
        info = first.info
        assert first.header.frame_id == "world"
        assert (info.width, info.height, info.resolution) == (70, 45, pytest.approx(0.2))
        at = known(first)
        reach = np.hypot(at[:, 0] - 0.5, at[:, 1])
        assert 4.5 < reach.max() <= 5.0
        # The ground is 1.5 + 0.4 m below the camera; the lowest row looks 0.3 rad + atan(59.5 / 120) down.
        nearest = 0.5 + 1.9 / math.tan(0.3 + math.atan(59.5 / 120))
        assert at[:, 0].min() == pytest.approx(nearest, abs=0.25)
        # Of what is not seen again nothing is left after 0.2 s · ln(1 / 0.05).
        client.spin(1.0)
        later = known(grid_at(2.0))
        assert (at[:, 0] < 2.0 + nearest - 0.5).any()
        assert later[:, 0].min() > 2.0 + nearest - 0.5


def _header(stamp, frame_id):
    from std_msgs.msg import Header

    from tests.helpers.ros_client import set_header

    class Message:
        header = Header()

    set_header(Message, stamp, frame_id)
    return Message.header


def test_doubtful_pixels_say_nothing(domain, bundle, image, tmp_path):
    """`min_confidence` 1: what the network is less than sure of is unknown, while the labels go on."""
    noise = np.random.default_rng(1).integers(-30, 31, image.shape)
    noisy = np.clip(image.astype(int) + noise, 0, 255).astype(np.uint8)
    with running_node(arguments(bundle, tf_timeout=1), tmp_path / "log"), Client() as client:
        client.connect()
        many = len(known(client.reply(noisy, scene.CAMERA, "costmap")))
    with (
        running_node(arguments(bundle, tf_timeout=1, min_confidence=1.0), tmp_path / "log"),
        Client() as client,
    ):
        client.connect()
        few = len(known(client.reply(noisy, scene.CAMERA, "costmap")))
        assert client.reply(noisy, scene.CAMERA, "labels")
    assert many > 1000
    assert few < 0.3 * many


@pytest.mark.parametrize("action", ["unknown", "ignore"])
def test_what_the_bundle_calls_out_of_distribution(domain, ontology, image, tmp_path, action):
    """White, which is nearest to some class, but like nothing that the network was fitted on."""
    strange = make_color_bundle(tmp_path / "ood", ontology, 96, 160, ood=True)
    white = image.copy()
    white[:, :100] = 255
    options = arguments(strange, ood_action=action, tf_timeout=1, class_cost__Landscape=7)
    with running_node(options, tmp_path / "log"), Client() as client:
        client.connect()
        grid = client.reply(white, scene.CAMERA, "costmap")
        at = known(grid)
        left, right = (at[:, 1] > 0.3).sum(), (at[:, 1] < -0.3).sum()
        assert right > 300
        assert left == 0 if action == "unknown" else left > 300

        def told():
            return client.status().get("inference", (0, "", {}))[2]

        client.until(lambda: client.send_frame(white, scene.CAMERA), lambda: "ood_share.p50" in told())
        values = told()
        assert float(values["ood_share.p50"]) == pytest.approx(0.5, abs=0.1)


def test_doubt_costs_until_nothing_is_known(domain, ontology, tmp_path):
    """Four strips of ground: as it should be, half another class, a little strange, and white; by depth."""
    strange = make_color_bundle(tmp_path / "ood", ontology, 96, 160, sharpness=1e-3, ood=True)
    strips = [(232, 206, 168), (224, 199, 141), (232, 222, 218), (255, 255, 255)]
    image = np.repeat(np.array(strips, np.uint8), scene.WIDTH // 4, axis=0)[None].repeat(scene.HEIGHT, axis=0)
    options = arguments(strange, projection="depth", tf_timeout=1, max_age=10)
    with (
        running_node([*options, "--param", "costmap.sure_confidence=0.8"], tmp_path / "log"),
        Client() as client,
    ):
        depth = client.node.create_publisher(Image, "depth", RELIABLE)
        client.connect()
        assert client.spin_until(lambda: depth.get_subscription_count() > 0)

        def send():
            stamp = client.send_frame(image, scene.CAMERA)
            depth.publish(depth_message(true_depth(), stamp))
            return stamp

        def costs():
            """Of each strip, 4 to 5 m ahead."""
            grid = client.answered(send, again_s=1.0)
            at = grid.info.origin.position
            x = at.x + (np.arange(grid.info.width) + 0.5) * grid.info.resolution
            y = at.y + (np.arange(grid.info.height) + 0.5) * grid.info.resolution
            middles = [(100 - u) * 4.2 / scene.CAMERA.fx for u in (25, 75, 125, 175)]
            ahead = cells(grid)[:, (x > 4.0) & (x < 5.0)]
            return [ahead[np.abs(y - middle) < 0.4] for middle in middles]

        good, mixed, odd, white = costs()
        assert (white == -1).all()
        assert set(good[good >= 0]) == {5}
        for doubted in (mixed, odd):
            assert (doubted >= 0).sum() > 20
            assert doubted[doubted >= 0].min() > 20
            assert doubted.max() <= 98
        refused = client.set_parameter("costmap.sure_confidence", 1.5)
        assert not refused.successful
        assert "costmap.sure_confidence" in refused.reason
        # Live, and for what was seen before.
        assert client.set_parameter("costmap.sure_confidence", 0.0).successful
        good, mixed, odd, white = costs()
        assert (white == -1).all()
        assert set(good[good >= 0]) == set(mixed[mixed >= 0]) == set(odd[odd >= 0]) == {5}


def test_the_device_is_the_one_that_is_asked_for(domain, bundle, image, tmp_path):
    with running_node(arguments(bundle, device="cpu", threads=1), tmp_path / "log"), Client() as client:
        client.connect()
        client.reply(image, scene.CAMERA)
        _, _, values = client.wait_status("node", lambda _lv, _m, v: "device" in v)
        assert values["device"].startswith("cpu")
        assert values["providers"] == "CPUExecutionProvider"
