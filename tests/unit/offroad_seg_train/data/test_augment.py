# SPDX-License-Identifier: Apache-2.0
"""Augmentation keeps image and labels together, and marks what it invents."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from offroad_seg.errors import InputError
from offroad_seg_train.data.augment import Augment, AugmentConfig, zoom

HEIGHT, WIDTH = 24, 40


def coded() -> tuple[torch.Tensor, torch.Tensor]:
    """Labels that are the column; red climbs by 6 a column and green by 9 a row."""
    column = torch.arange(WIDTH, dtype=torch.uint8).expand(HEIGHT, WIDTH)
    row = torch.arange(HEIGHT, dtype=torch.uint8)[:, None].expand(HEIGHT, WIDTH)
    return torch.stack((column * 6, row * 9, torch.full_like(row, 9))), column.contiguous()


@settings(max_examples=80, deadline=None)
@given(scale=st.floats(0.3, 3), seed=st.integers(0, 10_000))
def test_zoom_moves_image_and_labels_alike(scale: float, seed: int) -> None:
    torch.manual_seed(seed)
    image, labels = zoom(*coded(), scale, pad_value=114)
    assert image.shape == (3, HEIGHT, WIDTH)
    assert labels.shape == (HEIGHT, WIDTH)
    assert image.dtype == labels.dtype == torch.uint8
    outside = labels == 255
    if scale >= 1:
        assert not outside.any()
    else:
        expected = HEIGHT * WIDTH - round(HEIGHT * scale) * round(WIDTH * scale)
        assert int(outside.sum()) == expected
        assert (image[:, outside] == 114).all()
    # Red climbs by 6 a column and green by 9 a row, and the labels say both: they must agree to a pixel's half.
    column, row = image[0].float() / 6, image[1].float() / 9
    inside = ~outside
    inside &= inside.roll(1, 0) & inside.roll(-1, 0) & inside.roll(1, 1) & inside.roll(-1, 1)
    inside[[0, -1]] = inside[:, 0] = inside[:, -1] = False  # the filter has no neighbours there
    assert inside.any()
    assert float((column - labels).abs()[inside].max()) < 0.7
    assert float((row - zoom_rows(scale, seed)).abs()[inside].max()) < 0.7


def zoom_rows(scale: float, seed: int) -> torch.Tensor:
    """The row that each label comes from, by the same zoom of labels that are rows."""
    torch.manual_seed(seed)
    labels = torch.arange(HEIGHT, dtype=torch.uint8)[:, None].expand(HEIGHT, WIDTH).contiguous()
    return zoom(coded()[0], labels, scale, pad_value=114)[1]


def test_flip_mirrors_both() -> None:
    image, labels = coded()
    flipped_image, flipped_labels = Augment(AugmentConfig(flip=1.0))(image, labels)
    assert torch.equal(flipped_image, image.flip(-1))
    assert torch.equal(flipped_labels, labels.flip(-1))


def test_colours_change_and_labels_do_not() -> None:
    torch.manual_seed(0)
    image, labels = coded()
    changed, same = Augment(AugmentConfig(brightness=0.5, contrast=0.3, saturation=0.3, hue=0.1))(
        image, labels
    )
    assert torch.equal(same, labels)
    assert changed.dtype == torch.uint8
    assert not torch.equal(changed, image)


def test_the_defaults_change_nothing() -> None:
    image, labels = coded()
    same_image, same_labels = Augment(AugmentConfig())(image, labels)
    assert torch.equal(same_image, image)
    assert torch.equal(same_labels, labels)


def test_what_comes_in_is_left_as_it_was() -> None:
    image, labels = coded()
    before = image.clone(), labels.clone()
    augment = Augment(AugmentConfig(flip=1, scale_min=0.5, scale_max=2, brightness=0.5))
    for seed in range(10):
        torch.manual_seed(seed)
        augment(image, labels)
    assert torch.equal(image, before[0])
    assert torch.equal(labels, before[1])


@pytest.mark.parametrize("wrong", [{"flip": 1.5}, {"hue": 0.6}, {"scale_min": 0}, {"scale_min": 2}], ids=str)
def test_settings_out_of_bounds_are_refused(wrong: dict) -> None:
    with pytest.raises(InputError):
        AugmentConfig(**wrong)
