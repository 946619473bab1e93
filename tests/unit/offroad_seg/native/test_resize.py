# SPDX-License-Identifier: Apache-2.0
"""The kernel for images does what OpenCV does, to the last bit."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from offroad_seg.image import Letterbox
from offroad_seg.native import resize
from offroad_seg.native.library import find
from offroad_seg.native.resize import resize_rgb
from tests.helpers.native import kernels, twins

SIZES = st.tuples(st.integers(1, 70), st.integers(1, 90))


@pytest.fixture(autouse=True)
def _x86_only():
    if not resize._HERE:
        pytest.skip("elsewhere OpenCV does this")


@given(seed=st.integers(0, 2**31), source=SIZES, target=SIZES, apart=st.integers(0, 3), extreme=st.booleans())
@example(seed=0, source=(1, 1), target=(3, 5), apart=0, extreme=False)
@example(seed=1, source=(720, 1280), target=(266, 473), apart=1, extreme=False)
@example(seed=2, source=(480, 640), target=(544, 725), apart=0, extreme=True)
def test_resize_twins(seed, source, target, apart, extreme):
    """Larger, smaller, single pixels; rows that lie apart; nothing beside them is touched."""
    rng = np.random.default_rng(seed)
    values = np.array([0, 255], np.uint8) if extreme else np.arange(256, dtype=np.uint8)
    wide = rng.choice(values, (source[0], source[1] + apart, 3))
    image = wide[:, apart:]
    out = np.full((target[0], target[1] + 2 * apart, 3), 7, np.uint8)
    with kernels(True):
        if find()[0] is None:
            pytest.skip(find()[1])
        done = resize_rgb(image, out[:, apart : apart + target[1]])
    assert done == (source != (2 * target[0], 2 * target[1]))
    if done:
        found = out[:, apart : apart + target[1]]
        if source == (1, 1):  # which OpenCV 4.5 does not take
            assert (found == image[0, 0]).all()
        else:
            expected = cv2.resize(np.ascontiguousarray(image), target[::-1], interpolation=cv2.INTER_LINEAR)
            np.testing.assert_array_equal(found, np.asarray(expected).reshape(*target, 3))
    assert (out[:, :apart] == 7).all()
    assert (out[:, apart + target[1] :] == 7).all()


@given(seed=st.integers(0, 2**31), source=SIZES, network=st.sampled_from([(20, 36), (21, 37), (64, 40)]))
@example(seed=0, source=(1, 1), network=(20, 36))
def test_letterbox_twins(seed, source, network):
    image = np.random.default_rng(seed).integers(0, 256, (*source, 3), np.uint8)
    kept = np.zeros((*network, 3), np.uint8)

    def work():
        resize_rgb(
            image, np.empty((5, 3, 3), np.uint8)
        )  # what is of the network's size, or one pixel, asks for none
        return Letterbox(*network).apply(image, out=kept).copy()

    numpy, native = twins(work)
    np.testing.assert_array_equal(numpy, native)


def test_other_pictures_are_left_to_opencv():
    image, out = np.zeros((4, 6, 3), np.uint8), np.zeros((3, 5, 3), np.uint8)
    with kernels(True):
        assert not resize_rgb(image[:, ::2], out)
        assert not resize_rgb(image[::-1], out)
        assert not resize_rgb(image, out[:, :, ::-1])
        assert not resize_rgb(image[:0], out)
