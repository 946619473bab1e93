# SPDX-License-Identifier: Apache-2.0
"""The graph of the really running node against what speaks of it: SROS 2 policy, RViz set-up, Foxglove layout."""

from __future__ import annotations

from importlib.util import find_spec

import pytest

pytest.importorskip("rclpy", reason="ROS 2 is not installed")

from tests.helpers import scene
from tests.helpers.layouts import FOLDER, OF_NODE, layout_of
from tests.helpers.node_fixtures import bundle, domain, ontology  # noqa: F401
from tests.helpers.node_graph import Graph, graph_of, policy_of, rviz_topics
from tests.helpers.ros_client import Client
from tests.helpers.ros_process import running_node

# Topics that are there only where their package is installed.
OPTIONAL = {
    "vision_msgs": {"/label_info", "/front/label_info", "/left/label_info", "/right/label_info"},
    "nav2_msgs": {"/costmap_raw"},
    "tf2_msgs": {"/tf", "/tf_static"},
    "bond": {"/bond"},
}
MISSING = {topic for package, topics in OPTIONAL.items() if find_spec(package) is None for topic in topics}


@pytest.fixture(scope="module")
def client(domain, bundle, ontology, tmp_path_factory):  # noqa: F811
    """A node that works, all its outputs asked for."""
    log = tmp_path_factory.mktemp("node") / "log"
    arguments = ["--bundle", str(bundle.path), *scene.mount_parameters(), "--param", "tf_timeout=1"]
    with running_node(arguments, log), Client() as client:
        client.connect()
        for _ in range(3):
            client.reply(scene.scene_image(ontology), scene.CAMERA, "costmap")
        yield client


@pytest.fixture(scope="module")
def graph(client):
    return whole_graph(client)


def whole_graph(client, namespace=""):
    """The node's graph when nothing has been added for two seconds: what ends where is told piece by piece."""
    seen = [Graph({}, {}, {}, {})]

    def settled():
        # Its subscriptions come when it is activated, the last of all.
        return "/odom" in seen[-1].subscribes and seen[-1] == seen[-2]

    def look():
        seen.append(graph_of(client.node, namespace))

    client.until(look, settled, again_s=2.0)
    return seen[-1]


def graph_with(bundle, tmp_path, *parameters):  # noqa: F811
    """Of a node that has other parameters."""
    options = [word for parameter in parameters for word in ("--param", parameter)]
    arguments = ["--bundle", str(bundle.path), "--namespace", "other", *options]
    with running_node(arguments, tmp_path / "log"), Client() as client:
        return whole_graph(client, "/other")


@pytest.fixture(scope="module")
def policy_file(repo_root):
    return repo_root / "config/sros2/offroad_seg.policy.xml"


def exercised(graphs):
    """``topics publish`` … → what some node of these does."""
    return {
        "topics publish": set().union(*(g.publishes for g in graphs)),
        "topics subscribe": set().union(*(g.subscribes for g in graphs)),
        "services reply": set().union(*(g.serves for g in graphs)),
        "services request": set().union(*(g.calls for g in graphs)),
    }


def beyond(policy, done):
    """What is allowed and no node does, but for want of a package."""
    return {
        verb: names - done[verb] - MISSING for verb, names in policy.items() if names - done[verb] - MISSING
    }


def forbidden(policy, done):
    """What a node does and is not allowed to."""
    return {
        verb: names - policy.get(verb, set())
        for verb, names in done.items()
        if names - policy.get(verb, set())
    }


def test_the_policy_allows_what_the_node_does_and_nothing_else(policy_file, graph, bundle, tmp_path):  # noqa: F811
    other = graph_with(
        bundle,
        tmp_path,
        "image_transport=compressed",
        "projection=depth",
        "use_sim_time=true",
        "attitude=imu",
    )
    policy = policy_of(policy_file, "/offroad_seg/perception")
    done = exercised([graph, other])
    assert forbidden(policy, done) == {}
    assert beyond(policy, done) == {}


def test_the_policy_for_several_cameras_too(policy_file, bundle, tmp_path):  # noqa: F811
    cameras = "cameras=[front, left, right]"
    (tmp_path / "raw").mkdir()
    raw = graph_with(bundle, tmp_path / "raw", cameras, "projection=depth", "use_sim_time=true")
    compressed = graph_with(bundle, tmp_path, cameras, "image_transport=compressed", "attitude=imu")
    policy = policy_of(policy_file, "/offroad_seg/multi_camera")
    done = exercised([raw, compressed])
    assert forbidden(policy, done) == {}
    assert beyond(policy, done) == {}


def test_a_topic_more_or_less_would_be_noticed(policy_file, graph):
    policy = policy_of(policy_file, "/offroad_seg/perception")
    done = exercised([graph])
    policy["topics publish"] = (policy["topics publish"] - {"/costmap"}) | {"/cmd_vel"}
    assert forbidden(policy, done) == {"topics publish": {"/costmap"}}
    assert "/cmd_vel" in beyond(policy, done)["topics publish"]


def test_rviz_shows_topics_that_are_there_in_their_types(repo_root, graph, client):
    shown = list(rviz_topics(repo_root / "config/rviz/offroad_seg.rviz"))
    assert {topic for topic, _, _ in shown} >= {"costmap", "overlay", "points", "odom"}
    there = {**graph.publishes, **graph.subscribes}
    for topic, kind, qos in shown:
        assert there[f"/{topic}"] == kind
        if f"/{topic}" not in graph.publishes:
            continue
        (offered,) = [i.qos_profile for i in client.node.get_publishers_info_by_topic(f"/{topic}")]
        if qos["Reliability Policy"] == "Reliable":
            assert offered.reliability.name == "RELIABLE"
        if qos["Durability Policy"] == "Transient Local":
            assert offered.durability.name == "TRANSIENT_LOCAL"


def test_the_foxglove_layout_shows_topics_that_are_there_in_their_types(repo_root, graph):
    layout = layout_of(repo_root / FOLDER / OF_NODE)
    there = {**graph.publishes, **graph.subscribes}
    asked = {topic for topic, _ in layout.topics}
    assert asked >= {"/overlay", "/confidence", "/costmap", "/points", "/diagnostics"}
    for topic, kinds in layout.topics:
        assert there[topic] in kinds, topic


def test_what_the_layout_plots_is_told(repo_root, client, ontology):  # noqa: F811
    found = layout_of(repo_root / FOLDER / OF_NODE).plotted
    assert len(found) >= 5
    assert {topic for topic, _, _ in found} == {"/diagnostics"}
    assert all(name.startswith("perception: ") for _, name, _ in found)
    plotted = [(name.removeprefix("perception: "), key) for _, name, key in found]

    def not_told():
        status = client.status()
        return [(c, key) for c, key in plotted if key not in status.get(c, (0, "", {}))[2]]

    # What is told is of the last seconds: frames must come.
    frame = scene.scene_image(ontology), scene.CAMERA
    client.until(lambda: client.send_frame(*frame), lambda: not not_told())
    for component, key in plotted:
        float(client.status()[component][2][key])
