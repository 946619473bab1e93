# SPDX-License-Identifier: Apache-2.0
"""``annotated.mcap``, read back with mcap's own reader and with rosbags."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import yaml
from mcap.reader import make_reader
from mcap.records import Chunk
from mcap.stream_reader import StreamReader
from mcap_ros2.decoder import DecoderFactory
from rosbags.highlevel import AnyReader
from zstandard import ZstdCompressor, ZstdDecompressor

from offroad_seg.cli.main import main
from offroad_seg.ontology import load_ontology
from offroad_seg.replay.annotated import ZSTD_LEVEL
from tests.helpers.bags import MOUNT, camera, write_bag
from tests.helpers.bundles import make_color_bundle
from tests.helpers.camera_bags import write_camera_file
from tests.helpers.layouts import FOLDER, OF_REPLAY, layout_of

pytestmark = pytest.mark.parallel

FRAMES, HEIGHT, WIDTH = 8, 90, 160
BAD = 5


@pytest.fixture(scope="module")
def ontology():
    return load_ontology("duality_desert")


def replay(place, bag, *options, out):
    folder = place / out
    assert main(["replay", str(place / "bundle"), str(bag), "--out", str(folder), *options]) == 0
    return folder / "annotated.mcap"


@pytest.fixture(scope="module")
def place(ontology, tmp_path_factory):
    folder = tmp_path_factory.mktemp("annotated")
    make_color_bundle(folder / "bundle", ontology, HEIGHT, WIDTH)
    return folder


@pytest.fixture(scope="module")
def annotated(place, ontology):
    """Of a drive whose image number ``BAD`` cannot be used."""

    def spoil(message, index):
        if index == BAD:
            message.step = 7

    write_bag(place / "drive.mcap", ontology, frames=FRAMES, height=HEIGHT, width=WIDTH, edit_image=spoil)
    return replay(place, place / "drive.mcap", out="out")


def contents(path):
    """Topic → (type, decoded messages); checks what must hold of every message."""
    found: dict[str, tuple[str, list]] = {}
    last = 0
    with path.open("rb") as stream:
        reader = make_reader(stream, decoder_factories=[DecoderFactory()], validate_crcs=True)
        assert reader.get_header().profile == "ros2"
        assert reader.get_summary().statistics.message_count > 0
        for schema, channel, message, decoded in reader.iter_decoded_messages():
            assert schema.encoding == "ros2msg"
            assert channel.message_encoding == "cdr"
            assert message.log_time >= last
            last = message.log_time
            found.setdefault(channel.topic, (schema.name, []))[1].append(decoded)
    return found


def test_every_topic_has_its_standard_type_and_a_message_for_each_frame(annotated):
    found = contents(annotated)
    assert {topic: name for topic, (name, _) in found.items()} == {
        "/camera/image/compressed": "sensor_msgs/msg/CompressedImage",
        "/camera/camera_info": "sensor_msgs/msg/CameraInfo",
        "/labels": "sensor_msgs/msg/Image",
        "/label_info": "vision_msgs/msg/LabelInfo",
        "/confidence": "sensor_msgs/msg/Image",
        "/overlay/compressed": "sensor_msgs/msg/CompressedImage",
        "/labels_truth": "sensor_msgs/msg/Image",
        "/costmap": "nav_msgs/msg/OccupancyGrid",
        "/ground_truth/costmap": "nav_msgs/msg/OccupancyGrid",
        "/odom": "nav_msgs/msg/Odometry",
        "/diagnostics": "diagnostic_msgs/msg/DiagnosticArray",
        "/tf": "tf2_msgs/msg/TFMessage",
        "/tf_static": "tf2_msgs/msg/TFMessage",
    }
    for topic in ("/camera/image/compressed", "/labels", "/confidence", "/overlay/compressed", "/costmap"):
        assert len(found[topic][1]) == FRAMES - 1, topic
    for topic in ("/camera/camera_info", "/odom", "/tf", "/diagnostics"):
        assert len(found[topic][1]) == FRAMES, topic


def test_labels_pictures_and_grid_are_what_they_say(annotated, ontology):
    found = {topic: messages for topic, (_, messages) in contents(annotated).items()}
    labels, truth = found["/labels"][3], found["/labels_truth"][3]
    assert (labels.height, labels.width, labels.encoding, labels.step) == (HEIGHT, WIDTH, "mono8", WIDTH)
    np.testing.assert_array_equal(np.frombuffer(labels.data, np.uint8), np.frombuffer(truth.data, np.uint8))
    assert labels.header.stamp == truth.header.stamp
    picture = cv2.imdecode(np.frombuffer(found["/overlay/compressed"][3].data, np.uint8), cv2.IMREAD_COLOR)
    assert picture.shape == (HEIGHT, WIDTH, 3)
    grid = found["/costmap"][-1]
    assert len(grid.data) == grid.info.width * grid.info.height
    assert grid.header.frame_id == "odom"
    assert {-1, 5} <= set(grid.data)
    names = {c.class_id: c.class_name for c in found["/label_info"][0].class_map}
    assert names == dict(enumerate(ontology.names))


def test_diagnostics_tell_of_each_frame_and_why_one_gave_nothing(annotated):
    messages = contents(annotated)["/diagnostics"][1]
    told = [{s.name: s for s in message.status} for message in messages]
    good = next(t for t in told if "replay: inference" in t)
    values = {v.key: v.value for v in good["replay: inference"].values}
    assert float(values["engine_ms"]) > 0
    assert 0.9 < float(values["mean_confidence"]) <= 1
    assert 0 < float(good["replay: costmap"].values[0].value) < 1
    (bad,) = [t for t in told if "replay: inference" not in t]
    assert "step is 7" in bad["replay: camera camera"].message
    assert bad["replay: camera camera"].level in (2, b"\x02")


def test_the_layout_for_it_shows_what_is_there(annotated, repo_root):
    layout, found = layout_of(repo_root / FOLDER / OF_REPLAY), contents(annotated)
    asked = {topic for topic, _ in layout.topics}
    assert asked == {"/overlay/compressed", "/confidence", "/costmap", "/odom", "/diagnostics"}
    for topic, kinds in layout.topics:
        assert found[topic][0] in kinds, topic
    told = {(s.name, v.key): v.value for m in found["/diagnostics"][1] for s in m.status for v in s.values}
    assert {topic for topic, _, _ in layout.plotted} == {"/diagnostics"}
    plotted = {(name, key) for _, name, key in layout.plotted}
    # The two that this replay has not: it did not go through the node, and its bundle has no such score.
    assert plotted - set(told) == {("replay: inference", "costmap_ms"), ("replay: inference", "ood_share")}
    for key in plotted & set(told):
        float(told[key])


def test_ros2_bag_play_can_read_it(annotated):
    """rosbag2 asks for the profile, CDR, and the offered QoS of each channel; rosbags reads by the same rules."""
    with annotated.open("rb") as stream:
        channels = make_reader(stream).get_summary().channels.values()
    qos = {c.topic: yaml.safe_load(c.metadata["offered_qos_profiles"]) or [] for c in channels}
    latched = {"/tf_static", "/costmap", "/ground_truth/costmap", "/label_info"}
    assert {topic for topic, profiles in qos.items() if profiles} == latched
    for topic in latched:
        (profile,) = qos[topic]
        # rosbag2 of Humble and Iron reads numbers only.
        policies = ("history", "depth", "reliability", "durability", "liveliness")
        assert [profile[key] for key in policies] == [1, 1, 1, 1, 1], topic
    with AnyReader([annotated]) as reader:
        counts = {c.topic: c.msgcount for c in reader.connections}
    assert counts["/labels"] == FRAMES - 1


def test_a_bag_without_transforms_or_calibration_gets_them(place, ontology):
    """So that a viewer can place costmap and camera: poses from odometry, mount from parameters, camera from a file."""
    bag = place / "bare.mcap"
    write_bag(bag, ontology, frames=3, height=HEIGHT, width=WIDTH, tf=False, camera_info=False)
    file = write_camera_file(place / "camera.yaml", camera(HEIGHT, WIDTH))
    mount = dict(zip(("x", "y", "z", "roll", "pitch", "yaw"), MOUNT, strict=True))
    options = [word for k, v in mount.items() for word in ("--param", f"camera_mount.{k}={v}")]
    found = contents(replay(place, bag, "--camera-info", str(file), *options, out="bare"))
    assert len(found["/camera/camera_info"][1]) == 3
    assert found["/camera/camera_info"][1][0].k[0] == pytest.approx(0.6 * WIDTH)
    (static,) = found["/tf_static"][1]
    assert static.transforms[0].header.frame_id == "base_link"
    assert static.transforms[0].child_frame_id == "camera_optical_frame"
    assert static.transforms[0].transform.translation.z == pytest.approx(MOUNT[2])
    poses = found["/tf"][1]
    assert [p.transforms[0].child_frame_id for p in poses] == ["base_link"] * 3
    assert poses[2].transforms[0].transform.translation.x == pytest.approx(0.4)
    assert len(found["/costmap"][1]) == 3


def test_chunks_are_compressed_at_the_quick_level(annotated):
    """rosbags takes the level from an attribute of its writer: this fails where that one is gone."""
    chunks = []
    with annotated.open("rb") as stream:
        for record in StreamReader(stream, emit_chunks=True).records:
            if isinstance(record, Chunk):
                chunks.append(record)
    assert chunks
    for chunk in chunks:
        assert chunk.compression == "zstd"
        plain = ZstdDecompressor().decompress(chunk.data, max_output_size=chunk.uncompressed_size)
        assert chunk.data == ZstdCompressor(level=ZSTD_LEVEL).compress(plain)
        assert chunk.data != ZstdCompressor().compress(plain)
