# SPDX-License-Identifier: Apache-2.0
"""``offroad-seg view`` and ``replay --view`` as a user runs them, with a real WebSocket client."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from itertools import pairwise

import numpy as np
import pytest

pytest.importorskip("foxglove", reason="foxglove-sdk is not installed")
pytest.importorskip("aiohttp", reason="aiohttp is not installed")

from offroad_seg.cli.main import main
from offroad_seg.ontology import load_ontology
from offroad_seg.replay.evaluation import TIME_KEYS
from tests.helpers.bags import write_bag
from tests.helpers.bundles import make_color_bundle
from tests.helpers.camera_bags import write_two_cameras
from tests.helpers.viewer import Viewer, packed, picture, stamp

HEIGHT, WIDTH = 60, 96
PICTURES = ("/image", "/labels", "/overlay", "/confidence")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    ontology = load_ontology("duality_desert")
    folder = tmp_path_factory.mktemp("view")
    make_color_bundle(folder / "bundle", ontology, HEIGHT, WIDTH)
    write_bag(folder / "short.mcap", ontology, frames=6, rate_hz=10.0, height=HEIGHT, width=WIDTH)
    write_bag(folder / "long.mcap", ontology, frames=150, speed=0.05, height=HEIGHT, width=WIDTH)
    return folder


@contextmanager
def command(*arguments: str, environment=None):
    """``offroad-seg …`` in a process of its own, and where its live view is."""
    process = subprocess.Popen(
        [sys.executable, "-m", "offroad_seg.cli.main", *arguments],
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env={**os.environ, **(environment or {})},
        # A test that runs in the background has it ignored, and so would its child.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip
    try:
        head = ""
        while not (found := re.search(r"ws://127\.0\.0\.1:\d+", head)):
            line = process.stderr.readline()
            assert line, head
            head += line
        yield process, found[0]
    finally:
        if process.poll() is None:
            process.kill()
        process.stderr.close()
        process.wait(60)


def test_a_bundle_on_a_bag_is_watched_at_the_recording_s_speed(place):
    arguments = ("view", str(place / "bundle"), str(place / "short.mcap"), "--port", "0")
    with command(*arguments) as (process, url):
        time.sleep(0.5)
        assert process.poll() is None, "it did not wait for a viewer"
        with Viewer(url, *PICTURES, "/costmap", "/points", "/tf") as viewer:
            viewer.wait_for(*PICTURES, "/costmap", "/points", "/tf", count=3)
            assert process.wait(120) == 0
    stamps = [t for t, _ in viewer.got["/labels"]]
    assert stamps == sorted(set(stamps))
    ontology = load_ontology("duality_desert")
    colors = {tuple(c) for c in picture(viewer.newest("/labels")).reshape(-1, 3)}
    assert colors == {
        ontology.classes[ontology.id_of(n)].color for n in ("Sky", "Landscape", "Dry Grass", "Rocks")
    }
    grid = viewer.newest("/costmap")
    assert {-1, 100} <= set(packed(grid, grid.cell_stride)["cost"])
    frames = {t.child_frame_id for t in viewer.newest("/tf").transforms}
    assert frames == {"base_link", "camera_optical_frame"}
    assert viewer.newest("/points").frame_id == "camera_optical_frame"
    assert len(packed(viewer.newest("/points"), viewer.newest("/points").point_stride)) > 100


def test_a_bag_in_a_loop_begins_again_until_it_is_interrupted(place):
    words = ("view", str(place / "bundle"), str(place / "short.mcap"), "--port", "0", "--rate", "2", "--loop")
    with command(*words) as (process, url), Viewer(url, "/labels", "/costmap") as viewer:
        viewer.wait_for("/labels", "/costmap", count=14)
        process.send_signal(signal.SIGINT)
        assert process.wait(120) == 130
    stamps = [t for t, _ in viewer.got["/costmap"]]
    assert sum(later < earlier for earlier, later in pairwise(stamps)) >= 1


def test_each_of_two_cameras_has_its_pictures(place):
    write_two_cameras(place / "two", load_ontology("duality_desert"), frames=6, rate_hz=10.0)
    topics = [w for name in ("left", "right") for w in ("--topic", f"/{name}/image_raw")]
    own = ("/left/labels", "/right/labels", "/left/points", "/right/points", "/costmap")
    with (
        command("view", str(place / "bundle"), str(place / "two"), *topics, "--port", "0") as (process, url),
        Viewer(url, *own) as viewer,
    ):
        viewer.wait_for(*own, count=2)
        assert process.wait(120) == 0
    assert {viewer.newest(f"/{name}/points").frame_id for name in ("left", "right")} == {
        viewer.newest(f"/{name}/labels").frame_id for name in ("left", "right")
    }
    assert viewer.newest("/left/labels").frame_id != viewer.newest("/right/labels").frame_id


def test_a_replay_that_is_watched_gives_the_same_results(place):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    bundle, bag = str(place / "bundle"), str(place / "long.mcap")
    with Viewer(f"ws://127.0.0.1:{port}", *PICTURES, "/costmap", patience_s=200) as viewer:
        done = subprocess.run(
            [sys.executable, "-m", "offroad_seg.cli.main", "replay", bundle, bag, "--out", str(place / "watched"),
             "--view", "--port", str(port)],
            capture_output=True, text=True, timeout=250,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
    assert f"live view at ws://127.0.0.1:{port}" in done.stderr
    for topic in (*PICTURES, "/costmap"):
        assert viewer.got[topic], topic
    assert main(["replay", bundle, bag, "--out", str(place / "alone")]) == 0
    first, second = (
        {
            k: v
            for k, v in json.loads((place / out / "metrics.json").read_text()).items()
            if k not in TIME_KEYS
        }
        for out in ("watched", "alone")
    )
    assert first == second


@pytest.mark.parametrize("words", [["view"], ["replay", "--view", "--out", "nothing"]])
def test_a_taken_port_ends_it_before_anything_is_done(place, capsys, words):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        options = [str(place / w) if w == "nothing" else w for w in words[1:]]
        status = main([words[0], str(place / "bundle"), str(place / "short.mcap"), *options, "--port", port])
    assert status == 2
    text = capsys.readouterr().err
    assert f"port {port} is taken" in text
    assert "--port" in text
    assert not (place / "nothing").exists()


def test_bad_usage_is_said(place, capsys):
    assert main(["view", str(place / "bundle")]) == 2
    assert "there is no BAG" in capsys.readouterr().err
    assert main(["view", str(place / "bundle"), str(place / "short.mcap"), "--rate", "0"]) == 2
    assert "--rate" in capsys.readouterr().err


def test_without_foxglove_sdk_the_extra_is_named(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "foxglove", None)
    assert main(["view"]) == 2
    assert "pip install 'offroad-seg[view]'" in capsys.readouterr().err


def test_a_running_node_is_watched_and_worked_only_while_somebody_looks(tmp_path):
    pytest.importorskip("rclpy", reason="ROS 2 is not installed")
    from tests.helpers import scene
    from tests.helpers.ros_client import Client
    from tests.helpers.ros_process import own_domain, running_node

    ontology = load_ontology("duality_desert")
    bundle = make_color_bundle(tmp_path / "bundle", ontology, 96, 160)
    image = scene.scene_image(ontology)
    arguments = ["--bundle", str(bundle.path), *scene.mount_parameters(), "--namespace", "front"]
    topics = (*PICTURES, "/costmap", "/points")
    with (
        own_domain(),
        running_node(arguments, tmp_path / "log"),
        Client(listen=(), namespace="front") as client,
        command("view", "--namespace", "front", "--port", "0") as (process, url),
    ):
        client.connect()

        def drive(condition) -> None:
            client.until(lambda: client.send_frame(image, scene.CAMERA), condition, again_s=0.08)

        def listeners() -> list[int]:
            topics = ("/labels", "/overlay", "/points")
            return [client.node.count_subscribers(f"/front{topic}") for topic in topics]

        drive(lambda: len(client.got["costmap"]) > 2)
        assert listeners() == [0, 0, 0]
        with Viewer(url, *topics) as viewer:
            drive(lambda: all(len(viewer.got.get(t, [])) >= 3 for t in topics))
            assert listeners() == [1, 1, 1]
            # The bundle's name, and so the colours, come with the node's diagnostics, once a second.
            drive(lambda: np.array_equal(picture(viewer.newest("/labels")), image))
            assert stamp(viewer.newest("/labels")) in range(client.now_ns() - 10**10, client.now_ns())
            assert np.abs(picture(viewer.newest("/image")).astype(int) - image).mean() < 6

            def same_costs():
                grid = viewer.newest("/costmap")
                return set(client.got["costmap"][-1].data) == set(packed(grid, grid.cell_stride)["cost"])

            drive(same_costs)
            # The camera falls silent: the viewer is told that what it sees is old.
            viewer.wait(
                lambda: any("labels" in s["message"] and "old" in s["message"] for s in viewer.status)
            )
        drive(lambda: listeners() == [0, 0, 0])
        process.send_signal(signal.SIGINT)
        assert process.wait(120) == 0
