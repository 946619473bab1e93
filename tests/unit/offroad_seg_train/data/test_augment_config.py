# SPDX-License-Identifier: Apache-2.0
"""Settings that make no sense are refused by name."""

from __future__ import annotations

import pytest

from offroad_seg.errors import InputError
from offroad_seg_train.data.augment import AugmentConfig


@pytest.mark.parametrize("wrong", [{"flip": 1.5}, {"hue": 0.6}, {"scale_min": 0}, {"scale_min": 2}], ids=str)
def test_settings_out_of_bounds_are_refused(wrong: dict) -> None:
    with pytest.raises(InputError):
        AugmentConfig(**wrong)
