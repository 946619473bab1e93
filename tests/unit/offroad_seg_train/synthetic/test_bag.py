# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import pytest
import yaml
from rosbags.highlevel import AnyReader
from rosbags.rosbag2 import Reader
from rosbags.typesys import Stores, get_typestore

from offroad_seg.camera import CameraModel
from offroad_seg.errors import InputError
from offroad_seg.transforms import Transform, TransformBuffer
from offroad_seg_train.synthetic import write_bag
from offroad_seg_train.synthetic.bag import START_NS, TOPICS
from offroad_seg_train.synthetic.drive import base_T_optical

from .conftest import BAG_RATE, BAG_SECONDS, BAG_SIZE

FRAMES = round(BAG_SECONDS * BAG_RATE)


def _ns(stamp):
    return stamp.sec * 1_000_000_000 + stamp.nanosec


@pytest.fixture(scope="module")
def messages(bag):
    """Topic → list of (log time, message)."""
    found = {}
    with AnyReader([bag], default_typestore=get_typestore(Stores.ROS2_JAZZY)) as reader:
        for connection, stamp, raw in reader.messages():
            found.setdefault(connection.topic, []).append(
                (stamp, reader.deserialize(raw, connection.msgtype))
            )
    return found


@pytest.fixture(scope="module")
def transforms(messages):
    buffer = TransformBuffer(cache_s=1e6)
    for topic in ("/tf_static", "/tf"):
        for _, message in messages[topic]:
            for t in message.transforms:
                p, q = t.transform.translation, t.transform.rotation
                value = Transform.from_quaternion((q.x, q.y, q.z, q.w), (p.x, p.y, p.z))
                if topic == "/tf_static":
                    buffer.set_static(t.header.frame_id, t.child_frame_id, value)
                else:
                    buffer.set(t.header.frame_id, t.child_frame_id, _ns(t.header.stamp), value)
    return buffer


def test_topics_and_counts(messages):
    assert set(messages) == set(TOPICS)
    for name in ("image", "camera_info", "depth", "labels_truth"):
        assert len(messages[f"/camera/{name}"]) == FRAMES
    assert len(messages["/odom"]) == len(messages["/tf"]) == FRAMES * 5 + 1
    assert len(messages["/tf_static"]) == len(messages["/ground_truth/costmap"]) == 1


def test_stamps_rise_and_fit_the_messages(messages):
    for topic, entries in messages.items():
        logged = [t for t, _ in entries]
        assert logged == sorted(logged)
        if topic in ("/tf", "/tf_static"):
            stamps = [_ns(m.transforms[0].header.stamp) for _, m in entries]
        else:
            stamps = [_ns(m.header.stamp) for _, m in entries]
        assert stamps == logged
        assert len(set(stamps)) == len(stamps)
    images = [t for t, _ in messages["/camera/image"]]
    assert images[0] == START_NS
    assert np.allclose(np.diff(images), 1e9 / BAG_RATE)
    assert set(images) <= {t for t, _ in messages["/odom"]}


def test_late_subscribers_get_the_static_topics(bag):
    with Reader(bag) as reader:
        durable = {c.topic: c.ext.offered_qos_profiles[0].durability.name for c in reader.connections}
    assert durable["/tf_static"] == durable["/ground_truth/costmap"] == "TRANSIENT_LOCAL"
    assert durable["/camera/image"] == "VOLATILE"


def test_rosbag2_of_humble_can_read_its_metadata(bag):
    """There the offered QoS is a string, and its policies are numbers."""
    metadata = yaml.safe_load((bag / "metadata.yaml").read_text())["rosbag2_bagfile_information"]
    for topic in metadata["topics_with_message_count"]:
        offered = topic["topic_metadata"]["offered_qos_profiles"]
        assert isinstance(offered, str)
        (profile,) = yaml.safe_load(offered)
        for policy in ("history", "reliability", "durability", "liveliness"):
            assert isinstance(profile[policy], int), policy


def test_images_are_whole(messages, ontology):
    width, height = BAG_SIZE
    for topic, encoding, size in (("image", "rgb8", 3), ("depth", "32FC1", 4), ("labels_truth", "mono8", 1)):
        for _, m in messages[f"/camera/{topic}"]:
            assert (m.width, m.height, m.encoding, m.step) == (width, height, encoding, width * size)
            assert len(m.data) == m.step * height
            assert m.header.frame_id == "camera_optical_frame"
    labels = np.concatenate([m.data for _, m in messages["/camera/labels_truth"]])
    assert labels.max() < ontology.n_classes


def test_camera_info_is_a_usable_calibration(messages):
    _, m = messages["/camera/camera_info"][0]
    camera = CameraModel.from_info(m.width, m.height, m.distortion_model, m.d, m.k, image_size=BAG_SIZE[::-1])
    assert camera.D
    assert m.p.reshape(3, 4)[:, :3].tolist() == m.k.reshape(3, 3).tolist()


def test_odometry_and_tf_tell_the_same_pose(messages):
    for (_, odom), (_, tf) in zip(messages["/odom"], messages["/tf"], strict=True):
        edge = tf.transforms[0]
        assert (edge.header.frame_id, edge.child_frame_id) == ("odom", "base_link")
        assert (odom.header.frame_id, odom.child_frame_id) == ("odom", "base_link")
        p, t = odom.pose.pose.position, edge.transform.translation
        assert (p.x, p.y, p.z) == (t.x, t.y, t.z)
        q, r = odom.pose.pose.orientation, edge.transform.rotation
        assert (q.x, q.y, q.z, q.w) == (r.x, r.y, r.z, r.w)
    _, first = messages["/odom"][0]
    position = first.pose.pose.position
    assert (position.x, position.y, position.z) == (0.0, 0.0, 0.0)


def test_twist_is_the_motion_in_the_base_frame(messages, transforms):
    entries = messages["/odom"]
    for k in range(1, len(entries) - 1):
        stamp, m = entries[k]
        dt = (entries[k + 1][0] - stamp) / 1e9
        here = transforms.lookup("odom", "base_link", stamp)
        after = transforms.lookup("odom", "base_link", entries[k + 1][0])
        moved = here.rotation_33.T @ (after.translation_3 - here.translation_3) / dt
        v = m.twist.twist.linear
        assert np.allclose([v.x, v.y, v.z], moved, atol=0.15)
        assert 1.0 < v.x < 5.0


def test_static_chain_is_the_mount(transforms):
    got = transforms.lookup("base_link", "camera_optical_frame", START_NS)
    assert np.allclose(got.rotation_33, base_T_optical().rotation_33, atol=1e-6)
    assert np.allclose(got.translation_3, base_T_optical().translation_3)


def _cells(grid, points):
    """Cost at world places, −1 outside."""
    origin = grid.info.origin.position
    i = np.floor((points[:, 0] - origin.x) / grid.info.resolution).astype(int)
    j = np.floor((points[:, 1] - origin.y) / grid.info.resolution).astype(int)
    inside = (i >= 0) & (j >= 0) & (i < grid.info.width) & (j < grid.info.height)
    cost = np.full(len(points), -1)
    data = np.asarray(grid.data).reshape(grid.info.height, grid.info.width)
    cost[inside] = data[j[inside], i[inside]]
    return cost


def test_camera_depth_tf_and_grid_agree(messages, transforms, ontology):
    """Pixels carried into odom by depth, calibration and tf (with pitch and roll) meet the grid's own costs."""
    _, info = messages["/camera/camera_info"][0]
    camera = CameraModel.from_info(info.width, info.height, info.distortion_model, info.d, info.k)
    _, grid = messages["/ground_truth/costmap"][0]
    assert grid.header.frame_id == "odom"
    v, u = np.mgrid[0 : camera.height, 0 : camera.width]
    rays = camera.rays(np.stack([u.ravel(), v.ravel()], -1).astype(float))
    rays /= rays[:, 2:]
    expected, got = [], []
    for (stamp, depth), (_, label) in zip(
        messages["/camera/depth"], messages["/camera/labels_truth"], strict=True
    ):
        z = np.frombuffer(depth.data.tobytes(), np.float32)
        near = z < 12.0
        points = transforms.lookup("odom", "camera_optical_frame", stamp).apply(
            rays[near] * z[near, None].astype(float)
        )
        ids = label.data[near]
        keep = np.isin(
            ids, [ontology.id_of("Landscape"), ontology.id_of("Dry Grass"), ontology.id_of("Rocks")]
        )
        expected.append(ontology.costs_256[ids[keep]])
        got.append(_cells(grid, points[keep]))
    expected, got = np.concatenate(expected), np.concatenate(got)
    assert len(expected) > 5000
    # A cell may hold something dearer than what a pixel in it shows, hardly ever something cheaper.
    assert (got == expected).mean() > 0.85
    assert (got >= expected).mean() > 0.97
    for cost in np.unique(expected):
        assert (got[expected == cost] == cost).mean() > 0.7


def test_single_file_and_overwrite(tmp_path, bag):
    path = tmp_path / "drive.mcap"
    path.write_bytes(b"old")
    with pytest.raises(InputError, match="exists"):
        write_bag(path, 1.0, 1.0, 4, *BAG_SIZE, progress=False, workers=1)
    assert path.read_bytes() == b"old"
    write_bag(path, 1.0, 1.0, 4, *BAG_SIZE, progress=False, workers=1, overwrite=True)
    with Reader(path) as reader:
        assert {c.topic for c in reader.connections} == set(TOPICS)
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_is_no_bag_is_never_replaced(tmp_path):
    (tmp_path / "thesis.txt").write_text("precious")
    with pytest.raises(InputError, match="not a bag"):
        write_bag(tmp_path, 1.0, 1.0, 0, *BAG_SIZE, progress=False, workers=1, overwrite=True)
    assert (tmp_path / "thesis.txt").read_text() == "precious"


@pytest.mark.parametrize("wrong", [{"seconds": 0}, {"rate_hz": -1}, {"seed": -2}, {"width": 3}])
def test_numbers_that_make_no_sense_are_refused(tmp_path, wrong):
    good = {
        "seconds": 1.0,
        "rate_hz": 2.0,
        "seed": 0,
        "width": 64,
        "height": 48,
        "progress": False,
        "workers": 1,
    }
    with pytest.raises(InputError):
        write_bag(tmp_path / "bag", **{**good, **wrong})
    assert not any(tmp_path.iterdir())
