# SPDX-License-Identifier: Apache-2.0
"""``offroad-seg replay --via-ros``: the real node in another process, over real DDS."""

from __future__ import annotations

import json
import subprocess
import sys
import time

import numpy as np
import psutil
import pytest
from mcap.reader import make_reader
from mcap_ros2.decoder import DecoderFactory

from offroad_seg.cli.main import main
from offroad_seg.ontology import load_ontology
from tests.helpers.bags import write_bag
from tests.helpers.bundles import make_color_bundle
from tests.helpers.ros_process import PATIENCE_S

pytest.importorskip("rclpy", reason="no rclpy here")

FRAMES, HEIGHT, WIDTH = 15, 480, 640


@pytest.fixture(scope="module")
def ontology():
    return load_ontology("duality_desert")


@pytest.fixture(scope="module")
def place(ontology, tmp_path_factory):
    folder = tmp_path_factory.mktemp("via_ros")
    make_color_bundle(folder / "bundle", ontology, 96, 160)
    # Noise makes labels that would differ if any pixel or the letterbox differed.
    write_bag(folder / "drive.mcap", ontology, frames=FRAMES, height=HEIGHT, width=WIDTH, noise=90)
    return folder


def replay(place, bag, out, *options):
    status = main(["replay", str(place / "bundle"), str(place / bag), "--out", str(place / out), *options])
    return status, json.loads((place / out / "metrics.json").read_text()) if status == 0 else {}


def wait_until(condition):
    """Whether it comes true within a time that is enough on a busy machine."""
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.05)
    return False


def outputs(folder, topic):
    """Stamp → message of one topic of annotated.mcap."""
    with (folder / "annotated.mcap").open("rb") as stream:
        reader = make_reader(stream, decoder_factories=[DecoderFactory()])
        messages = [m for _, _, _, m in reader.iter_decoded_messages(topics=[topic])]
    return {m.header.stamp.sec * 10**9 + m.header.stamp.nanosec: m for m in messages}


@pytest.fixture(scope="module")
def both(place):
    offline, via_ros = (
        replay(place, "drive.mcap", "offline"),
        replay(place, "drive.mcap", "via_ros", "--via-ros"),
    )
    assert (offline[0], via_ros[0]) == (0, 0)
    return offline[1], via_ros[1]


def test_every_frame_is_answered_when_the_bag_waits_for_the_node(both):
    _, metrics = both
    assert metrics["mode"] == "via_ros"
    assert metrics["frames"] == FRAMES
    assert metrics["frames_dropped"] == 0
    assert metrics["costmap_frames"] == FRAMES
    assert metrics["node"]["dropped"] == {}
    assert metrics["node"]["stages_ms"]["segment_ms.p50"] > 0
    assert metrics["engine"]["backend"].startswith("onnxruntime")


@pytest.mark.parametrize("topic", ["/labels", "/confidence"])
def test_via_ros_and_offline_agree_on_every_pixel(both, place, topic):
    offline, via_ros = outputs(place / "offline", topic), outputs(place / "via_ros", topic)
    assert list(offline) == list(via_ros)
    assert len(offline) == FRAMES
    for stamp, message in offline.items():
        np.testing.assert_array_equal(
            np.frombuffer(message.data, np.uint8), np.frombuffer(via_ros[stamp].data, np.uint8)
        )
    assert len(np.unique(np.frombuffer(message.data, np.uint8))) > 3


def test_via_ros_and_offline_agree_on_every_cell(both, place):
    offline, via_ros = outputs(place / "offline", "/costmap"), outputs(place / "via_ros", "/costmap")
    assert list(offline) == list(via_ros)
    for stamp, message in offline.items():
        other = via_ros[stamp]
        np.testing.assert_array_equal(np.array(message.data), np.array(other.data))
        assert message.info.origin.position.x == pytest.approx(other.info.origin.position.x, abs=1e-9)
        assert message.info.origin.position.y == pytest.approx(other.info.origin.position.y, abs=1e-9)
    assert (np.array(message.data) >= 0).mean() > 0.05


def test_the_figures_are_the_same(both):
    offline, via_ros = both
    for key in ("miou", "per_class", "ece", "boundary_iou", "flicker", "costmap", "predicted_share"):
        assert offline[key] == via_ros[key], key


def test_compressed_images_and_a_bag_without_tf_or_odometry_topic(place, ontology):
    """The mount is told as parameters and poses come from /tf alone, where tf2_msgs is installed."""
    write_bag(place / "small.mcap", ontology, frames=4, height=60, width=96, compressed=True)
    status, metrics = replay(place, "small.mcap", "small", "--via-ros", "--odom", "none")
    assert status == 0
    assert metrics["frames"] == metrics["costmap_frames"] == 4
    assert metrics["miou_present"] > 0.95


def test_a_camera_mount_given_as_parameters_is_used_both_ways(place, ontology):
    write_bag(place / "bare.mcap", ontology, frames=4, height=60, width=96, tf=False)
    mount = {"x": 0.3, "y": 0.05, "z": 1.1, "pitch": 0.2}
    options = [word for k, v in mount.items() for word in ("--param", f"camera_mount.{k}={v}")]
    first, offline = replay(place, "bare.mcap", "bare_offline", *options)
    second, via_ros = replay(place, "bare.mcap", "bare_via_ros", "--via-ros", *options)
    assert (first, second) == (0, 0)
    assert offline["costmap_frames"] == via_ros["costmap_frames"] == 4
    assert offline["costmap"] == via_ros["costmap"]


def test_at_a_rate_every_frame_is_either_answered_or_counted(place, ontology):
    write_bag(place / "fast.mcap", ontology, frames=60, height=240, width=320, rate_hz=30.0)

    def answered(number):
        status, metrics = replay(place, "fast.mcap", f"fast{number}", "--via-ros", "--rate", "0.5")
        assert status == 0
        assert metrics["frames"] + metrics["frames_dropped"] == 60
        # 2 s of driving at half speed cannot be over sooner than in 3.9 s.
        assert metrics["seconds"] > 3.9
        if metrics["frames"] < 30:
            return False
        assert metrics["miou_present"] > 0.9
        return True

    assert answered(0)


def test_what_the_node_cannot_keep_up_with_is_dropped_and_told(place, ontology):
    """A node that may take 5 frames a second gets 30."""
    write_bag(place / "flood.mcap", ontology, frames=60, height=60, width=96, rate_hz=30.0, truth=False)

    def dropped(number):
        options = ("--via-ros", "--rate", "1", "--param", "max_rate=5.0")
        status, metrics = replay(place, "flood.mcap", f"flood{number}", *options)
        assert status == 0
        assert metrics["frames"] + metrics["frames_dropped"] == 60
        assert metrics["dropped"]["not_answered"]["frames"] == metrics["frames_dropped"]
        return 5 <= metrics["frames"] <= 20 and metrics["node"]["dropped"].get("replaced", 0) > 20

    assert dropped(0)


def test_a_node_that_refuses_the_bundle_is_an_error_with_its_own_words(place, capsys):
    status, _ = replay(place, "drive.mcap", "refused", "--via-ros", "--param", "backend=torch")
    assert status != 0
    said = capsys.readouterr().err
    assert "does not run with torch" in said
    assert not (place / "refused").exists()


def test_no_node_is_left_behind(both):
    children = [p.cmdline() for p in psutil.Process().children(recursive=True)]
    assert [c for c in children if "node" in c] == []


def test_a_killed_replay_takes_its_node_along(place, ontology):
    write_bag(place / "slow.mcap", ontology, frames=40, height=60, width=80)
    words = ["replay", place / "bundle", place / "slow.mcap", "--out", place / "killed"]
    words += ["--via-ros", "--rate", "0.05"]
    command = [sys.executable, "-m", "offroad_seg.cli.main", *map(str, words)]
    with (
        (place / "killed.log").open("w") as log,
        subprocess.Popen(command, stderr=log, stdout=log) as replaying,
    ):

        def nodes():
            """Its children that have become the node."""
            children = psutil.Process(replaying.pid).children() if replaying.poll() is None else []
            return [child for child in children if "node" in child.cmdline()]

        assert wait_until(lambda: nodes() or replaying.poll() is not None)
        assert replaying.poll() is None, (place / "killed.log").read_text()
        (node,) = nodes()
        replaying.kill()
    assert wait_until(lambda: not node.is_running())
