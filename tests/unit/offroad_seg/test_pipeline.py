# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from offroad_seg.camera import CameraModel
from offroad_seg.errors import (
    BlindError,
    BundleError,
    EngineError,
    InputError,
    OffroadSegError,
    OntologyError,
)
from offroad_seg.ontology import load_ontology
from offroad_seg.pipeline import STAGES, PipelineSettings, build_pipeline
from offroad_seg.transforms import Transform, camera_mount
from offroad_seg.types import Frame
from tests.helpers.box_world import Box, Scene, segmentation_of
from tests.helpers.bundles import make_color_bundle

ONTOLOGY = load_ontology("duality_desert")
LANDSCAPE, SKY, ROCKS = (ONTOLOGY.id_of(n) for n in ("Landscape", "Sky", "Rocks"))
CAMERA = CameraModel.pinhole(320, 180, 190.0)
MOUNT = camera_mount(0.3, 0.0, 1.2, 0.0, 0.25, 0.0)
SCENE = Scene(LANDSCAPE, SKY, boxes=[Box(4.0, 4.5, -0.4, 0.4, 0.7, ROCKS)])
SETTINGS = PipelineSettings(
    contact_slope=2.0, costmap_width=12.0, costmap_height=8.0, min_evidence=0.1, max_range=7.0
)


def frame(pose: Transform, stamp_ns: int, camera: CameraModel | None = CAMERA) -> Frame:
    picture = ONTOLOGY.colorize(SCENE.render(CAMERA, pose @ MOUNT).labels_HW)
    return Frame(picture, stamp_ns, "camera_optical_frame", camera)


def pose(x: float, pitch: float = 0.0) -> Transform:
    return Transform.from_rpy(0.0, pitch, 0.0, (x, 0.0, 0.0))


def cost_at(costmap, x: float, y: float) -> int:
    grid = costmap.grid
    return int(
        costmap.cost_HW[
            int((y - grid.origin_y) / grid.resolution), int((x - grid.origin_x) / grid.resolution)
        ]
    )


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return make_color_bundle(tmp_path_factory.mktemp("bundle") / "b", ONTOLOGY, 144, 256)


@pytest.fixture
def pipeline(bundle):
    built = build_pipeline(bundle, backend="onnxruntime", device="cpu", threads=1, settings=SETTINGS)
    yield built
    built.close()


def test_frames_become_a_costmap_in_odom(pipeline):
    for k in range(4):
        at = pose(0.2 * k, pitch=0.03 * (-1) ** k)
        result = pipeline.process(frame(at, k * 100_000_000), MOUNT, at)
    assert result.costmap_reason == ""
    costmap = result.costmap
    assert (costmap.frame_id, costmap.stamp_ns) == ("odom", 300_000_000)
    assert costmap.cost_HW.shape == (80, 120)
    assert cost_at(costmap, 3.0, 0.0) == 5
    assert max(cost_at(costmap, x, 0.05) for x in (3.95, 4.05, 4.15)) == 100
    assert cost_at(costmap, 5.5, 0.0) == -1
    assert cost_at(costmap, -1.0, 0.0) == -1
    assert result.observation.stamp_ns == 300_000_000
    assert set(result.timings_ms) == set(STAGES)
    parts = sum(v for k, v in result.timings_ms.items() if k != "total")
    assert 0.5 * parts < result.timings_ms["total"] < 5 * parts + 20


def test_a_picture_of_nothing_is_neither_labelled_nor_mapped(pipeline, monkeypatch):
    at = pose(0.0)
    before = pipeline.process(frame(at, 0), MOUNT, at).costmap.cost_HW.copy()
    engine, runs = pipeline.segmenter.engine, []

    class Counting:
        name, info = engine.name, engine.info

        def infer(self, image_BHWC):
            runs.append(1)
            return engine.infer(image_BHWC)

    monkeypatch.setattr(pipeline.segmenter, "engine", Counting())
    seen = frame(at, 300_000_000)
    covered = replace(seen, image_HWC=np.full_like(seen.image_HWC, 128))
    with pytest.raises(BlindError, match="shows nothing"):
        pipeline.process(covered, MOUNT, at)
    assert runs == []
    np.testing.assert_array_equal(pipeline.costmap.costmap().cost_HW, before)
    assert pipeline.process(seen, MOUNT, at).costmap.stamp_ns == 300_000_000
    assert runs == [1]


def test_a_picture_of_nothing_counts_where_that_is_asked_for(bundle):
    settings = replace(SETTINGS, min_contrast=0.0)
    pipeline = build_pipeline(bundle, backend="onnxruntime", device="cpu", threads=1, settings=settings)
    picture = np.full((180, 320, 3), ONTOLOGY.classes[LANDSCAPE].color, np.uint8)
    result = pipeline.process(Frame(picture, 0, "camera_optical_frame", CAMERA), MOUNT, pose(0.0))
    assert (result.segmentation.labels_HW == LANDSCAPE).all()
    assert cost_at(result.costmap, 3.0, 0.0) == 5
    pipeline.close()


@pytest.mark.parametrize(
    ("camera", "mount", "odom", "reason"),
    [
        (None, MOUNT, pose(0), "camera_info"),
        (CAMERA, None, pose(0), "camera to the base frame"),
        (CAMERA, MOUNT, None, "no odometry"),
        (CAMERA.scaled(90, 160), MOUNT, pose(0), "camera is 160×90"),
        (CAMERA, camera_mount(0, 0, -1.0, 0, 0, 0), pose(0), "above the ground plane"),
    ],
)
def test_what_is_missing_is_said_and_labels_go_on(pipeline, camera, mount, odom, reason):
    result = pipeline.process(frame(pose(0), 5, camera), mount, odom)
    assert result.costmap is None
    assert result.observation is None
    assert reason in result.costmap_reason
    assert (result.segmentation.labels_HW == LANDSCAPE).mean() > 0.3


def test_labels_and_map_can_be_worked_out_one_after_the_other(bundle, pipeline):
    at = pose(0.0)
    image = frame(at, 5)
    segmentation = pipeline.segmenter.segment(image)
    late = pipeline.map(image, segmentation, MOUNT, at)
    whole = build_pipeline(bundle, backend="onnxruntime", device="cpu", threads=1, settings=SETTINGS)
    np.testing.assert_array_equal(late.costmap.cost_HW, whole.process(image, MOUNT, at).costmap.cost_HW)
    assert late.segmentation is segmentation


def test_the_networks_pixels_give_the_same_map_as_the_images(bundle, pipeline):
    """The mapping reads the labels at network size: fewer pixels, the same ground."""
    at = pose(0.0, pitch=0.02)
    image = frame(at, 5)
    segmentation = pipeline.segmenter.segment(image)
    assert segmentation.network.labels_HW.shape == (144, 256)
    small = pipeline.map(image, segmentation, MOUNT, at).costmap.cost_HW
    pipeline.reset()
    large = pipeline.map(image, replace(segmentation, network=None), MOUNT, at).costmap.cost_HW
    both = (small >= 0) & (large >= 0)
    assert both.sum() > 0.97 * (small >= 0).sum()
    # Farthest cells cover less than one of the network's pixels, and count for less.
    assert both.sum() > 0.9 * (large >= 0).sum()
    assert (small == large)[both].mean() > 0.985


def test_time_that_runs_back_is_refused_until_reset(pipeline):
    at = pose(0.0)
    pipeline.process(frame(at, 2_000_000_000), MOUNT, at)
    with pytest.raises(OffroadSegError, match=r"time runs back by 1\.000 s"):
        pipeline.process(frame(at, 1_000_000_000), MOUNT, at)
    pipeline.reset()
    assert pipeline.process(frame(at, 1_000_000_000), MOUNT, at).costmap.stamp_ns == 1_000_000_000


def test_in_the_base_frame_each_frame_stands_alone_and_needs_no_odometry(bundle):
    settings = PipelineSettings(
        costmap_width=12.0, costmap_height=8.0, min_evidence=0.1, costmap_frame="base_link", max_range=7.0
    )
    pipeline = build_pipeline(bundle, backend="onnxruntime", device="cpu", threads=1, settings=settings)
    first = pipeline.process(frame(pose(0.0), 0), MOUNT, None).costmap
    later = pipeline.process(frame(pose(1.5), 1), MOUNT, None).costmap
    assert (first.frame_id, first.grid) == ("base_link", later.grid)
    # The rock is 4 m ahead of the first pose and 2.5 m ahead of the second; nothing is left of the first.
    assert max(cost_at(first, x, 0.05) for x in (3.95, 4.05, 4.15)) == 100
    assert max(cost_at(later, x, 0.05) for x in (2.45, 2.55, 2.65)) == 100
    assert cost_at(later, 4.05, 0.05) == -1
    with pytest.raises(OffroadSegError, match="time runs back"):
        pipeline.process(frame(pose(0.0), 0), MOUNT, None)


def test_costs_change_while_running(pipeline):
    at = pose(0.0)
    pipeline.process(frame(at, 0), MOUNT, at)
    pipeline.set_class_cost("Landscape", 60)
    assert cost_at(pipeline.costmap.costmap(), 3.0, 0.0) == 60
    with pytest.raises(OntologyError, match="no class 'Mud'"):
        pipeline.set_class_cost("Mud", 3)


def test_without_a_costmap_there_are_labels_only(bundle):
    settings = PipelineSettings(costmap_width=0.0)
    pipeline = build_pipeline(bundle, backend="onnxruntime", device="cpu", threads=1, settings=settings)
    result = pipeline.process(frame(pose(0), 0), MOUNT, pose(0))
    assert (result.costmap, result.observation) == (None, None)
    assert "switched off" in result.costmap_reason
    assert pipeline.unknown_costmap(0) is None
    with pytest.raises(OntologyError):
        pipeline.set_class_cost("Mud", 3)


def test_a_stalled_camera_gives_a_grid_that_is_unknown_as_a_whole(pipeline):
    at = pose(3.0)
    pipeline.process(frame(at, 0), MOUNT, at)
    unknown = pipeline.unknown_costmap(9)
    assert (unknown.cost_HW == -1).all()
    assert unknown.stamp_ns == 9
    assert unknown.grid == pipeline.costmap.costmap().grid


def test_a_broken_engine_is_not_hidden(tmp_path):
    bundle = make_color_bundle(tmp_path / "b", ONTOLOGY, 144, 256, sharpness=float("nan"))
    pipeline = build_pipeline(bundle, backend="onnxruntime", device="cpu", threads=1, settings=SETTINGS)
    with pytest.raises(EngineError, match="not finite"):
        pipeline.process(frame(pose(0), 0), MOUNT, pose(0))


def test_settings_of_a_wrong_bundle_are_refused_before_the_engine_loads(bundle):
    with pytest.raises(OntologyError, match=r"(?s)no class 'Swamp'.*Landscape"):
        build_pipeline(bundle, settings=PipelineSettings(class_cost={"Swamp": 3}))
    with pytest.raises((InputError, BundleError), match="back end"):
        build_pipeline(bundle, backend="abacus", settings=SETTINGS)


def test_the_same_frames_give_the_same_bytes(bundle):
    def drive():
        pipeline = build_pipeline(bundle, backend="onnxruntime", device="cpu", threads=1, settings=SETTINGS)
        return [
            pipeline.process(
                frame(pose(0.15 * k), k * 10**8), MOUNT, pose(0.15 * k)
            ).costmap.cost_HW.tobytes()
            for k in range(5)
        ]

    assert drive() == drive()


@pytest.mark.parametrize("heed", [True, False])
def test_pixels_out_of_distribution_say_nothing_about_the_ground(bundle, heed):
    settings = replace(SETTINGS, heed_ood=heed)
    pipeline = build_pipeline(bundle, backend="onnxruntime", device="cpu", threads=1, settings=settings)
    try:
        at = pose(0.0)
        labels_HW = SCENE.render(CAMERA, at @ MOUNT).labels_HW
        ood_HW = np.full(labels_HW.shape, 64, np.uint8)
        ood_HW[:, : CAMERA.width // 2] = 200  # the left of the image
        seen = replace(segmentation_of(labels_HW), ood_HW=ood_HW)
        costmap = pipeline.map(frame(at, 0), seen, MOUNT, at).costmap
    finally:
        pipeline.close()
    assert cost_at(costmap, 3.0, -0.5) >= 0
    assert (cost_at(costmap, 3.0, 0.5) == -1) is heed


def test_even_ground_brings_the_slope_down_and_reset_begins_anew(bundle):
    settings = replace(SETTINGS, contact_slope=5.0, contact_slope_least=2.0)
    built = build_pipeline(bundle, backend="onnxruntime", device="cpu", threads=1, settings=settings)

    def drive() -> list[tuple[float, np.ndarray]]:
        slopes_and_costs = []
        for k in range(80):
            at = Transform.from_rpy(0.0, 0.0, 0.0, (1.0 * k, 0.0, 1e-3 * k))
            costmap = built.process(frame(at, k * 500_000_000), MOUNT, at).costmap
            slopes_and_costs.append((built.projector.contact_slope, costmap.cost_HW.copy()))
        return slopes_and_costs

    try:
        once = drive()
        built.reset()
        again = drive()
    finally:
        built.close()
    assert once[0][0] == 5.0
    assert once[-1][0] == 2.0
    for (slope, cost), (same_slope, same_cost) in zip(once, again, strict=True):
        assert slope == same_slope
        np.testing.assert_array_equal(cost, same_cost)
