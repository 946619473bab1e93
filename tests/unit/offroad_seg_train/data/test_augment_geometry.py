# SPDX-License-Identifier: Apache-2.0
"""Views keep image and labels together, lie where they should, and mark what they invent."""

from __future__ import annotations

import cv2
import kornia
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from offroad_seg.image import Letterbox
from offroad_seg_train.data.augment import Augment, AugmentConfig
from offroad_seg_train.data.augment.geometry import ViewSampler, take_view

BOX = Letterbox(24, 40)


def coded(height: int = 24, width: int = 40) -> tuple[np.ndarray, np.ndarray]:
    """Red climbs with the column, green with the row, from 0 to 240; labels are the column in steps of four."""
    column = np.tile((np.arange(width) + 0.5) / width, (height, 1))
    row = np.tile(((np.arange(height) + 0.5) / height)[:, None], (1, width))
    image = np.stack((column * 240, row * 240, np.full_like(row, 9)), axis=-1).round().astype(np.uint8)
    return image, (np.arange(width) // 4).astype(np.uint8)[None].repeat(height, 0)


def says(image: np.ndarray, labels: np.ndarray, width: int) -> float:
    """Largest distance, in columns, of what red says of a labelled pixel from the four columns that its label names."""
    labelled = labels != 255
    column = image[..., 0][labelled] / 240 * width - 0.5
    middle = labels[labelled] * 4 + 1.5
    return float(np.abs(column - middle).max() - 1.5) if labelled.any() else 0.0


@settings(max_examples=150, deadline=None)
@given(
    low=st.floats(0.3, 1.5),
    range_=st.floats(0, 1.5),
    flip=st.sampled_from([0.0, 0.5]),
    size=st.sampled_from([(24, 40), (48, 80), (50, 60), (10, 12), (61, 40)]),
    seed=st.integers(0, 10_000),
)
def test_image_and_labels_move_alike(
    low: float, range_: float, flip: float, size: tuple[int, int], seed: int
) -> None:
    augment = Augment(AugmentConfig(flip=flip, scale_min=low, scale_max=low + range_), BOX)
    image, labels = augment(*coded(*size), np.random.default_rng(seed))
    assert image.shape == (24, 40, 3)
    assert labels.shape == (24, 40)
    assert image.dtype == labels.dtype == np.uint8
    assert (image[labels == 255] == BOX.pad_value).all()
    # One pixel of either size, for the two interpolations, and rounding to 240 steps.
    place = BOX.geometry(*size)
    pixel = max(1.0, size[1] / (place.width * low))
    assert says(image, labels, size[1]) <= pixel + 0.3


@pytest.mark.parametrize("size", [(24, 40), (48, 80), (50, 60), (61, 40), (539, 963)], ids=str)
def test_the_whole_image_is_the_letterbox_to_the_bit(size: tuple[int, int]) -> None:
    image, labels = coded(*size)
    whole_image, whole_labels = Augment(AugmentConfig(), BOX)(image, labels, np.random.default_rng(0))
    assert np.array_equal(whole_image, BOX.apply(image))
    assert np.array_equal(whole_labels, BOX.apply_mask(labels))


def test_an_image_of_the_network_s_size_is_not_touched_at_all() -> None:
    rng = np.random.default_rng(3)
    image = rng.integers(0, 256, (24, 40, 3), np.uint8)
    labels = rng.integers(0, 5, (24, 40), np.uint8)
    same_image, same_labels = Augment(AugmentConfig(), BOX)(image, labels, rng)
    assert np.array_equal(same_image, image)
    assert np.array_equal(same_labels, labels)
    assert not np.shares_memory(same_image, image)


@pytest.mark.parametrize("size", [(24, 40), (48, 80), (50, 60), (61, 40)], ids=str)
def test_a_flip_mirrors_the_letterbox(size: tuple[int, int]) -> None:
    image, labels = coded(*size)
    flipped, flipped_labels = Augment(AugmentConfig(flip=1), BOX)(image, labels, np.random.default_rng(0))
    assert np.abs(flipped.astype(int) - BOX.apply(image[:, ::-1])).max() <= 3
    assert (flipped_labels == BOX.apply_mask(labels[:, ::-1])).mean() > 0.95


def test_a_zoomed_view_lies_inside_and_a_far_one_holds_everything() -> None:
    image, labels = coded(48, 80)
    for seed in range(50):
        near = Augment(AugmentConfig(scale_min=1.2, scale_max=3), BOX)
        far = Augment(AugmentConfig(scale_min=0.6, scale_max=0.9), BOX)
        assert (near(image, labels, np.random.default_rng(seed))[1] != 255).all()
        seen = far(image, labels, np.random.default_rng(seed))[1]
        assert {0, 19, 255} <= set(np.unique(seen)) <= {*range(20), 255}
        assert 0.1 < (seen != 255).mean() < 0.9


def test_zooming_into_a_larger_source_shows_its_detail() -> None:
    """Stripes two source pixels wide: gone when the source is shrunk first, there when the view is cut from it."""
    stripes = np.zeros((96, 160, 3), np.uint8)
    stripes[:, 0::4] = stripes[:, 1::4] = 200
    shrunk = cv2.resize(stripes, (40, 24), interpolation=cv2.INTER_LINEAR)
    labels = np.zeros((96, 160), np.uint8)
    augment = Augment(AugmentConfig(scale_min=4, scale_max=4), BOX)
    sharp, _ = augment(stripes, labels, np.random.default_rng(0))
    flat, _ = augment(shrunk, labels[:24, :40], np.random.default_rng(0))
    assert sharp.std() > 60
    assert flat.std() < 5


def test_a_view_is_centred_on_the_focus_as_far_as_the_edges_let_it() -> None:
    image, labels = coded(48, 80)
    views = ViewSampler(AugmentConfig(scale_min=4, scale_max=4), BOX)
    for focus, expected in (((40.0, 24.0), (40, 24)), ((0.0, 0.0), (10, 6)), ((79.0, 20.0), (70, 20))):
        view = views.draw(np.random.default_rng(0), 48, 80, focus)
        middle = view.source_T_view_33 @ (20, 12, 1)
        assert middle[:2] == pytest.approx(expected)
        seen, _, inside = take_view(image, labels, view, BOX)
        assert inside is None
        assert seen[12, 20, 0] == pytest.approx(expected[0] / 80 * 240, abs=3)


def test_a_far_view_of_fine_stripes_does_not_sparkle() -> None:
    stripes = np.zeros((24, 40, 3), np.uint8)
    stripes[:, ::2] = 200
    augment = Augment(AugmentConfig(scale_min=0.5, scale_max=0.5), BOX)
    image, labels = augment(stripes, np.zeros((24, 40), np.uint8), np.random.default_rng(1))
    inside = image[..., 0][labels == 0].astype(int)
    assert np.abs(inside - 100).max() <= 30


def test_what_comes_in_is_left_as_it_was() -> None:
    image, labels = coded(48, 80)
    before = image.copy(), labels.copy()
    augment = Augment(AugmentConfig(flip=0.5, scale_min=0.5, scale_max=2, brightness=0.5, hue=0.1), BOX)
    for seed in range(10):
        augment(image, labels, np.random.default_rng(seed))
    assert np.array_equal(image, before[0])
    assert np.array_equal(labels, before[1])


@pytest.mark.parametrize("seed", range(6))
def test_a_quarter_turn_is_numpy_s_in_a_letterbox_of_its_own(seed: int) -> None:
    rng = np.random.default_rng(9)
    image = cv2.resize(rng.integers(0, 256, (5, 7, 3), np.uint8), (64, 48), interpolation=cv2.INTER_CUBIC)
    labels = cv2.resize(
        rng.integers(0, 5, (5, 7)).astype(np.uint8), (64, 48), interpolation=cv2.INTER_NEAREST
    )
    square = Letterbox(48, 48)
    turned, turned_labels = Augment(AugmentConfig(quarter_turns=1), square)(
        image, labels, np.random.default_rng(seed)
    )
    errors = [
        (
            np.abs(turned.astype(int) - square.apply(np.ascontiguousarray(np.rot90(image, k)))).max(),
            (turned_labels != square.apply_mask(np.ascontiguousarray(np.rot90(labels, k)))).mean(),
        )
        for k in (1, 2, 3)
    ]
    assert min(errors)[0] <= 5
    assert min(errors)[1] < 0.04


def test_a_turn_goes_to_both_sides_up_to_its_limit() -> None:
    views = ViewSampler(AugmentConfig(rotation=15), BOX)
    turns = []
    for seed in range(200):
        matrix = views.draw(np.random.default_rng(seed), 48, 80).source_T_view_33
        turns.append(np.degrees(np.arctan2(matrix[1, 0], matrix[0, 0])))
        assert matrix[:2, :2] @ matrix[:2, :2].T == pytest.approx(4 * np.eye(2))  # no stretch, no shear
        assert matrix @ (20, 12, 1) == pytest.approx((40, 24, 1))  # about the middle
    assert -15 <= min(turns) < -13
    assert 13 < max(turns) <= 15


def test_perspective_moves_the_corners_inwards_and_not_alike() -> None:
    views = ViewSampler(AugmentConfig(perspective=0.4), BOX)
    for seed in range(50):
        matrix = views.draw(np.random.default_rng(seed), 24, 40).source_T_view_33
        seen = [matrix @ (x, y, 1) for x, y in ((0, 0), (40, 0), (40, 24), (0, 24))]
        corners = np.array([p[:2] / p[2] for p in seen])
        moved = np.abs(corners - [(0, 0), (40, 0), (40, 24), (0, 24)]) / (20, 12)
        assert (moved <= 0.4 + 1e-6).all()
        assert moved.std() > 0.02
        assert (corners >= -1e-6).all()
        assert (corners <= (40 + 1e-6, 24 + 1e-6)).all()


def test_the_warp_is_kornia_s() -> None:
    """An independent implementation of the same homography."""
    image = cv2.resize(np.random.default_rng(1).integers(0, 256, (6, 9, 3), np.uint8), (80, 48))
    config = AugmentConfig(rotation=30, perspective=0.3, scale_min=1, scale_max=2)
    for seed in range(10):
        view = ViewSampler(config, BOX).draw(np.random.default_rng(seed), 48, 80)
        ours, _, inside = take_view(image, np.zeros((48, 80), np.uint8), view, BOX)
        half = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1]])
        source_T_view = torch.from_numpy(np.linalg.inv(half) @ view.source_T_view_33 @ half)[None]
        theirs = (
            kornia.geometry.warp_perspective(
                torch.from_numpy(image).permute(2, 0, 1)[None].double(),
                torch.linalg.inv(source_T_view),
                (24, 40),
                padding_mode="border",
                align_corners=True,
            )[0]
            .permute(1, 2, 0)
            .numpy()
        )
        where = np.ones((24, 40), bool) if inside is None else inside == 1
        assert np.abs(ours - theirs)[where].max() <= 3
