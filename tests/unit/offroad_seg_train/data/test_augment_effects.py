# SPDX-License-Identifier: Apache-2.0
"""Each effect does what its name says, as strongly as it may, and to the image alone."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch

from offroad_seg_train.data.augment.camera import add_motion, add_noise, compress, defocus
from offroad_seg_train.data.augment.mixing import Sample, class_mix, cut_mix
from offroad_seg_train.data.augment.weather import add_dust, add_glare, add_shadow

HEIGHT, WIDTH = 90, 160
GREY = np.full((HEIGHT, WIDTH, 3), 120, np.uint8)
BUSY = cv2.resize(np.random.default_rng(0).integers(0, 256, (30, 50, 3), np.uint8), (WIDTH, HEIGHT))


def on_planes(effect):
    """An effect on (3, H, W) tensors as one on (H, W, 3) arrays."""

    def changed(image: np.ndarray, limit: float, rng: np.random.Generator) -> np.ndarray:
        image_CHW = torch.from_numpy(image).permute(2, 0, 1).contiguous()
        before = image_CHW.clone()
        out_CHW = effect(image_CHW, limit, rng)
        assert torch.equal(image_CHW, before)
        return out_CHW.permute(1, 2, 0).numpy()

    return changed


noise, focus, jpeg = map(on_planes, (add_noise, defocus, compress))


def many(effect, image: np.ndarray, limit: float, n: int = 30) -> np.ndarray:
    before = image.copy()
    out = np.stack([effect(image, limit, np.random.default_rng(seed)) for seed in range(n)])
    assert np.array_equal(image, before)
    assert out.dtype == np.uint8
    assert out.shape[1:] == image.shape
    return out


def test_noise_has_the_spread_it_may_and_no_bias() -> None:
    noisy = many(noise, GREY, 20.0, 60).astype(float)
    spread = noisy.std(axis=(1, 2, 3))
    assert spread.max() < 20.5
    assert spread.mean() == pytest.approx(10, abs=2)
    assert abs(noisy.mean() - 120) < 0.1
    one = noisy[spread.argmax()] - 120
    # Gaussian: two thirds within one standard deviation, and neighbours know nothing of each other.
    assert (np.abs(one) < one.std()).mean() == pytest.approx(0.683, abs=0.04)
    assert abs(np.corrcoef(one[:, 1:].ravel(), one[:, :-1].ravel())[0, 1]) < 0.02
    assert abs(np.corrcoef(one[..., 0].ravel(), one[..., 1].ravel())[0, 1]) < 0.02


def test_noise_draws_from_the_given_generator_alone() -> None:
    torch.manual_seed(1)
    first, expected = noise(BUSY, 20.0, np.random.default_rng(5)), torch.rand(3)
    torch.manual_seed(2)
    assert np.array_equal(noise(BUSY, 20.0, np.random.default_rng(5)), first)
    torch.manual_seed(1)
    assert torch.equal(torch.rand(3), expected)


def test_noise_never_wraps_around() -> None:
    assert noise(np.full_like(GREY, 254), 30.0, np.random.default_rng(1)).min() > 100
    assert noise(np.full_like(GREY, 1), 30.0, np.random.default_rng(1)).max() < 150


@pytest.mark.parametrize("longest", [3.0, 4.9, 9.0, 30.0])
def test_motion_smears_a_point_along_a_line_of_up_to_its_length(longest: float) -> None:
    point = np.zeros((61, 81, 3), np.uint8)
    point[30, 40] = 255
    rows, columns = np.indices((61, 81)) - np.array([30, 40])[:, None, None]
    spreads, directions = [], []
    for seed in range(60):
        smear = add_motion(point, longest, np.random.default_rng(seed))[..., 0].astype(float)
        smear /= smear.sum()
        assert abs((smear * rows).sum()) < 0.2
        assert abs((smear * columns).sum()) < 0.2
        spread = np.cov(np.stack([rows.ravel(), columns.ravel()]), aweights=smear.ravel(), ddof=0)
        values, vectors = np.linalg.eigh(spread)
        assert values[0] < 0.35  # thin: interpolation adds a little
        spreads.append(values[1])
        directions.append(np.arctan2(vectors[0, 1], vectors[1, 1]) % np.pi)
    # A line of n equal pixels has a variance of (n² - 1)/12, and n is odd.
    longest_odd = int(longest + 1) // 2 * 2 - 1
    assert max(spreads) == pytest.approx((longest_odd**2 - 1) / 12, rel=0.15, abs=0.3)
    assert min(spreads) == pytest.approx(8 / 12, abs=0.5)
    assert np.histogram(directions, 4, (0, np.pi))[0].min() > 5


def test_motion_and_focus_blur_and_keep_the_mean() -> None:
    for blurred in (many(add_motion, BUSY, 11.0), many(focus, BUSY, 4.0)):
        assert np.abs(blurred.mean(axis=(1, 2, 3)) - BUSY.mean()).max() < 2
        edges = [cv2.Laplacian(image, cv2.CV_32F).std() for image in blurred]
        assert min(edges) < 0.5 * cv2.Laplacian(BUSY, cv2.CV_32F).std()


def test_compression_keeps_the_colours_and_loses_detail() -> None:
    red = np.full_like(GREY, (200, 30, 40))
    assert np.abs(many(jpeg, red, 5).astype(int) - red).max() <= 12
    losses = np.abs(many(jpeg, BUSY, 5).astype(int) - BUSY).mean(axis=(1, 2, 3))
    assert losses.max() > 2 * losses.min() > 0


@pytest.mark.parametrize("strength", [0.3, 0.8])
def test_a_shadow_takes_light_from_a_part_as_strongly_as_it_may(strength: float) -> None:
    shaded = many(add_shadow, GREY, strength, 60).astype(float)
    assert shaded.max() <= 121
    assert shaded.min() >= 120 * (1 - strength) * 0.9 - 1
    assert shaded.min() < 120 * (1 - 0.8 * strength)
    darker = (shaded[..., 1] < 119).mean(axis=(1, 2))
    assert 0.02 < darker.mean() < 0.6
    assert (darker < 0.95).all()
    # Its light is the sky's: bluer, never redder.
    in_shade = shaded[shaded[..., 1] < 90 + 20 * (strength < 0.5)]
    assert (in_shade[:, 2] >= in_shade[:, 0]).all()


def test_dust_hides_the_far_more_than_the_near() -> None:
    black = np.zeros_like(GREY)
    dusty = many(add_dust, black, 1.0, 40).astype(float)
    by_row = dusty.mean(axis=(0, 2, 3))
    assert by_row[:10].mean() > 2 * by_row[-10:].mean()
    assert (dusty[..., 0] + 1 >= dusty[..., 2]).all()  # tan, not blue
    weak = many(add_dust, black, 0.2, 40).astype(float)
    assert weak.max() <= 0.2 * 220 + 1


def test_glare_is_bright_about_one_place_and_never_darkens() -> None:
    dazzled = many(add_glare, GREY, 1.0, 40).astype(int)
    assert (dazzled >= 119).all()
    assert dazzled.max() > 240
    assert np.median(dazzled) < 200
    assert many(add_glare, GREY, 0.1, 40).max() < 120 + 0.16 * 135 + 2


def sample(value: int, label: int, inside: np.ndarray | None = None) -> Sample:
    return Sample(np.full((40, 60, 3), value, np.uint8), np.full((40, 60), label, np.uint8), inside)


def test_cut_mix_pastes_one_rectangle_with_its_labels_and_its_padding() -> None:
    padding = np.ones((40, 60), np.uint8)
    padding[:, :30] = 0
    shares = []
    for seed in range(100):
        mixed = cut_mix(sample(10, 1), sample(20, 2, padding), np.random.default_rng(seed))
        pasted = mixed.labels_HW == 2
        assert np.array_equal(pasted, mixed.image_HWC[..., 0] == 20)
        assert np.array_equal(mixed.inside_HW == 0, pasted & (padding == 0))
        rows, columns = pasted.any(1), pasted.any(0)
        assert pasted.sum() == rows.sum() * columns.sum()  # a rectangle
        shares.append(pasted.mean())
    assert min(shares) < 0.05
    assert max(shares) > 0.6


def test_class_mix_pastes_half_of_the_classes_whole() -> None:
    labels = np.repeat(np.array([0, 1, 2, 255], np.uint8), 15)[None].repeat(40, 0)
    other = Sample(np.dstack([labels + 100] * 3), labels, None)
    seen = set()
    for seed in range(40):
        mixed = class_mix(sample(10, 7), other, np.random.default_rng(seed))
        pasted = mixed.labels_HW != 7
        classes = frozenset(np.unique(labels[pasted]).tolist())
        assert len(classes) == 2
        assert 255 not in classes
        assert np.array_equal(pasted, np.isin(labels, list(classes)))
        assert np.array_equal(mixed.image_HWC[..., 0], np.where(pasted, labels + 100, 10))
        assert mixed.inside_HW is None
        seen.add(classes)
    assert len(seen) == 3


def test_class_mix_with_a_frame_without_labels_changes_nothing() -> None:
    empty = Sample(np.full((40, 60, 3), 9, np.uint8), np.full((40, 60), 255, np.uint8), None)
    mixed = class_mix(sample(10, 7), empty, np.random.default_rng(0))
    assert (mixed.labels_HW == 7).all()
    assert (mixed.image_HWC == 10).all()
