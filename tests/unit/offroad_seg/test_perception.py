# SPDX-License-Identifier: Apache-2.0
"""Depth through the pipeline, and several cameras that share engine and costmap."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from offroad_seg.camera import CameraModel
from offroad_seg.errors import InputError, OffroadSegError
from offroad_seg.ontology import load_ontology
from offroad_seg.pipeline import NO_DEPTH, PipelineSettings, build_pipeline, build_pipelines
from offroad_seg.transforms import Transform, camera_mount
from offroad_seg.types import Frame
from tests.helpers.bundles import make_color_bundle
from tests.helpers.solid_world import below, block, look

ONTOLOGY = load_ontology("duality_desert")
LANDSCAPE, SKY, ROCKS, TREES = (ONTOLOGY.id_of(n) for n in ("Landscape", "Sky", "Rocks", "Trees"))
CAMERA = CameraModel.pinhole(320, 180, 190.0)
MOUNT = camera_mount(0.3, 0.0, 1.2, 0.0, 0.25, 0.0)
REAR = camera_mount(-0.3, 0.0, 1.2, 0.0, 0.25, np.pi)
SOLIDS = [
    below(LANDSCAPE),
    block(ROCKS, (4.0, 4.5), (-0.4, 0.4), (-1.0, 0.7)),
    block(TREES, (2.5, 3.5), (-2.0, 2.0), (2.2, 3.0)),
    block(ROCKS, (-4.5, -4.0), (-0.4, 0.4), (-1.0, 0.7)),
]
SETTINGS = PipelineSettings(contact_slope=2.0, costmap_width=12.0, costmap_height=8.0, max_range=7.0)
DEPTH = replace(SETTINGS, projection="depth")
HERE = Transform.identity()
LOAD = {"backend": "onnxruntime", "device": "cpu", "threads": 1}


def frame(stamp_ns: int, mount: Transform = MOUNT, *, depth: bool = True) -> Frame:
    labels_HW, depth_HW = look(SOLIDS, CAMERA, HERE @ mount, SKY)
    return Frame(ONTOLOGY.colorize(labels_HW), stamp_ns, "camera", CAMERA, depth_HW if depth else None)


def cost_at(costmap, x: float, y: float = 0.05) -> int:
    grid = costmap.grid
    return int(costmap.cost_HW[int((y - grid.origin_y) / 0.1), int((x - grid.origin_x) / 0.1)])


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return make_color_bundle(tmp_path_factory.mktemp("bundle") / "b", ONTOLOGY, 144, 256)


@pytest.fixture
def pipeline(bundle):
    built = build_pipeline(bundle, settings=DEPTH, **LOAD)
    yield built
    built.close()


def test_depth_frames_become_a_costmap(pipeline):
    assert pipeline.needs_depth
    result = pipeline.process(frame(5), MOUNT, HERE)
    assert result.costmap_reason == ""
    assert cost_at(result.costmap, 2.9) == 5  # under the crown
    assert cost_at(result.costmap, 4.05) == 100
    assert cost_at(result.costmap, 5.0) == -1
    assert {"project", "fuse"} <= set(result.timings_ms)


@pytest.mark.parametrize("value", [None, np.nan, 0.0])
def test_without_depth_there_is_no_costmap_and_never_the_plane(pipeline, value):
    empty = None if value is None else np.full((180, 320), value, np.float32)
    result = pipeline.process(replace(frame(5), depth_HW=empty), MOUNT, HERE)
    assert (result.costmap, result.observation) == (None, None)
    assert result.costmap_reason.startswith(NO_DEPTH)
    assert (result.segmentation.labels_HW == LANDSCAPE).mean() > 0.2
    # The next frame that has depth is mapped.
    assert pipeline.process(frame(6), MOUNT, HERE).costmap is not None


def test_depth_of_another_view_is_named(pipeline):
    result = pipeline.process(replace(frame(5), depth_HW=np.ones((180, 180), np.float32)), MOUNT, HERE)
    assert result.costmap is None
    assert "another view" in result.costmap_reason


def test_the_plane_looks_at_no_depth(bundle):
    plane = build_pipeline(bundle, settings=SETTINGS, **LOAD)
    assert not plane.needs_depth
    with_depth = plane.process(frame(5), MOUNT, HERE).costmap.cost_HW
    plane.reset()
    np.testing.assert_array_equal(
        with_depth, plane.process(frame(5, depth=False), MOUNT, HERE).costmap.cost_HW
    )
    plane.close()


def test_a_depth_image_of_the_cameras_own_resolution_is_sampled(pipeline):
    _, fine = look(SOLIDS, CAMERA.scaled(360, 640), HERE @ MOUNT, SKY)
    millimetres = (np.nan_to_num(fine, nan=0.0) * 1000).astype(np.uint16)
    result = pipeline.process(replace(frame(5), depth_HW=millimetres), MOUNT, HERE)
    assert cost_at(result.costmap, 2.9) == 5
    assert cost_at(result.costmap, 4.05) == 100


def test_two_cameras_fill_one_costmap_and_a_dead_ones_sector_goes_unknown(bundle):
    both = build_pipelines(bundle, ("front", "rear"), settings=SETTINGS, **LOAD)
    front, rear = both["front"], both["rear"]
    assert front.costmap is rear.costmap
    assert front.projector is not rear.projector
    front.process(frame(10), MOUNT, HERE)
    # Older than the front's last frame, newer than its own.
    seen = rear.process(frame(8, REAR), REAR, HERE).costmap
    assert seen.stamp_ns == 10
    assert (cost_at(seen, 3.0), cost_at(seen, -3.0)) == (5, 5)
    assert max(cost_at(seen, x) for x in (-4.05, -3.95, -4.15)) == 100
    with pytest.raises(OffroadSegError, match="time runs back"):
        rear.process(frame(7, REAR), REAR, HERE)
    blind = rear.forget()
    assert (cost_at(blind, 3.0), cost_at(blind, -3.0)) == (5, -1)
    assert (blind.cost_HW[:, :60] == -1).all()
    again = rear.process(frame(12, REAR), REAR, HERE).costmap
    assert cost_at(again, -3.0) == 5
    front.close()


def test_nothing_to_forget_before_the_first_frame(pipeline):
    assert pipeline.forget() is None


def test_several_cameras_need_odometry(bundle):
    settings = replace(SETTINGS, costmap_frame="base_link")
    with pytest.raises(InputError, match="2 cameras share a costmap in base_link"):
        build_pipelines(bundle, ("a", "b"), settings=settings, **LOAD)
