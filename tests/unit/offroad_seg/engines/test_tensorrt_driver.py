# SPDX-License-Identifier: Apache-2.0
"""How the engine treats the driver: memory, recording, threads, faults, and what is left when it is closed.

The fixture ``driver`` fails a test that leaves anything behind, frees memory too early or keeps a dead context.
"""

from __future__ import annotations

import sys
import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from offroad_seg.bundle import write_bundle
from offroad_seg.engines import trt_engine
from offroad_seg.engines.cuda import Gpu
from offroad_seg.engines.gpu_letterbox import MAX_SIZES
from offroad_seg.engines.tensorrt_rtx import TensorRtRtxEngine, kernel_cache
from offroad_seg.errors import EngineError, GpuMemoryError
from tests.helpers.fake_gpu import FakeContext, FakeTensorRt
from tests.helpers.plans import make_bundle, open_engine, picture, plan_of

if TYPE_CHECKING:
    import ctypes
    from pathlib import Path

    from offroad_seg.bundle import Bundle


def test_no_memory_is_taken_for_a_frame(bundle: Bundle, driver: ctypes.CDLL) -> None:
    engine = open_engine(bundle, driver)
    images = [picture(seed, 31, 47)[0] for seed in range(4)]
    engine.infer_image(images[0])
    outputs = engine.infer(picture()[0][None])
    before = driver.fake_allocations()
    for image in images:
        assert engine.infer_image(image) is outputs
        assert engine.infer(bundle.letterbox.apply(image)[None]) is outputs
    assert driver.fake_allocations() == before
    engine.close()


def test_cameras_of_different_sizes_take_no_memory_in_turn(bundle: Bundle, driver: ctypes.CDLL) -> None:
    engine = open_engine(bundle, driver)
    images = [picture(seed, 20 + seed, 40)[0] for seed in range(MAX_SIZES)]
    for image in images:
        engine.infer_image(image)
    assert len(engine.graphs) == 1 + MAX_SIZES
    before = driver.fake_allocations()
    for image in images:
        found = engine.infer_image(image).labels_BHW.copy()
        expected = engine.infer(bundle.letterbox.apply(image)[None])
        np.testing.assert_array_equal(found, expected.labels_BHW)
    assert driver.fake_allocations() == before
    # One more: what was used longest ago goes, with what was recorded for it.
    used = driver.fake_used()
    engine.infer_image(picture(0, 19, 40)[0])
    assert len(engine.graphs) == 1 + MAX_SIZES
    assert "image 40×20" not in engine.graphs
    assert driver.fake_used() < used
    engine.infer_image(images[0])
    engine.close()


def test_interrupted_frame_is_waited_for_before_memory_is_freed(bundle: Bundle, driver: ctypes.CDLL) -> None:
    engine = open_engine(bundle, driver)

    def interrupt() -> None:
        raise KeyboardInterrupt

    engine._finish = interrupt  # type: ignore[method-assign, assignment]
    with pytest.raises(KeyboardInterrupt):
        engine.infer(picture()[0][None])
    engine.close()


def test_after_a_fault_of_the_gpu_everything_is_given_back(bundle: Bundle, driver: ctypes.CDLL) -> None:
    engine = open_engine(bundle, driver)
    image = picture()[0]
    engine.infer_image(image)
    driver.fake_fault()
    with pytest.raises(EngineError, match="CUDA_ERROR"):
        engine.infer_image(image)
    engine.close()
    engine.close()
    assert driver.fake_used() == 0


def test_error_that_was_got_over_is_no_cause_of_a_later_one(bundle: Bundle, driver: ctypes.CDLL) -> None:
    engine = open_engine(bundle, driver, capturable=False)
    assert engine._book.errors == []
    engine._logger.log(1, "Error Code 2: OutOfMemory (Requested size was 7 bytes.)")
    engine._trt.failing = True
    with pytest.raises(GpuMemoryError):
        engine.infer(picture()[0][None])
    with pytest.raises(EngineError, match="enqueueV3") as caught:
        engine.infer(picture()[0][None])
    assert not isinstance(caught.value, GpuMemoryError)
    engine.close()


def test_run_time_that_says_beforehand_that_it_cannot_be_recorded(
    bundle: Bundle, driver: ctypes.CDLL, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FakeContext, "is_stream_capturable", lambda *_: False, raising=False)
    engine = open_engine(bundle, driver)
    image, labels = picture(2)
    np.testing.assert_array_equal(engine.infer(image[None]).labels_BHW[0], labels)
    assert engine.graphs == ()
    engine.close()


def test_any_thread_may_call_it(bundle: Bundle, driver: ctypes.CDLL) -> None:
    engine = open_engine(bundle, driver)
    image, labels = picture(6)
    found = []
    thread = threading.Thread(target=lambda: found.append(engine.infer(image[None]).labels_BHW.copy()))
    thread.start()
    thread.join()
    np.testing.assert_array_equal(found[0][0], labels)
    # Closed elsewhere than where it was opened, as by a node's executor.
    closing = threading.Thread(target=engine.close)
    closing.start()
    closing.join()
    assert driver.fake_used() == 0
    driver.cuCtxSetCurrent(None)
    engine.close()


@pytest.mark.parametrize("missing", range(12))
def test_a_gpu_without_room_is_left_as_it_was(bundle: Bundle, driver: ctypes.CDLL, missing: int) -> None:
    engine = open_engine(bundle, driver, scratch=4096)
    needed = driver.fake_used()
    engine.close()
    driver.fake_reset(needed * missing // 12)
    with pytest.raises(GpuMemoryError, match=r"MiB were asked for, \d+ MiB of \d+ MiB are free"):
        open_engine(bundle, driver, scratch=4096)
    assert driver.fake_used() == 0


def test_run_time_that_fails(bundle: Bundle, driver: ctypes.CDLL) -> None:
    engine = open_engine(bundle, driver, capturable=False)
    engine._trt.failing = True
    with pytest.raises(
        EngineError, match=r"tensorrt 10\.3\.0 failed: IExecutionContext::enqueueV3"
    ) as caught:
        engine.infer(picture()[0][None])
    assert "load the engine again" in caught.value.mend
    engine.close()


def test_work_that_cannot_be_recorded_is_launched_piece_by_piece(
    bundle: Bundle, driver: ctypes.CDLL, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    engine = open_engine(bundle, driver, capturable=False)
    image, labels = picture(4)
    np.testing.assert_array_equal(engine.infer(image[None]).labels_BHW[0], labels)
    assert engine.graphs == ()
    assert sum("cannot be recorded" in message for message in caplog.messages) == 1
    engine.close()


def test_graph_says_the_same_as_plain_launches(bundle: Bundle, driver: ctypes.CDLL) -> None:
    recorded, plain = open_engine(bundle, driver), open_engine(bundle, driver, use_graph=False)
    for seed in range(3):
        image = picture(seed, 31, 47)[0]
        for engine in (recorded, plain):
            engine.infer_image(image)
        a, b = recorded.infer_image(image), plain.infer_image(image)
        np.testing.assert_array_equal(a.labels_BHW, b.labels_BHW)
        np.testing.assert_array_equal(a.confidence_BHW, b.confidence_BHW)
    assert (recorded.graphs, plain.graphs) == (("pixels", "image 47×31"), ())
    recorded.close()
    plain.close()


def test_tensorrt_for_rtx_takes_its_memory_and_keeps_its_kernels(
    tmp_path: Path, driver: ctypes.CDLL, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake: Any = FakeTensorRt(driver, version="1.7.1")
    monkeypatch.setitem(sys.modules, "tensorrt_rtx", fake)
    monkeypatch.setattr(trt_engine, "Gpu", lambda: Gpu(library=driver))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    plain = make_bundle(tmp_path, gpu=None)
    manifest = replace(
        plain.manifest,
        backend="tensorrt-rtx",
        backends=("tensorrt-rtx",),
        versions={"tensorrt-rtx": "1.7.1"},
    )
    bundle = write_bundle(tmp_path / "rtx", manifest, {"model.plan": plan_of()})
    image, labels = picture(3)
    for said in (b"compiled here", b"compiled here, read"):
        engine = TensorRtRtxEngine(bundle)
        np.testing.assert_array_equal(engine.infer(image[None]).labels_BHW[0], labels)
        assert kernel_cache(bundle).read_bytes() == said
        assert engine.graphs == ("pixels",)
        engine.close()
    driver.fake_reset(fake.scratch // 2)
    with pytest.raises(GpuMemoryError, match=r"1 MiB were asked for, \d+ MiB of \d+ MiB are free"):
        TensorRtRtxEngine(bundle)
