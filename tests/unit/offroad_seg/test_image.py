# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from offroad_seg.errors import ImageError
from offroad_seg.image import PAD_VALUE, Letterbox

SIZES = st.integers(1, 90)


@settings(max_examples=60, deadline=None)
@given(h=SIZES, w=SIZES, net_h=st.integers(8, 70), net_w=st.integers(8, 70))
def test_geometry_stays_inside_and_keeps_the_aspect(h, w, net_h, net_w):
    place = Letterbox(net_h, net_w).geometry(h, w)
    assert place.top >= 0
    assert place.left >= 0
    assert place.top + place.height <= net_h
    assert place.left + place.width <= net_w
    assert place.height == net_h or place.width == net_w
    scale = min(net_h / h, net_w / w)
    assert abs(place.height - h * scale) <= 1
    assert abs(place.width - w * scale) <= 1


@settings(max_examples=40, deadline=None)
@given(h=SIZES, w=SIZES, seed=st.integers(0, 99))
def test_restore_of_a_mask_at_the_same_size_is_the_mask(h, w, seed):
    mask = np.random.default_rng(seed).integers(0, 10, (h, w), dtype=np.uint8)
    box = Letterbox(h + 6, w)
    assert (box.restore(box.apply_mask(mask), h, w) == mask).all()


def test_padding_is_grey_in_the_image_and_unlabelled_in_the_mask():
    box = Letterbox(40, 40)
    image = np.full((30, 60, 3), 9, np.uint8)
    out = box.apply(image)
    assert (out[:10] == PAD_VALUE).all()
    assert (out[30:] == PAD_VALUE).all()
    assert (out[10:30] == 9).all()
    mask = box.apply_mask(np.zeros((30, 60), np.uint8))
    assert (mask[:10] == 255).all()
    assert (mask[10:30] == 0).all()


def test_kept_buffer_is_used_and_repainted_for_another_size():
    box = Letterbox(40, 60)
    buffer = np.full((40, 60, 3), 7, np.uint8)
    first = box.apply(np.zeros((80, 120, 3), np.uint8), buffer)
    assert first is buffer
    box.apply(np.full((100, 20, 3), 200, np.uint8), buffer)
    assert (buffer == box.apply(np.full((100, 20, 3), 200, np.uint8))).all()


def test_labels_never_gain_a_value_on_the_way_back():
    rng = np.random.default_rng(0)
    labels = rng.choice(np.array([0, 3, 9], np.uint8), (266, 476))
    restored = Letterbox(266, 476).restore(labels, 720, 1280, np.empty((720, 1280), np.uint8))
    assert set(np.unique(restored)) <= {0, 3, 9}


def test_restore_undoes_apply_to_within_a_pixel():
    # A vertical edge at x = 500 of 1280 must come back at 500 ± half a network pixel.
    mask = np.zeros((720, 1280), np.uint8)
    mask[:, 500:] = 1
    box = Letterbox(266, 476)
    edge = int(np.argmax(box.restore(box.apply_mask(mask), 720, 1280)[360]))
    assert abs(edge - 500) <= 1280 / 476 / 2 + 0.5


def test_apply_is_plain_resize_where_nothing_is_padded():
    image = np.random.default_rng(3).integers(0, 255, (80, 120, 3), dtype=np.uint8)
    assert (Letterbox(40, 60).apply(image) == cv2.resize(image, (60, 40))).all()


@pytest.mark.parametrize(
    "image", [np.zeros((4, 5), np.uint8), np.zeros((4, 5, 3), np.float32), np.zeros((4, 5, 4), np.uint8)]
)
def test_other_images_are_refused(image):
    with pytest.raises(ImageError, match="uint8"):
        Letterbox(8, 9).apply(image)


def test_empty_image_is_refused():
    with pytest.raises(ImageError, match="0×0"):
        Letterbox(8, 9).apply(np.zeros((0, 0, 3), np.uint8))


def test_a_single_pixel_fills_the_picture():
    """OpenCV 4.5 takes none as its input."""
    found = Letterbox(20, 36).apply(np.array([[[10, 20, 30]]], np.uint8))
    assert (found[:, 8:28] == (10, 20, 30)).all()
    assert (found[:, :8] == PAD_VALUE).all()
