# SPDX-License-Identifier: Apache-2.0
"""Settings that make no sense are refused by name."""

from __future__ import annotations

from dataclasses import fields

import pytest

from offroad_seg.errors import InputError
from offroad_seg_train.data.augment import AugmentConfig

WRONG = [
    {"flip": 1.5},
    {"hue": 0.6},
    {"scale_min": 0},
    {"scale_min": 2},
    {"scale_max": 1000},
    {"rotation": -1},
    {"perspective": 1},
    {"gamma": 3},
    {"jpeg_quality": 0},
    {"motion_blur_length": 2},
    {"noise_sigma": float("nan")},
    {"cutmix": 0.6, "classmix": 0.6},
]


@pytest.mark.parametrize("wrong", WRONG, ids=str)
def test_settings_out_of_bounds_are_refused_by_name(wrong: dict) -> None:
    with pytest.raises(InputError) as error:
        AugmentConfig(**wrong)
    assert all(name in str(error.value) for name in wrong)
    assert error.value.mend


def test_every_setting_is_explained_and_bounded() -> None:
    for field in fields(AugmentConfig):
        assert f"        {field.name}: " in AugmentConfig.__doc__
        with pytest.raises(InputError):
            AugmentConfig(**{field.name: -1e9})
