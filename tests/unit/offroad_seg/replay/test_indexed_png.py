# SPDX-License-Identifier: Apache-2.0
"""Indexed PNG files, as two independent readers see them."""

from __future__ import annotations

import io

import cv2
import numpy as np
import pytest

from offroad_seg.replay.gallery_pictures import indexed_uri, picture_of, reduced, shrunk, size_within
from offroad_seg.replay.indexed_png import indexed_png, palette_of


@pytest.fixture
def indices():
    return np.random.default_rng(0).integers(0, 256, (37, 53)).astype(np.uint8)


@pytest.mark.parametrize("channels", [3, 4])
def test_other_readers_see_every_pixel_s_colour(indices, channels):
    colors = np.random.default_rng(1).integers(0, 256, (256, channels)).astype(np.uint8)
    data = indexed_png(indices, colors)
    wanted = colors[indices]
    found = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(found[..., :3][..., ::-1], wanted[..., :3])
    if channels == 4:
        np.testing.assert_array_equal(found[..., 3], wanted[..., 3])
    image = pytest.importorskip("PIL.Image").open(io.BytesIO(data))
    image.load()
    np.testing.assert_array_equal(np.asarray(image.convert("RGBA"))[..., :channels], wanted)


def test_a_picture_of_few_colours_gives_its_palette_back(indices):
    colors = np.random.default_rng(1).integers(0, 256, (256, 3)).astype(np.uint8)
    picture = colors[indices % 9]
    found, palette = palette_of(picture)
    np.testing.assert_array_equal(palette[found], picture)
    with pytest.raises(ValueError, match="too many"):
        palette_of(np.random.default_rng(2).integers(0, 256, (40, 40, 3)).astype(np.uint8))


def test_labels_made_smaller_stay_indexed(indices):
    colors = np.random.default_rng(1).integers(0, 256, (256, 3)).astype(np.uint8)
    text = indexed_uri(indices % 7, colors)
    small = shrunk("prediction", text, 500)
    picture = picture_of(small)
    assert picture.shape[0] * picture.shape[1] <= 500
    assert {tuple(c[::-1]) for c in picture.reshape(-1, 3)} <= {tuple(c) for c in colors[:7]}
    assert len(small) < len(text)


def test_halving_first_is_a_mean_over_areas_too():
    picture = np.random.default_rng(0).integers(0, 256, (540, 960, 3)).astype(np.uint8)
    half = picture.reshape(270, 2, 480, 2, 3).astype(np.float64).mean(axis=(1, 3))
    assert np.abs(reduced(picture, (480, 270)) - half).max() <= 0.51
    scene = cv2.resize(picture[:14, :24], (960, 540))
    straight = cv2.resize(scene, (200, 113), interpolation=cv2.INTER_AREA)
    assert np.abs(reduced(scene, (200, 113)).astype(int) - straight).max() <= 8
    assert np.abs(reduced(scene, (200, 113)).astype(int) - straight).mean() < 1.0


@pytest.mark.parametrize(
    ("size", "wanted"),
    [
        ((960, 540), (480, 270)),
        ((1920, 1080), (480, 270)),
        ((640, 480), (438, 328)),
        ((320, 200), (320, 200)),
    ],
)
def test_a_half_is_taken_where_it_is_nearly_as_large(size, wanted):
    assert size_within(*size) == wanted
