# SPDX-License-Identifier: Apache-2.0
"""Bad messages, missing transforms, dead cameras: the node lives, says why, and never calls anything free."""

from __future__ import annotations

import array
import math

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="ROS 2 is not installed")

from offroad_seg.camera import CameraModel
from offroad_seg.sensor_messages import stamp_ns
from tests.helpers import scene
from tests.helpers.node_fixtures import bundle, domain, ontology  # noqa: F401
from tests.helpers.ros_client import Client, cells, set_header
from tests.helpers.ros_process import running_node

STALL_S = 0.6


@pytest.fixture(scope="module")
def node(domain, bundle, tmp_path_factory):  # noqa: F811
    log = tmp_path_factory.mktemp("node") / "log"
    arguments = [
        "--bundle",
        str(bundle.path),
        *scene.mount_parameters(),
        "--param",
        f"stall_timeout={STALL_S}",
    ]
    with running_node(arguments, log) as node:
        yield node


@pytest.fixture(scope="module")
def client(node):
    with Client() as client:
        client.connect()
        yield client


@pytest.fixture
def image(ontology):  # noqa: F811
    return scene.scene_image(ontology)


@pytest.fixture(autouse=True)
def works(client, image):
    """Before each test the node maps, and so it does again after whatever the test did."""
    client.clear()
    client.reply(image, scene.CAMERA, "costmap")
    yield
    client.clear()
    client.reply(image, scene.CAMERA, "costmap")


BAD_IMAGES = {
    "step too small": {"step": scene.WIDTH * 3 - 1},
    "step does not fit the data": {"step": scene.WIDTH * 3 + 1},
    "short data": {"data": array.array("B", bytes(scene.WIDTH * 3 * scene.HEIGHT - 1))},
    "no data": {"data": array.array("B")},
    "no rows": {"height": 0},
    "no columns": {"width": 0},
    "huge": {"height": 2**31, "width": 2**31, "step": 2**31},
    "unknown encoding": {"encoding": "32FC1"},
    "made-up encoding": {"encoding": "ultraviolet"},
}


def until_counted(client, cause, send, more=3):
    """Send until diagnostics count so many more drops: a busy machine may lose messages. Returns that status."""
    client.wait_status("camera", lambda *_: True)
    before = client.drops("camera", cause)
    for _ in range(200):  # one by one: the node's queue holds one image
        send()
        client.spin(0.05)
        if client.drops("camera", cause) >= before + more:
            return client.status()["camera"]
    raise AssertionError(client.status())


@pytest.mark.parametrize("fault", BAD_IMAGES)
def test_bad_images_are_dropped_counted_and_explained(client, image, fault):
    stamps = set()
    level, message, values = until_counted(
        client, "bad_image", lambda: stamps.add(client.send_image(image, **BAD_IMAGES[fault]))
    )
    assert level >= 1
    assert values["dropped.bad_image.reason"] in message
    assert client.answer("labels", stamps) is None
    assert client.answer("costmap", stamps) is None


def test_old_and_future_frames_are_dropped_and_counted(client, image):
    sent = set()
    until_counted(
        client, "too_old", lambda: sent.add(client.send_image(image, client.now_ns() - 2_000_000_000))
    )
    until_counted(
        client,
        "from_future",
        lambda: sent.add(client.send_image(image, client.now_ns() + 60_000_000_000)),
        more=1,
    )
    assert client.answer("labels", sent) is None


def test_a_frame_with_the_same_stamp_is_not_used_twice(client, image):
    stamp = client.send_frame(image, scene.CAMERA)
    assert client.spin_until(lambda: client.answer("labels", {stamp}) is not None)
    client.send_image(image, stamp)
    client.wait_status("camera", lambda _lv, _m, v: int(v.get("dropped.out_of_order", 0)) >= 1)
    assert sum(stamp_ns(m.header) == stamp for m in client.got["labels"]) == 1


def test_a_frame_that_comes_after_a_newer_one_is_dropped(client, image):
    """By some milliseconds, as a network gives them out of order: it must not undo what came later."""
    newer = client.send_frame(image, scene.CAMERA)
    assert client.spin_until(lambda: client.answer("costmap", {newer}) is not None)
    older = set()
    for k in range(1, 4):
        older.add(client.send_image(image, newer - k * 5_000_000))
        client.spin(0.05)
    client.wait_status("camera", lambda _lv, _m, v: int(v.get("dropped.out_of_order", 0)) >= 1)
    assert client.answer("labels", older) is None
    assert client.answer("costmap", older) is None
    stamps = [stamp_ns(m.header) for m in client.got["costmap"]]
    assert stamps == sorted(stamps)
    later = client.send_frame(image, scene.CAMERA)
    assert client.spin_until(lambda: client.answer("costmap", {later}) is not None)


def nan_k():
    k = scene.CAMERA.K_33.ravel()
    k[0] = math.nan
    return k


BAD_CALIBRATIONS = {
    "NaN in K": ({"k": nan_k()}, "finite"),
    "zero focal length": ({"k": np.zeros(9)}, "focal length"),
    "infinite distortion": ({"d": [0.0, math.inf, 0.0, 0.0]}, "finite"),
    "unknown model": ({"distortion_model": "mei"}, "mei"),
    "other size": ({"width": scene.WIDTH * 2}, "400"),
}


@pytest.mark.parametrize("fault", BAD_CALIBRATIONS)
def test_bad_calibration_stops_the_costmap_but_not_the_labels(client, image, fault):
    changes, reason = BAD_CALIBRATIONS[fault]
    client.clear()
    sent = set()
    for _ in range(4):
        stamp = client.now_ns()
        client.send_info(scene.CAMERA, stamp, **changes)
        client.send_odometry(stamp)
        client.spin(0.05)
        sent.add(client.send_image(image, stamp))
        client.spin(0.05)
    assert client.spin_until(lambda: client.answer("labels", sent) is not None)
    client.wait_status("costmap", lambda level, m, _v: reason in m and level >= 1)
    assert not [m for m in client.got["costmap"] if (cells(m) >= 0).any()]


def test_calibration_without_a_frame_stops_the_costmap(client, image):
    stamp = client.now_ns()
    client.info.publish(_nameless_info(client, stamp))
    client.spin(0.1)
    client.send_odometry(stamp)
    client.send_image(image, stamp)
    client.wait_status("costmap", lambda _lv, m, _v: "frame_id" in m)
    assert client.answer("costmap", {stamp}) is None


def test_a_calibration_that_changes_counts_from_the_next_frame_on(client, image):
    """A wider lens sees cells beside the vehicle that the other cannot."""

    def width_at_4_m(camera, x):
        for _ in range(20):
            grid = client.reply(image, camera, "costmap", x)
            column = int((x + 4.0 - grid.info.origin.position.x) / grid.info.resolution)
            count = int((cells(grid)[:, column] >= 0).sum())
            if count:
                return count
        raise AssertionError(client.status())

    narrow = width_at_4_m(scene.CAMERA, 300.0)  # where no other test has been
    wide = width_at_4_m(CameraModel.pinhole(scene.WIDTH, scene.HEIGHT, 80.0), 400.0)
    assert wide > 1.3 * narrow
    assert width_at_4_m(scene.CAMERA, 500.0) == pytest.approx(narrow, abs=2)


def _nameless_info(client, stamp):
    from sensor_msgs.msg import CameraInfo

    message = CameraInfo(width=scene.WIDTH, height=scene.HEIGHT, distortion_model="plumb_bob")
    message.k = scene.CAMERA.K_33.ravel()
    set_header(message, stamp, "")
    return message


def test_a_stalled_camera_makes_everything_unknown_once(client, image):
    newest = max(stamp_ns(m.header) for m in client.got["costmap"])
    assert client.spin_until(lambda: (cells(client.got["costmap"][-1]) == -1).all(), STALL_S + 2.0)
    unknown = client.got["costmap"][-1]
    assert stamp_ns(unknown.header) > newest  # a new statement, not old data stamped anew
    _, message, _ = client.wait_status("camera", lambda level, *_: level == 2)
    assert "no usable image" in message
    count = len(client.got["costmap"])
    client.spin(2 * STALL_S)
    assert len(client.got["costmap"]) == count
    with Client(listen=()) as late:  # who comes later learns the same
        assert late.spin_until(lambda: bool(late.got["costmap"]))
        assert (cells(late.got["costmap"][-1]) == -1).all()
    client.clear()
    for _ in range(30):
        client.reply(image, scene.CAMERA, "costmap")
        client.spin(0.1)
        if client.status() and client.status()["camera"][0] == client.status()["costmap"][0] == 0:
            return
    raise AssertionError(client.status())


def test_a_camera_that_sends_only_rubbish_is_dead_too(client, image):
    deadline = STALL_S + 2.0
    while deadline > 0 and not (cells(client.got["costmap"][-1]) == -1).all():
        client.send_image(image, encoding="ultraviolet")
        client.spin(0.05)
        deadline -= 0.05
    assert (cells(client.got["costmap"][-1]) == -1).all()
    client.wait_status("camera", lambda level, m, _v: level == 2 and "ultraviolet" in m)


def test_without_odometry_at_the_stamp_there_is_no_costmap(client, image):
    client.spin(0.1)
    client.clear()
    sent = set()
    for _ in range(12):
        sent.add(client.send_image(image))
        client.spin(0.12)
    assert client.answer("labels", sent) is not None
    assert client.answer("costmap", sent) is None
    _, message, _ = client.wait_status(
        "costmap", lambda _lv, _m, v: int(v.get("dropped.no_transform", 0)) > 0
    )
    assert "odom" in message
    assert "base_link" in message
    # And what was known before does not stay free for ever.
    assert client.spin_until(lambda: bool(client.got["costmap"]), STALL_S + 2.0)
    assert (cells(client.got["costmap"][-1]) == -1).all()


@pytest.mark.parametrize("fault", ["NaN", "no unit quaternion", "no frame"])
def test_bad_odometry_is_refused(client, image, fault):
    client.wait_status("costmap", lambda *_: True)
    before = client.drops("costmap", "bad_transform")
    stamp = client.now_ns()
    message_changes = {}
    if fault == "no frame":
        message_changes = {"child_frame_id": ""}
    from geometry_msgs.msg import PoseWithCovariance

    pose = PoseWithCovariance()
    pose.pose.orientation.w = 0.5 if fault == "no unit quaternion" else 1.0
    pose.pose.position.x = math.nan if fault == "NaN" else 0.0
    client.clear()
    client.send_odometry(stamp, pose=pose, **message_changes)
    client.send_info(scene.CAMERA, stamp)
    client.spin(0.05)
    client.send_image(image, stamp)
    client.spin(0.5)
    assert client.answer("costmap", {stamp}) is None
    client.wait_status("costmap", lambda _lv, _m, v: int(v.get("dropped.bad_transform", 0)) > before)


def test_nothing_queues_the_newest_frame_wins_and_the_others_are_counted(client, image):
    assert client.set_parameter("max_rate", 5.0).successful
    client.clear()
    sent = []
    for _ in range(60):
        sent.append(client.send_image(image))
        client.spin(0.02)
    assert client.set_parameter("max_rate", 0.0).successful
    stamps = [stamp_ns(m.header) for m in client.got["labels"]]
    assert 3 <= len(stamps) <= 12  # 1.2 s or a little more at 5 Hz
    assert stamps == sorted(stamps)
    client.wait_status("camera", lambda _lv, _m, v: int(v.get("dropped.replaced", 0)) >= 20)


def test_image_stamps_that_run_back_clear_the_past_with_one_warning(client, node, image):
    client.clear()
    assert client.set_parameter("max_age", 0.0).successful
    base = client.now_ns()
    frames = []
    for stamp in (base, base - 10_000_000_000, base - 9_900_000_000):
        for _ in range(20):
            client.send_info(scene.CAMERA, stamp)
            client.send_odometry(stamp)
            client.send_image(image, stamp)
            if client.spin_until(lambda s=stamp: client.answer("costmap", {s}) is not None, 0.3):
                break
        frames.append(client.answer("costmap", {stamp}))
    assert all(frames)
    assert node.log.read_text().count("time ran back") == 1
    assert client.set_parameter("max_age", 0.5).successful
