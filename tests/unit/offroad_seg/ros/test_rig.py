# SPDX-License-Identifier: Apache-2.0
"""One engine for all cameras, and what happens when the GPU's memory runs out."""

from __future__ import annotations

import numpy as np
import pytest

from offroad_seg.engines.registry import load_engine
from offroad_seg.errors import EngineError, GpuMemoryError
from offroad_seg.ontology import load_ontology
from offroad_seg.pipeline import build_pipelines
from offroad_seg.ros.rig import Rig
from offroad_seg.types import Frame
from tests.helpers.bundles import make_color_bundle


class ShortOfMemory:
    """A real engine that fails some times."""

    def __init__(self, engine, errors):
        self._engine, self._errors = engine, errors
        self.name, self.info = engine.name, engine.info
        self.closed = False

    def infer(self, image_BHWC):
        if self._errors:
            raise self._errors.pop(0)
        return self._engine.infer(image_BHWC)

    def close(self):
        self.closed = True
        self._engine.close()


@pytest.fixture
def bundle(tmp_path):
    return make_color_bundle(tmp_path / "color", load_ontology("duality_desert"), 96, 160)


@pytest.fixture
def make(bundle):
    """A rig of two cameras whose engine raises these errors, one for each run, and an engine anew has those left."""
    rigs = []

    def make_rig(*errors):
        left = list(errors)
        rig = Rig(
            build_pipelines(bundle, ("front", "left")), lambda: ShortOfMemory(load_engine(bundle), left)
        )
        for pipeline in rig.pipelines.values():
            pipeline.segmenter.engine = ShortOfMemory(pipeline.segmenter.engine, left)
        rigs.append(rig)
        return rig

    yield make_rig
    for rig in rigs:
        rig.close()


FRAME = Frame(np.full((48, 90, 3), 128, np.uint8), 0, "camera")
SHORT = GpuMemoryError("128 MiB were asked for, 12 MiB are free")


def test_two_cameras_share_engine_and_costmap(make):
    front, left = make().pipelines.values()
    assert front.costmap is left.costmap
    assert front.projector is not left.projector
    assert front.segmenter is not left.segmenter


def test_a_frame_that_found_no_memory_is_tried_once_more_on_an_engine_loaded_anew(make):
    rig, said = make(SHORT), []
    before = rig.first.segmenter.engine
    assert rig.segment("left", FRAME, said.append).labels_HW.shape == (48, 90)
    assert before.closed
    assert len(said) == 1
    assert "128 MiB" in said[0]
    engines = {id(p.segmenter.engine) for p in rig.pipelines.values()}
    assert engines == {id(rig.first.segmenter.engine)}
    assert id(before) not in engines


@pytest.mark.parametrize(
    "errors", [(SHORT, SHORT), (EngineError("CUDA out of memory. Tried to allocate 128.00 MiB"), SHORT)]
)
def test_memory_that_stays_short_is_said_with_the_figures(make, errors):
    with pytest.raises(GpuMemoryError, match="128 MiB"):
        make(*errors).segment("left", FRAME, lambda _text: None)


def test_any_other_failure_is_not_tried_again(make):
    said = []
    rig = make(EngineError("broken"))
    with pytest.raises(EngineError, match="broken"):
        rig.segment("front", FRAME, said.append)
    assert not said


def test_an_engine_that_cannot_be_loaded_again_is_an_error_of_memory(bundle):
    def fail():
        raise EngineError("no such device")

    rig = Rig(build_pipelines(bundle, ("",)), fail)
    rig.first.segmenter.engine = ShortOfMemory(rig.first.segmenter.engine, [SHORT])
    with pytest.raises(GpuMemoryError, match="no such device"):
        rig.segment("", FRAME, lambda _text: None)
