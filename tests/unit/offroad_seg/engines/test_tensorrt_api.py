# SPDX-License-Identifier: Apache-2.0
"""What the engine asks of TensorRT is there in the real packages: the fake one promises nothing that they lack.

The tests of the engine run on ``FakeTensorRt``, so the engine uses nothing but what that has. Here its names, and those
that only TensorRT for RTX has, are looked up in the real binding, which can be imported without a GPU.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from offroad_seg.engines.trt_log import LogBook, make_logger
from offroad_seg.engines.trt_plan import deserialize
from offroad_seg.errors import BundleError
from tests.helpers import fake_gpu
from tests.helpers.plans import make_bundle

if TYPE_CHECKING:
    from pathlib import Path

trt: Any = pytest.importorskip(
    "tensorrt_rtx", reason="TensorRT for RTX is not installed: pip install tensorrt-rtx"
)
pytestmark = pytest.mark.tensorrt_rtx

REAL = {
    fake_gpu.FakeRuntime: "Runtime",
    fake_gpu.FakeEngine: "ICudaEngine",
    fake_gpu.FakeContext: "IExecutionContext",
    fake_gpu.FakeConfig: "IRuntimeConfig",
    fake_gpu.FakeCache: "IRuntimeCache",
}
# What the fakes hold for themselves.
OWN = {
    "trt",
    "logger",
    "session",
    "values",
    "engine",
    "scratch",
    "addresses",
    "callbacks",
    "ready",
    "first_run",
    "has_memory",
    "cache",
    "strategy",
    "data",
}


@pytest.mark.parametrize("fake", REAL, ids=lambda fake: fake.__name__)
def test_fake_classes_have_nothing_that_the_real_ones_lack(fake: type) -> None:
    real = getattr(trt, REAL[fake])
    used = {name for name in vars(fake) if not name.startswith("_")} - OWN
    assert used
    assert used <= set(dir(real))
    if fake is fake_gpu.FakeEngine:
        assert {"num_io_tensors", "device_memory_size_v2"} <= set(dir(real))


def test_enumerations_have_the_names() -> None:
    for name in ("TensorIOMode", "LayerInformationFormat", "ExecutionContextAllocationStrategy"):
        assert set(vars(getattr(fake_gpu.FakeTensorRt, name))) <= set(getattr(trt, name).__members__)
    assert set(vars(fake_gpu.Logger.Severity)) == set(trt.ILogger.Severity.__members__)
    for kind, dtype in fake_gpu._NUMPY.items():
        assert np.dtype(trt.nptype(getattr(trt.DataType, kind))) == dtype


def test_what_only_tensorrt_for_rtx_has() -> None:
    assert "is_stream_capturable" in dir(trt.IExecutionContext)
    assert "REQUIRE_USER_ALLOCATION" in trt.BuilderFlag.__members__
    # A context is made with a configuration, or without one.
    assert "runtime_config" in trt.ICudaEngine.create_execution_context.__doc__


def test_real_logger_fills_the_book() -> None:
    book = LogBook()
    logger = make_logger(trt, book)
    logger.log(trt.ILogger.Severity.ERROR, "Error Code 2: OutOfMemory (Requested size was 7 bytes.)")
    logger.log(trt.ILogger.Severity.INFO, "nothing")
    assert len(book.errors) == 1
    assert book.bytes_asked == 7


def test_real_run_time_refuses_with_a_reason(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Rubbish, which no machine takes. Without a GPU the run time can be made, and refuses whole plans, too."""
    caplog.set_level(logging.DEBUG)
    bundle = make_bundle(tmp_path, b"rubbish" * 1000)
    book = LogBook()
    logger = make_logger(trt, book)
    with pytest.raises(
        BundleError, match=r"TensorRT for RTX refuses the plan \(0\.0 MB\): .*Error Code"
    ) as caught:
        deserialize(trt.Runtime(logger), bundle, book, called="TensorRT for RTX")
    assert "offroad-seg compile" in caught.value.mend
    assert "/_src/" not in caught.value.what
