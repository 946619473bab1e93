# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import cv2
import numpy as np
import pytest

from offroad_seg.ontology import load_ontology
from offroad_seg.overlay import overlay_image

ONTOLOGY = load_ontology("duality_desert")
RNG = np.random.default_rng(5)
IMAGE = RNG.integers(0, 256, (97, 151, 3), np.uint8)
IMAGE[:40] = RNG.choice(np.array([0, 255], np.uint8), (40, 151, 3))


@pytest.mark.parametrize("size", [(31, 47), (97, 151), (200, 120)], ids=["smaller", "same", "larger"])
def test_it_is_the_mean_of_image_and_colour(size):
    labels = RNG.integers(0, 256, size, np.uint8)
    large = cv2.resize(labels, IMAGE.shape[1::-1], interpolation=cv2.INTER_NEAREST_EXACT)
    mean = (IMAGE.astype(float) + ONTOLOGY.colorize(large)) / 2
    before = IMAGE.copy()
    found = overlay_image(IMAGE, labels, ONTOLOGY)
    assert np.abs(found - mean).max() <= 0.5
    np.testing.assert_array_equal(IMAGE, before)
    kept = np.full_like(IMAGE, 7)
    assert overlay_image(IMAGE, labels, ONTOLOGY, kept) is kept
    np.testing.assert_array_equal(kept, found)
    np.testing.assert_array_equal(overlay_image(IMAGE, large, ONTOLOGY), found)
