# SPDX-License-Identifier: Apache-2.0
"""Depth images find the colour images of their stamp, and only those."""

from __future__ import annotations

import array
import gc
import threading
import time
from types import SimpleNamespace

import numpy as np
import pytest

from offroad_seg.errors import ImageError
from offroad_seg.ros.depth import DepthBuffer, samples_for
from offroad_seg.types import Frame

MS = 1_000_000


def depth(stamp, values=((1.0, 2.0, 3.0), (4.0, 5.0, np.nan)), encoding="32FC1", **changes):
    data = np.array(values, np.uint16 if encoding == "16UC1" else np.float32)
    header = SimpleNamespace(
        stamp=SimpleNamespace(sec=stamp // 10**9, nanosec=stamp % 10**9), frame_id="camera"
    )
    fields = {
        "header": header,
        "height": data.shape[0],
        "width": data.shape[1],
        "encoding": encoding,
        "is_bigendian": 0,
        "step": data.shape[1] * data.itemsize,
        "data": array.array("B", data.tobytes()),
    }
    return SimpleNamespace(**{**fields, **changes})


def test_the_nearest_depth_within_the_tolerance_is_taken_whichever_comes_first():
    buffer = DepthBuffer()
    early, near, far = depth(1000 * MS), depth(1009 * MS), depth(1040 * MS)
    buffer.put(early)
    claim = buffer.claim(1010 * MS, 0.01)
    assert buffer.wait(claim, 0.0) is early
    buffer.put(near)
    buffer.put(far)
    assert buffer.wait(claim, 0.0) is near
    assert buffer.wait(buffer.claim(1025 * MS, 0.01), 0.0) is None


def test_a_depth_that_was_found_stays_while_its_image_waits_and_no_longer():
    """However many come meanwhile; and without a claim only a few are kept."""
    buffer = DepthBuffer()
    buffer.put(depth(0))
    claim = buffer.claim(0, 0.0)
    for i in range(1, 100):
        buffer.put(depth(i * 33 * MS))
    assert buffer.wait(claim, 0.0) is not None
    assert buffer.wait(buffer.claim(33 * MS, 0.0), 0.0) is None
    assert len(buffer._recent) <= 4
    del claim
    gc.collect()
    assert len(buffer._claims) == 0


def test_a_depth_that_comes_later_is_waited_for_but_not_for_ever():
    buffer = DepthBuffer()
    claim = buffer.claim(5 * MS, 0.0)
    started = time.monotonic()
    assert buffer.wait(claim, 0.05) is None
    assert 0.04 < time.monotonic() - started < 60.0
    threading.Timer(0.05, buffer.put, (depth(5 * MS),)).start()
    assert buffer.wait(claim, 60.0) is not None


def test_closing_ends_a_wait_and_forgets_all():
    buffer = DepthBuffer()
    buffer.put(depth(0))
    threading.Timer(0.05, buffer.close).start()
    started = time.monotonic()
    assert buffer.wait(buffer.claim(9 * MS, 0.0), 600.0) is None
    assert time.monotonic() - started < 60.0
    buffer.open()
    assert buffer.wait(buffer.claim(0, 0.0), 0.0) is None


@pytest.mark.parametrize(
    "changes", [{"encoding": "mono8"}, {"step": 11}, {"data": array.array("B", bytes(7))}, {"height": 0}]
)
def test_what_is_no_depth_image_is_refused_at_once(changes):
    with pytest.raises(ImageError):
        DepthBuffer().put(depth(0, **changes))


FRAME = Frame(np.zeros((2, 3, 3), np.uint8), 0, "camera")


def test_samples_are_the_messages_own_bytes():
    message = depth(0)
    samples = samples_for(message, FRAME)
    assert samples.dtype == np.float32
    assert np.shares_memory(samples, np.frombuffer(message.data, np.uint8))
    np.testing.assert_array_equal(samples, [[1, 2, 3], [4, 5, np.nan]])
    millimetres = samples_for(depth(0, ((1, 2, 3), (4, 5, 0)), "16UC1"), FRAME)
    assert millimetres.dtype == np.uint16
    np.testing.assert_array_equal(millimetres, [[1, 2, 3], [4, 5, 0]])


def test_padded_and_foreign_rows_are_read_right():
    rows = np.zeros((2, 5), ">u2")
    rows[:, :3] = ((1, 2, 3), (4, 5, 600))
    message = depth(
        0, ((0,) * 3,) * 2, "16UC1", step=10, is_bigendian=1, data=array.array("B", rows.tobytes())
    )
    np.testing.assert_array_equal(samples_for(message, FRAME), rows[:, :3])


def test_depth_that_is_not_the_images_is_refused():
    with pytest.raises(ImageError, match="3×2, the image 4×2"):
        samples_for(depth(0), Frame(np.zeros((2, 4, 3), np.uint8), 0, "camera"))
    with pytest.raises(ImageError, match="aligned"):
        samples_for(depth(0), Frame(np.zeros((2, 3, 3), np.uint8), 0, "rgb"))
