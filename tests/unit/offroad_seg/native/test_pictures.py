# SPDX-License-Identifier: Apache-2.0
"""Kernels for pictures do what numpy does."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from offroad_seg.ontology import load_ontology
from offroad_seg.overlay import overlay_image
from tests.helpers.native import twins


@given(seed=st.integers(0, 2**31), height=st.integers(1, 60), width=st.integers(1, 90), small=st.booleans())
def test_overlay_twins(seed, height, width, small):
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
    size = (rng.integers(1, height + 1), rng.integers(1, width + 1)) if small else (height, width)
    labels = rng.integers(0, 256, size, dtype=np.uint8)
    ontology = load_ontology("duality_desert")
    numpy, native = twins(lambda: overlay_image(image, labels, ontology).copy())
    np.testing.assert_array_equal(numpy, native)
