# SPDX-License-Identifier: Apache-2.0
"""What the node publishes for Nav2, over real DDS, held against the rules of the consumers in ``config/nav2/``."""

from __future__ import annotations

import math

import numpy as np
import pytest
import yaml

pytest.importorskip("rclpy", reason="ROS 2 is not installed")
pytest.importorskip("vision_msgs.msg", reason="vision_msgs is not built: make interfaces")
pytest.importorskip("nav2_msgs.msg", reason="nav2_msgs is not built: make interfaces")

from nav2_msgs.msg import Costmap as RawCostmap
from sensor_msgs.msg import CameraInfo, PointCloud2
from vision_msgs.msg import LabelInfo

from offroad_seg.mapping.cloud import POINT
from offroad_seg.sensor_messages import camera_from_info, stamp_ns
from tests.helpers import scene
from tests.helpers.ros_client import LATCHED, Client, cells, pixels
from tests.helpers.ros_process import running_node
from tests.helpers.segmentation_layer import SENSOR_DATA, SegmentationLayer

SIZE = (100, 60)  # labels at half the image's size
GROUPS = "groups:\n  ground: [Landscape, Dry Grass]\n  obstacle: [Rocks, Trees]\n"


@pytest.fixture(scope="module")
def image(ontology):
    return scene.scene_image(ontology)


@pytest.fixture(scope="module")
def client(domain, bundle, tmp_path_factory):
    log = tmp_path_factory.mktemp("node") / "log"
    size = f"output_size=[{SIZE[0]}, {SIZE[1]}]"
    arguments = ["--bundle", str(bundle.path), *scene.mount_parameters(), "--param", size]
    with running_node([*arguments, "--param", "tf_timeout=1"], log), Client() as client:
        client.connect()
        client.got.update({"points": [], "label_info": [], "camera_info_out": [], "costmap_raw": []})
        subscribe = client.node.create_subscription
        # As Nav2's layers do.
        subscribe(PointCloud2, "points", client.got["points"].append, SENSOR_DATA)
        subscribe(CameraInfo, "camera_info_out", client.got["camera_info_out"].append, SENSOR_DATA)
        subscribe(RawCostmap, "costmap_raw", client.got["costmap_raw"].append, LATCHED)
        yield client


@pytest.fixture(scope="module")
def answers(client, image):
    """Topic → its message for one and the same image."""
    topics = ("labels", "confidence", "points", "camera_info_out", "costmap", "costmap_raw")
    return client.answers(lambda: client.send_frame(image, scene.CAMERA), *topics, again_s=1.0)


def parameters(repo_root, name):
    text = (repo_root / "config/nav2" / name).read_text(encoding="utf-8")
    return yaml.safe_load(text)


@pytest.fixture(scope="module")
def layer(repo_root):
    given = parameters(repo_root, "semantic_segmentation_layer.yaml")
    costmap = given["local_costmap"]["local_costmap"]["ros__parameters"]
    return SegmentationLayer(costmap["segmentation"], costmap["resolution"])


@pytest.fixture(scope="module")
def names(client, answers):
    """What somebody gets who comes when everything runs."""
    client.node.create_subscription(LabelInfo, "label_info", client.got["label_info"].append, LATCHED)
    assert client.spin_until(lambda: bool(client.got["label_info"]))
    return client.got["label_info"][-1]


def test_names_are_those_of_the_labels_and_reach_who_comes_late(names, ontology):
    assert {c.class_id: c.class_name for c in names.class_map} == dict(enumerate(ontology.names))
    assert names.threshold == pytest.approx(0.35)
    assert names.header.frame_id


def test_the_segmentation_layer_hears_every_topic(client, layer, answers, names):
    assert client.spin_until(lambda: layer.unmatched(client.node) == []), layer.unmatched(client.node)


def test_its_parameters_name_every_class_but_those_that_are_no_ground(layer, names, ontology):
    layer.take_names(names)
    assert layer.not_defined == [c.name for c in ontology.classes if c.cost == "unknown"]
    lethal = {c.name for c in ontology.classes if c.cost == "lethal"}
    assert {n for n, cost in layer.cost_of_name.items() if cost == 254} == lethal


def test_it_marks_the_rock_where_it_stands_and_nothing_behind_it(layer, names, answers, ontology):
    layer.take_names(names)
    tiles = layer.tiles(answers["labels"], answers["confidence"], answers["points"])
    rock, ground = ontology.id_of("Rocks"), ontology.id_of("Landscape")
    assert {tile.label for tile in tiles.values()} == {rock, ground}
    # The optical z of the rock's foot: row 70 of the full image, seen from 1.5 m, 0.3 rad down.
    below = math.atan((69.5 - scene.CAMERA.cy) / scene.CAMERA.fy)
    depth = 1.5 / math.sin(0.3 + below) * math.cos(below)
    rocks = [key[0] * layer.resolution for key, tile in tiles.items() if tile.label == rock]
    assert rocks
    assert all(abs(z - depth) < 0.35 for z in rocks)


def test_points_are_aligned_with_the_labels_and_lie_in_the_cameras_frame(answers):
    cloud, labels = answers["points"], answers["labels"]
    assert (cloud.width, cloud.height) == (labels.width, labels.height) == SIZE
    assert cloud.header == labels.header
    assert not cloud.is_dense
    points = np.frombuffer(cloud.data, POINT).reshape(cloud.height, cloud.width)
    np.testing.assert_array_equal(points["label"], pixels(labels))
    finite = np.isfinite(points["z"])
    assert 0.2 < finite.mean() < 0.9
    assert not finite[: SIZE[1] // 8].any()  # sky
    # Each point is seen where its pixel is.
    camera = camera_from_info(answers["camera_info_out"])
    ground = finite & (
        points["label"] != points["label"][SIZE[1] // 2, SIZE[0] // 3]
    )  # without the rock's feet
    rows, columns = np.nonzero(ground)
    xyz = np.stack([points[name][ground] for name in "xyz"], axis=1).astype(np.float64)
    uv, seen = camera.project(xyz)
    assert seen.all()
    np.testing.assert_allclose(uv, np.stack([columns, rows], axis=1), atol=0.02)


def test_camera_info_out_fits_the_labels(answers):
    info, labels = answers["camera_info_out"], answers["labels"]
    assert info.header == labels.header
    assert camera_from_info(info, (labels.height, labels.width)).fx == pytest.approx(scene.CAMERA.fx / 2)


def test_the_raw_costmap_is_the_grid(answers):
    raw, grid = answers["costmap_raw"], answers["costmap"]
    assert stamp_ns(raw.header) == stamp_ns(grid.header)
    cost = cells(grid)
    values = np.frombuffer(raw.data, np.uint8).reshape(raw.metadata.size_y, raw.metadata.size_x)
    assert ((values == 255) == (cost == -1)).all()
    assert ((values == 254) == (cost == 100)).all()
    assert ((values == 0) == (cost == 0)).all()
    assert (values == 254).any()
    assert raw.metadata.origin == grid.info.origin


def test_the_static_layers_parameters_fit_the_grid(repo_root, answers):
    given = parameters(repo_root, "static_layer.yaml")["local_costmap"]["local_costmap"]["ros__parameters"]
    layer, grid = given["perception"], answers["costmap"]
    assert layer["map_topic"] == "/costmap"
    assert (layer["trinary_costmap"], given["track_unknown_space"]) == (False, True)
    # StaticLayer::interpretValue without trinary: value / threshold · 254, −1 is unknown, from the threshold lethal.
    assert layer["lethal_cost_threshold"] == max(cells(grid).max(), 100)
    assert layer["unknown_cost_value"] == cells(grid).min() == -1
    assert given["global_frame"] == grid.header.frame_id
    assert given["resolution"] == pytest.approx(grid.info.resolution)


def test_the_collision_monitor_stops_for_what_is_lethal_or_unknown(repo_root, answers):
    given = parameters(repo_root, "collision_monitor.yaml")["collision_monitor"]["ros__parameters"]
    source = given["perception"]
    assert (source["type"], source["topic"]) == ("costmap", "/costmap_raw")
    values = np.frombuffer(answers["costmap_raw"].data, np.uint8)
    stops = (values >= source["cost_threshold"]) & ((values != 255) | source["treat_unknown_as_obstacle"])
    np.testing.assert_array_equal(stops, np.isin(cells(answers["costmap"]).ravel(), (-1, 100)))


def test_labels_can_be_merged_for_a_consumer(domain, bundle, image, ontology, tmp_path):
    (tmp_path / "groups.yaml").write_text(GROUPS)
    arguments = ["--bundle", str(bundle.path), *scene.mount_parameters(), "--namespace", "other"]
    grouping = ["--param", f"label_grouping={tmp_path / 'groups.yaml'}"]
    remap = [w for t in ("image", "camera_info", "odom", "labels", "costmap", "label_info")
             for w in ("--remap", f"{t}:=/merged/{t}")]  # fmt: skip
    with (
        running_node([*arguments, *grouping, *remap], tmp_path / "log"),
        Client(namespace="merged") as client,
    ):
        client.connect()
        labels = client.reply(image, scene.CAMERA)
        info: list = []
        client.node.create_subscription(LabelInfo, "label_info", info.append, LATCHED)
        assert client.spin_until(lambda: bool(info))
        grid = client.reply(image, scene.CAMERA, "costmap")
    assert {c.class_id: c.class_name for c in info[0].class_map} == {0: "ground", 1: "obstacle"}
    truth = scene.scene_labels(ontology)
    seen = pixels(labels)
    assert set(np.unique(seen)) == {0, 1, 255}
    assert (seen[truth == ontology.id_of("Rocks")] == 1).mean() > 0.9
    assert (seen[:15] == 255).all()  # sky is in no group
    assert (cells(grid) == 100).any()  # the costmap still knows every class
