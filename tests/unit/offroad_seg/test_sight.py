# SPDX-License-Identifier: Apache-2.0
"""A picture of nothing is told from a picture of the open, whatever its brightness and noise."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from offroad_seg.errors import BlindError, ImageError, InputError
from offroad_seg.ontology import load_ontology
from offroad_seg.sight import MIN_CONTRAST, PERIOD_NS, Sight
from offroad_seg.types import Frame
from tests.helpers import scene

SHAPES = [(720, 1280), (272, 512), (120, 200), (60, 96), (1280, 720)]
PICTURES = ["duality_sample/Color_Images/*.png", "ycor_small/*/rgb.jpg", "ai4mars_small/images/*.jpg"]
PICTURES += ["orfd_sequence/image_data/*.png", "rellis_frame/frame*.jpg"]


def seen(ontology="duality_desert"):
    return scene.scene_image(load_ontology(ontology))


def even(grey, shape=(120, 200), noise=0.0):
    """One grey with the noise of a sensor, each pixel by itself."""
    values = (
        np.random.default_rng(3).normal(grey, noise, (*shape, 1)) if noise else np.full((*shape, 1), grey)
    )
    return np.repeat(np.clip(values, 0, 255).astype(np.uint8), 3, axis=2)


def frame(image, stamp_ns=0):
    return Frame(image, stamp_ns, "camera")


def grid(shape):
    """y and x of each pixel, −1 to 1."""
    return np.meshgrid(np.linspace(-1, 1, shape[0]), np.linspace(-1, 1, shape[1]), indexing="ij")


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("noise", [0, 3, 10])
@pytest.mark.parametrize("color", [(0, 0, 0), (128, 128, 128), (96, 72, 48), (255, 255, 255)])
def test_a_covered_lens_shows_nothing(shape, noise, color):
    values = np.array(color) + np.random.default_rng(noise).normal(0, noise, (*shape, 1))
    with pytest.raises(BlindError, match="shows nothing: contrast") as error:
        Sight().check(frame(np.clip(values, 0, 255).astype(np.uint8)))
    assert "clean the lens" in error.value.mend
    assert isinstance(error.value, ImageError)


@pytest.mark.parametrize("light", ["vignette", "leak"])
def test_a_little_light_behind_the_cover_is_no_structure(light):
    y, x = grid((720, 1280))
    falls = -4 * (x * x + y * y) if light == "vignette" else 8 * np.exp(-((x - 0.8) ** 2 + y**2) / 0.1)
    values = 100 + falls + np.random.default_rng(1).normal(0, 10, y.shape)
    image = np.repeat(np.clip(values, 0, 255).astype(np.uint8)[:, :, None], 3, axis=2)
    with pytest.raises(BlindError):
        Sight().check(frame(image))


def test_the_open_through_mud_that_leaves_hardly_anything_is_nothing():
    """A scene blurred over a fifth of its width, of which a twentieth of the contrast is left."""
    blurred = cv2.GaussianBlur(seen(), (0, 0), 40.0).astype(float)
    muddy = (110 + 0.05 * (blurred - blurred.mean())).astype(np.uint8)
    with pytest.raises(BlindError):
        Sight().check(frame(muddy))


def test_a_scene_is_seen_and_what_is_left_of_it_in_fog():
    Sight().check(frame(seen()))
    Sight().check(frame((150 + 0.3 * seen().astype(float)).astype(np.uint8)))


@pytest.mark.shared_data
@pytest.mark.parametrize("pattern", PICTURES)
def test_every_real_picture_is_seen_with_room(shared_data, pattern):
    paths = sorted(shared_data.glob(pattern))
    assert paths
    sight = Sight()
    least = min(sight.contrast(cv2.imread(str(path))) for path in paths)
    assert least > 2.5 * MIN_CONTRAST


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(-60, 60))
def test_brightness_alone_changes_nothing(seed, offset):
    rng = np.random.default_rng(seed)
    coarse = rng.integers(60, 196, (rng.integers(2, 12), rng.integers(2, 20), 3), np.uint8)
    image = cv2.resize(coarse, (int(rng.integers(96, 400)), int(rng.integers(60, 300))))
    sight = Sight()
    shifted = sight.contrast((image.astype(int) + offset).astype(np.uint8))
    # Means of blocks are rounded to whole grey levels.
    assert shifted == pytest.approx(sight.contrast(image), abs=0.5)


def test_the_same_picture_has_the_same_contrast_whatever_came_before():
    sight, image = Sight(), seen()
    first = sight.contrast(image)
    sight.contrast(even(90, (300, 500)))
    assert sight.contrast(image) == first == Sight().contrast(np.ascontiguousarray(image))
    assert sight.contrast(image[::-1]) == pytest.approx(first, abs=0.5)


def test_while_it_sees_it_looks_once_in_a_span_and_while_it_is_blind_always():
    sight, good, bad = Sight(), seen(), even(128)
    sight.check(frame(good, 0))
    sight.check(frame(bad, PERIOD_NS - 1))
    for stamp in (PERIOD_NS, PERIOD_NS + 1, PERIOD_NS + 1):
        with pytest.raises(BlindError):
            sight.check(frame(bad, stamp))
    sight.check(frame(good, PERIOD_NS + 2))
    sight.check(frame(bad, PERIOD_NS + 3))
    sight.reset()
    with pytest.raises(BlindError):
        sight.check(frame(bad, PERIOD_NS + 3))


def test_when_time_runs_back_it_looks():
    sight = Sight()
    sight.check(frame(seen(), 5 * PERIOD_NS))
    with pytest.raises(BlindError):
        sight.check(frame(even(128), PERIOD_NS))


def test_zero_looks_at_nothing():
    Sight(0.0).check(frame(even(128)))


@pytest.mark.parametrize(
    "image", [np.zeros((0, 5, 3), np.uint8), np.zeros((4, 5), np.uint8), np.zeros((4, 5, 3), np.float32)]
)
def test_what_is_no_picture_is_left_to_who_says_so(image):
    Sight().check(frame(image))


@pytest.mark.parametrize("value", [-0.1, 64.1, float("nan"), float("inf")])
def test_out_of_bounds(value):
    with pytest.raises(InputError, match="min_contrast"):
        Sight(value)
