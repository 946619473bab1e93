# SPDX-License-Identifier: Apache-2.0
"""The live view of a replay: a real WebSocket client, real frames, and nobody who has to wait."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest

pytest.importorskip("foxglove", reason="foxglove-sdk is not installed")
pytest.importorskip("aiohttp", reason="aiohttp is not installed")

from offroad_seg.mapping.cloud import POINT
from offroad_seg.ontology import load_ontology
from offroad_seg.replay.bag import BagMessage
from offroad_seg.replay.frames import BagFrame, Drop
from offroad_seg.replay.live import LiveView, paced
from offroad_seg.replay.live_messages import MAX_POINTS, MAX_WIDTH
from offroad_seg.replay.live_server import BACKLOG, LiveServer
from offroad_seg.transforms import Transform
from offroad_seg.types import Costmap, Frame, GridSpec, Perception, Segmentation
from tests.helpers.layouts import FOLDER, OF_VIEW, layout_of
from tests.helpers.viewer import Viewer, packed, picture, stamp

HEIGHT, WIDTH = 60, 96
GRID = GridSpec(30, 20, 0.5, -3.0, 4.0)
ALL = ("/image", "/labels", "/overlay", "/confidence", "/costmap", "/points", "/tf")


@pytest.fixture(scope="module")
def ontology():
    return load_ontology("duality_desert")


@pytest.fixture
def server():
    with LiveServer(port=0) as server:
        yield server


def result(index: int, height: int = HEIGHT, width: int = WIDTH, *, back: bool = False, noise: bool = False):
    rng = np.random.default_rng(index)
    ramp = np.linspace(0, 200, width)[None, :, None] + np.array([0.0, 20.0, 40.0])
    at = 10**18 + index * 10**8
    image = np.broadcast_to(ramp, (height, width, 3)).astype(np.uint8)
    if noise:
        image = rng.integers(0, 256, image.shape, np.uint8)
    labels = np.full((height, width), index % 10, np.uint8)
    labels[: height // 2] = 255
    segmentation = Segmentation(labels, np.full((height, width), 200, np.uint8), at, "optical", 0.8)
    cost = np.full((GRID.height, GRID.width), -1, np.int8)
    cost[3, 7] = 100
    pose = Transform.from_rpy(0, 0, 0.5, (1.0 + index, 2.0, 0.0))
    frame = BagFrame(
        index, Frame(image, at, "optical"), BagMessage("/image", "x", at, b""),
        Transform.identity(), pose, "", None, time_ran_back=back,
    )  # fmt: skip
    return frame, Perception(segmentation, None, Costmap(cost, GRID, "odom", at))


def points(*_):
    made = np.zeros((HEIGHT, WIDTH), POINT)
    made["z"] = np.nan
    made[-1]["x"], made[-1]["z"], made[-1]["label"], made[-1]["confidence"] = 1.5, 4.0, 3, 90
    return made


def view(server, ontology, points_of=points):
    return LiveView(server, ontology, odom_frame="odom", base_frame="base_link", points_of=points_of)


def test_a_viewer_gets_every_topic_with_its_schema(server, ontology):
    with Viewer(server.url, *ALL) as viewer, view(server, ontology) as live:
        viewer.wait(lambda: all(server.wanted(t[1:]) for t in ALL))
        frame, perception = result(3)
        assert list(live.tap([(frame, perception), Drop(4, 0, "bad_image", "x")])) == [
            (frame, perception), Drop(4, 0, "bad_image", "x"),
        ]  # fmt: skip
        viewer.wait_for(*ALL)
    schemas = {topic: channel["schemaName"] for topic, channel in viewer.channels.items()}
    image = "foxglove.CompressedImage"
    assert schemas == {
        "/image": image, "/labels": image, "/overlay": image, "/confidence": image, "/costmap": "foxglove.Grid",
        "/points": "foxglove.PointCloud", "/tf": "foxglove.FrameTransforms",
    }  # fmt: skip
    at = frame.frame.stamp_ns
    for topic in ALL[:-1]:
        log_time, message = viewer.got[topic][-1]
        assert log_time == stamp(message) == at
        assert message.frame_id == ("odom" if topic == "/costmap" else "optical")
    labels = picture(viewer.newest("/labels"))
    np.testing.assert_array_equal(labels, ontology.colorize(perception.segmentation.labels_HW))
    assert (labels[0] == 0).all()
    assert not (labels[-1] == 0).all()
    shown = picture(viewer.newest("/image")).astype(int)
    assert np.abs(shown - frame.frame.image_HWC).max() < 12
    assert np.abs(picture(viewer.newest("/confidence")).astype(int) - 200).max() <= 2
    assert picture(viewer.newest("/overlay")).shape == (HEIGHT, WIDTH, 3)


def test_the_layout_for_it_shows_what_is_sent(server, repo_root):
    layout = layout_of(repo_root / FOLDER / OF_VIEW)
    with Viewer(server.url, *ALL) as viewer:
        viewer.wait(lambda: all(server.wanted(t[1:]) for t in ALL))
    schemas = {topic: channel["schemaName"] for topic, channel in viewer.channels.items()}
    assert {topic for topic, _ in layout.topics} == set(ALL) - {"/tf"}
    for topic, kinds in layout.topics:
        assert schemas[topic] in kinds, topic


def test_the_costmap_says_unknown_as_transparent(server, ontology):
    with Viewer(server.url, "/costmap") as viewer, view(server, ontology) as live:
        viewer.wait(server.any_wanted)
        live.offer(*result(0))
        viewer.wait_for("/costmap")
    grid = viewer.newest("/costmap")
    cells = packed(grid, grid.cell_stride).reshape(-1, grid.column_count)
    assert cells.shape == (GRID.height, GRID.width)
    assert grid.row_stride == grid.cell_stride * GRID.width
    assert (grid.cell_size.x, grid.pose.position.x, grid.pose.position.y) == (0.5, -3.0, 4.0)
    assert cells["cost"][3, 7] == 100
    assert cells["alpha"][3, 7] == 255
    others = np.ones(cells.shape, bool)
    others[3, 7] = False
    assert set(cells["cost"][others]) == {-1}
    assert set(cells["alpha"][others]) == {0}


def test_points_and_transforms_are_those_of_the_frame(server, ontology):
    with Viewer(server.url, "/points", "/tf") as viewer, view(server, ontology) as live:
        viewer.wait(lambda: server.wanted("points") and server.wanted("tf"))
        live.offer(*result(2))
        viewer.wait_for("/points", "/tf")
    cloud = packed(viewer.newest("/points"), viewer.newest("/points").point_stride)
    assert len(cloud) == WIDTH
    assert {tuple(p) for p in cloud[["x", "z", "label", "confidence", "alpha"]]} == {(1.5, 4.0, 3, 90, 255)}
    assert tuple(cloud[0][["red", "green", "blue"]]) == ontology.classes[3].color
    first, second = viewer.newest("/tf").transforms
    assert (first.parent_frame_id, first.child_frame_id) == ("odom", "base_link")
    assert (first.translation.x, first.translation.y) == (3.0, 2.0)
    assert first.rotation.z == pytest.approx(np.sin(0.25))
    assert (second.parent_frame_id, second.child_frame_id) == ("base_link", "optical")


def test_large_pictures_and_clouds_are_reduced(server, ontology):
    def many(*_):
        made = np.zeros((600, 2000), POINT)
        made["z"] = 1.0
        return made

    with Viewer(server.url, "/points", "/labels", "/image") as viewer, view(server, ontology, many) as live:
        viewer.wait(lambda: all(server.wanted(t) for t in ("points", "labels", "image")))
        live.offer(*result(1, 600, 2000))
        viewer.wait_for("/points", "/labels", "/image")
    assert picture(viewer.newest("/image")).shape == (384, MAX_WIDTH, 3)
    assert {tuple(c) for c in picture(viewer.newest("/labels")).reshape(-1, 3)} == {
        (0, 0, 0), tuple(ontology.classes[1].color),
    }  # fmt: skip
    cloud = viewer.newest("/points")
    assert MAX_POINTS / 2 < len(packed(cloud, cloud.point_stride)) <= MAX_POINTS


def test_while_nobody_looks_nothing_is_made(server, ontology):
    asked = []
    with view(server, ontology, lambda *_: asked.append(1)) as live:
        for index in range(5):
            live.offer(*result(index))
    assert live.sent == 0
    assert asked == []


def test_a_viewer_that_comes_late_gets_the_last_costmap(server, ontology):
    with view(server, ontology) as live, Viewer(server.url, "/image") as viewer:
        viewer.wait(server.any_wanted)
        live.offer(*result(5))
        viewer.wait_for("/image")
        with Viewer(server.url, "/costmap", "/tf", "/labels") as late:
            late.wait_for("/costmap", "/tf")
            assert stamp(late.newest("/costmap")) == result(5)[0].frame.stamp_ns
            assert "/labels" not in late.got


def test_a_viewer_that_reads_nothing_holds_nobody_up(server, ontology):
    """It is cut down to the backlog, and another one at its side gets the newest frame."""
    size = (400, 640)
    with Viewer(server.url, *ALL, slow=True) as slow, view(server, ontology) as live:
        slow.wait(lambda: server.wanted("overlay"))
        with Viewer(server.url, "/image") as quick:
            quick.wait(lambda: bool(quick.channels))
            for index in range(60):
                before = live.sent
                live.offer(*result(index, *size, noise=True))
                quick.wait(lambda n=before: live.sent > n)
            last = result(59)[0].frame.stamp_ns
            quick.wait(lambda: bool(quick.got.get("/image")) and quick.got["/image"][-1][0] == last)
        slow._slow = False
        slow.wait(lambda: bool(slow.got.get("/costmap")) and slow.got["/costmap"][-1][0] == last)
        time.sleep(0.2)
    stamps = [t for t, _ in slow.got["/overlay"]]
    assert stamps[-1] == last
    assert len(stamps) < 60, "nothing was dropped: the sockets took everything, the test shows nothing"


def test_frames_faster_than_the_encoder_are_replaced(server, ontology, monkeypatch):
    gate = threading.Event()
    with Viewer(server.url, "/image") as viewer, view(server, ontology) as live:
        viewer.wait(server.any_wanted)
        show = live._show
        monkeypatch.setattr(live, "_show", lambda *a: (gate.wait(60), show(*a)))
        for index in range(50):
            live.offer(*result(index))
        gate.set()
        viewer.wait(
            lambda: (
                bool(viewer.got.get("/image")) and viewer.got["/image"][-1][0] == result(49)[0].frame.stamp_ns
            )
        )
    assert live.sent <= 3


def test_what_is_shown_is_a_copy(server, ontology):
    """The pipeline's buffers are used again while a frame waits to be encoded."""
    gate = threading.Event()
    with Viewer(server.url, "/labels") as viewer, view(server, ontology) as live:
        viewer.wait(server.any_wanted)
        show = live._show
        live._show = lambda *a: (gate.wait(60), show(*a))
        frame, perception = result(1)
        live.offer(frame, perception)
        perception.segmentation.labels_HW[:] = 7
        gate.set()
        viewer.wait_for("/labels")
    assert tuple(picture(viewer.newest("/labels"))[-1, 0]) == tuple(ontology.classes[1].color)


def test_time_that_runs_back_clears_what_viewers_have(server, ontology):
    with Viewer(server.url, "/costmap") as viewer, view(server, ontology) as live:
        viewer.wait(server.any_wanted)
        live.offer(*result(9))
        viewer.wait_for("/costmap")
        live.offer(*result(2, back=True))
        viewer.wait_for("/costmap", count=2)
    assert [t for t, _ in viewer.got["/costmap"]] == [result(i)[0].frame.stamp_ns for i in (9, 2)]


def test_pacing_keeps_the_recording_s_speed_and_never_catches_up(monkeypatch):
    now, slept = [100.0], []
    monkeypatch.setattr("offroad_seg.replay.live.time.monotonic", lambda: now[0])

    def sleep(seconds):
        slept.append(round(seconds, 6))
        now[0] += seconds

    monkeypatch.setattr("offroad_seg.replay.live.time.sleep", sleep)
    frames = [result(i)[0] for i in range(4)]
    for index, _ in enumerate(paced(frames, 2.0)):
        if index == 1:
            now[0] += 1.0  # the engine takes long
    assert slept == [0.05, 0.05]


def test_backlog_holds_two_frames():
    assert 2 * (len(ALL) - 1) <= BACKLOG
