# SPDX-License-Identifier: Apache-2.0
"""Two cameras, one network, one costmap: each has its own topics, and one that dies takes only its sector with it."""

from __future__ import annotations

import array
import math

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="ROS 2 is not installed")

from sensor_msgs.msg import CameraInfo, Image

from offroad_seg.sensor_messages import stamp_ns
from tests.helpers import scene
from tests.helpers.ros_client import RELIABLE, Client, cells, image_message, set_header
from tests.helpers.ros_process import NodeProcess, running_node

STALL_S = 2.0
"""Longer than a busy machine keeps a process waiting: a camera that goes on must not seem dead."""
YAW = {"front": 0.0, "left": math.pi / 2}


class Eye:
    """One camera of the vehicle."""

    def __init__(self, client: Client, name: str) -> None:
        make = client.node.create_publisher
        self._client, self._frame = client, f"{name}_optical_frame"
        self.image = make(Image, f"{name}/image", RELIABLE)
        self._info = make(CameraInfo, f"{name}/camera_info", RELIABLE)
        self.labels: list[Image] = []
        self.sent: set[int] = set()
        client.node.create_subscription(Image, f"{name}/labels", self.labels.append, RELIABLE)

    def ready(self) -> bool:
        return self.image.get_subscription_count() * self._info.get_subscription_count() > 0

    def send(self, image_HWC: np.ndarray, stamp: int, **changes) -> int:
        info = CameraInfo(width=scene.WIDTH, height=scene.HEIGHT, distortion_model="plumb_bob")
        info.k = scene.CAMERA.K_33.ravel()
        message = image_message(image_HWC, stamp)
        for part in (info, message):
            set_header(part, stamp, self._frame)
        for name, value in changes.items():
            setattr(message, name, value)
        self._info.publish(info)
        self.image.publish(message)
        self.sent.add(stamp)
        return stamp

    def answered(self) -> set[int]:
        """Stamps of the labels that came."""
        return {stamp_ns(m.header) for m in self.labels}


def plain_depth(stamp, frame):
    """z-depth of plain ground, as both cameras see it."""
    pitch = scene.MOUNT["pitch"]
    v = (np.arange(scene.HEIGHT) + 0.5 - scene.CAMERA.cy) / scene.CAMERA.fy
    down = np.sin(pitch) + v * np.cos(pitch)
    rows = np.where(down > 0.02, scene.MOUNT["z"] / np.maximum(down, 0.02), np.nan).astype(np.float32)
    message = Image(height=scene.HEIGHT, width=scene.WIDTH, encoding="32FC1", step=4 * scene.WIDTH)
    message.data = array.array("B", np.repeat(rows[:, None], scene.WIDTH, axis=1).tobytes())
    set_header(message, stamp, frame)
    return message


def mounts():
    words = []
    for name, yaw in YAW.items():
        for axis, value in {**scene.MOUNT, "x": 0.0, "yaw": yaw}.items():
            words += ["--param", f"camera_mount.{name}.{axis}={value}"]
    return words


@pytest.fixture(scope="module")
def node(domain, bundle, tmp_path_factory):
    log = tmp_path_factory.mktemp("node") / "log"
    options = ["--param", "cameras=[front, left]", "--param", f"stall_timeout={STALL_S}"]
    with running_node(["--bundle", str(bundle.path), *mounts(), *options], log) as node:
        yield node


@pytest.fixture(scope="module")
def client(node):
    with Client(listen=()) as client:
        yield client


@pytest.fixture(scope="module")
def eyes(client):
    eyes = {name: Eye(client, name) for name in YAW}
    assert client.spin_until(lambda: all(eye.ready() for eye in eyes.values()))
    return eyes


@pytest.fixture(scope="module")
def image(ontology):
    """Plain ground below the sky."""
    labels = scene.scene_labels(ontology)
    labels[labels == ontology.id_of("Rocks")] = ontology.id_of("Landscape")
    return ontology.colorize(labels)


def drive(client, eyes, image, condition):
    """The cameras send in turn, at about 20 Hz, until something holds."""

    def send():
        for eye in eyes:
            stamp = client.now_ns()
            client.send_odometry(stamp)
            eye.send(image, stamp)

    client.until(send, condition, again_s=0.05)


def sectors(client):
    """How many cells are known ahead, and to the left, in the newest grid."""
    if not client.got["costmap"]:
        return 0, 0
    known = cells(client.got["costmap"][-1]) >= 0
    y, x = np.indices(known.shape) - 99.5  # the vehicle is in the middle
    return int((known & (x > 2 * abs(y))).sum()), int((known & (y > 2 * abs(x))).sum())


def both(client):
    return min(sectors(client)) > 300


def component(client, name):
    return client.status().get(name, (-1, "", {}))


@pytest.fixture(autouse=True)
def works(client, eyes, image):
    """Before each test both cameras map."""
    client.got["costmap"].clear()
    drive(client, eyes.values(), image, lambda: both(client))


def test_each_camera_has_its_own_labels_and_both_fill_one_costmap(client, eyes, image, ontology):
    wanted = {"/front/labels", "/left/confidence", "/left/overlay", "/front/points", "/left/camera_info_out"}

    def names():
        return {name for name, _ in client.node.get_topic_names_and_types()}

    assert client.spin_until(lambda: wanted <= names())
    assert "/labels" not in names()
    for name, eye in eyes.items():
        eye.labels.clear()
        sent = []
        client.until(
            lambda e=eye, s=sent: s.append(e.send(image, client.now_ns())),
            lambda e=eye, s=sent: bool(e.answered() & set(s)),
        )
        assert {m.header.frame_id for m in eye.labels} == {f"{name}_optical_frame"}
    assert not [e for e in eyes.values() if e.answered() - e.sent]

    def publishers():
        return {p.node_name for p in client.node.get_publishers_info_by_topic("/costmap")}

    assert client.spin_until(lambda: publishers() == {"perception"}), publishers()


def test_a_dead_camera_is_named_and_its_sector_goes_unknown_while_the_other_goes_on(client, eyes, image):
    before = sectors(client)[0]
    drive(client, [eyes["front"]], image, lambda: sectors(client)[1] == 0)
    assert sectors(client)[0] > 0.9 * before

    def left_is_told():
        level, message, _ = component(client, "camera left")
        return level == 2 and "no usable image" in message and component(client, "camera front")[0] == 0

    drive(client, [eyes["front"]], image, left_is_told)
    assert sectors(client)[0] > 0.9 * before
    drive(client, eyes.values(), image, lambda: both(client) and component(client, "camera left")[0] == 0)


def test_a_camera_whose_images_are_rubbish_is_dead_too(client, eyes, image):
    def rubbish_and_good():
        eyes["left"].send(image, client.now_ns(), encoding="ultraviolet")
        level, message, values = component(client, "camera left")
        counted = int(values.get("dropped.bad_image", 0)) > 0
        return sectors(client)[1] == 0 and level == 2 and "ultraviolet" in message and counted

    drive(client, [eyes["front"]], image, rubbish_and_good)
    assert "dropped.bad_image" not in component(client, "camera front")[2]


def test_a_covered_camera_is_dead_too_and_comes_back_when_it_is_clear(client, eyes, image):
    before = sectors(client)[0]
    covered = np.full_like(image, 120)

    def covered_and_good():
        level, message, values = component(client, "camera left")
        told = level == 2 and "no usable image" in message and "the picture shows nothing" in message
        return sectors(client)[1] == 0 and told and int(values.get("dropped.blind", 0)) > 0

    def send():
        for name, picture in (("front", image), ("left", covered)):
            stamp = client.now_ns()
            client.send_odometry(stamp)
            eyes[name].send(picture, stamp)

    client.until(send, covered_and_good, again_s=0.05)
    assert sectors(client)[0] > 0.9 * before
    assert component(client, "camera front")[0] == 0
    assert "dropped.blind" not in component(client, "camera front")[2]
    drive(client, eyes.values(), image, lambda: both(client) and component(client, "camera left")[0] == 0)


def test_when_all_are_dead_everything_is_unknown(client):
    assert client.spin_until(lambda: sectors(client) == (0, 0))
    client.wait_status("camera front", lambda level, *_: level == 2)
    client.wait_status("camera left", lambda level, *_: level == 2)


def test_each_camera_has_its_own_depth(domain, bundle, image, tmp_path):
    """One camera's depth stops: its sector goes unknown, for neither the plane nor the other's depth takes its place."""
    options = ["--namespace", "deep", "--param", "cameras=[front, left]", "--param", "projection=depth"]
    stall = ["--param", f"stall_timeout={STALL_S}", "--param", "tf_timeout=0.4"]
    arguments = ["--bundle", str(bundle.path), *mounts(), *options, *stall]
    with running_node(arguments, tmp_path / "log"), Client(listen=(), namespace="deep") as client:
        depths = {name: client.node.create_publisher(Image, f"{name}/depth", RELIABLE) for name in YAW}
        eyes = {name: Eye(client, name) for name in YAW}
        assert client.spin_until(
            lambda: (
                all(eye.ready() for eye in eyes.values())
                and all(d.get_subscription_count() for d in depths.values())
            )
        )

        def until(condition, with_depth):
            def send():
                for name, eye in eyes.items():
                    stamp = client.now_ns()
                    client.send_odometry(stamp)
                    if name in with_depth:
                        depths[name].publish(plain_depth(stamp, f"{name}_optical_frame"))
                    eye.send(image, stamp)

            client.until(send, condition, again_s=0.05)

        until(lambda: both(client), YAW)
        before = sectors(client)[0]
        # The first images may have come before the first depth.
        not_found = client.drops_by_now("camera front", "no_depth")
        until(lambda: both(client), YAW)
        until(lambda: sectors(client)[1] == 0, {"front"})
        assert sectors(client)[0] > 0.9 * before
        values = client.wait_status("camera left", lambda _lv, _m, v: "dropped.no_depth" in v)[2]
        assert "no depth image within" in values["dropped.no_depth.reason"]
        assert client.drops("camera front", "no_depth") == not_found
        until(lambda: sectors(client)[0] == 0 and sectors(client)[1] > 300, {"left"})
        until(lambda: both(client), YAW)


def test_a_fast_camera_does_not_starve_a_slow_one(client, eyes, image):
    left = eyes["left"]

    def share_answered():
        """Of the slow camera's images, while the fast one sends six times as many."""
        asked = set()
        for i in range(60):
            client.send_odometry(client.now_ns())
            eyes["front"].send(image, client.now_ns())
            if i % 6 == 0:
                asked.add(left.send(image, client.now_ns()))
            client.spin(0.01)
        client.spin_until(lambda: asked <= left.answered(), 1.0)
        return len(left.answered() & asked) / len(asked)

    # A machine that is busy with something else may lose some, once; a camera that starves gets none, each time.
    shares = []
    client.until(lambda: shares.append(share_answered()), lambda: shares[-1] >= 0.8, again_s=0.0)


def test_frames_that_come_in_another_order_than_the_stamps_of_two_cameras_all_count(client, eyes, image):
    """The left camera's driver takes longer: its images are older than the front's that came before."""
    client.got["costmap"].clear()
    late = set()

    def send():
        stamp = client.now_ns()
        client.send_odometry(stamp - 100_000_000)
        client.send_odometry(stamp)
        eyes["front"].send(image, stamp)
        client.spin(0.03)
        late.add(eyes["left"].send(image, stamp - 100_000_000))

    client.until(send, lambda: len(eyes["left"].answered() & late) >= 8 and both(client), again_s=0.03)
    stamps = [stamp_ns(m.header) for m in client.got["costmap"]]
    assert stamps == sorted(stamps)  # the grid's is that of the newest image in it


def test_a_mount_of_a_camera_that_is_not_there_is_refused_by_name(domain, bundle, tmp_path):
    arguments = ["--bundle", str(bundle.path), "--namespace", "other", "--param", "cameras=[front, left]"]
    node = NodeProcess([*arguments, "--param", "camera_mount.right.z=1.0"], tmp_path / "log")
    try:
        assert "camera_mount.right.z" in node.wait_for("mend:")
        assert "configure failed" in node.log.read_text()
    finally:
        node.end()
