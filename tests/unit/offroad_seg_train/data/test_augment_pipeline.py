# SPDX-License-Identifier: Apache-2.0
"""What holds for every configuration: no invented labels, image and labels together, padding marked, nothing random
but the generator."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from offroad_seg.image import Letterbox
from offroad_seg_train.data.augment import Augment, AugmentConfig, pipeline
from offroad_seg_train.data.augment.colour import vary_colour
from offroad_seg_train.data.sampler import RareFocus

if TYPE_CHECKING:
    from collections.abc import Iterator

BOX = Letterbox(48, 80)
# A colour for each class, far apart: a picture that says its own labels.
COLOURS = np.array([(250, 20, 20), (20, 250, 20), (20, 20, 250), (230, 230, 30), (240, 240, 240)], np.uint8)

part = st.floats(0, 1)
geometry = {
    "flip": part,
    "flip_vertical": part,
    "quarter_turns": part,
    "rotation": st.floats(0, 180),
    "perspective": st.floats(0, 0.6),
    "scale_min": st.floats(0.4, 1),
    "scale_max": st.floats(1, 3),
}
mixing = {"cutmix": st.floats(0, 0.5), "classmix": st.floats(0, 0.5)}
looks = {
    **dict.fromkeys(
        ("brightness", "contrast", "saturation", "shadow", "dust", "glare", "noise", "jpeg"), part
    ),
    **dict.fromkeys(("motion_blur", "blur", "shadow_strength", "dust_strength", "glare_strength"), part),
    "hue": st.floats(0, 0.5),
    "gamma": st.floats(0, 2),
    "motion_blur_length": st.floats(3, 20),
    "blur_sigma": st.floats(0.1, 5),
    "noise_sigma": st.floats(0, 100),
    "jpeg_quality": st.integers(1, 95),
}


def scene(
    seed: int, height: int, width: int, ids: tuple[int, ...] = (0, 1, 2, 3, 4)
) -> tuple[np.ndarray, np.ndarray]:
    """Blocks of classes in their colours; one block carries no label and is black."""
    rng = np.random.default_rng(seed)
    blocks = rng.choice(ids, (3, 4)).astype(np.uint8)
    blocks[rng.integers(3), rng.integers(4)] = 255
    labels = cv2.resize(blocks, (width, height), interpolation=cv2.INTER_NEAREST)
    return COLOURS[np.minimum(labels, 4)] * (labels != 255)[..., None].astype(np.uint8), labels


def run(config: AugmentConfig, size: tuple[int, int], seed: int, focus: RareFocus | None = None) -> tuple:
    augment = Augment(config, BOX, focus)
    other = scene(seed + 1, 60, 70, (3, 4))
    return augment(*scene(seed, *size, (0, 1, 2)), np.random.default_rng(seed), lambda rng: other)


SIZES = st.sampled_from([(48, 80), (96, 160), (70, 60), (33, 101)])


@settings(max_examples=150, deadline=None)
@given(
    chosen=st.fixed_dictionaries({}, optional={**geometry, **mixing, **looks}),
    size=SIZES,
    seed=st.integers(0, 10_000),
)
def test_no_configuration_invents_labels_sizes_or_chance(
    chosen: dict, size: tuple[int, int], seed: int
) -> None:
    config = AugmentConfig(**chosen)
    image, labels = run(config, size, seed)
    assert image.shape == (48, 80, 3)
    assert labels.shape == (48, 80)
    assert image.dtype == labels.dtype == np.uint8
    assert image.transpose(2, 0, 1).flags.c_contiguous  # as the network wants it: the loader need not copy
    assert set(np.unique(labels)) <= {0, 1, 2, 3, 4, 255}
    if not (config.cutmix or config.classmix):
        assert set(np.unique(labels)) <= {0, 1, 2, 255}
    np.random.seed(0)  # noqa: NPY002 - the global generator must not matter
    again_image, again_labels = run(config, size, seed)
    assert np.array_equal(image, again_image)
    assert np.array_equal(labels, again_labels)


@example(  # where the black block lies beside the padding
    chosen={"flip": 1.0, "flip_vertical": 1.0, "scale_min": 0.9375, "scale_max": 1.46875, "cutmix": 0.5},
    size=(70, 60),
    seed=240,
    focused=False,
)
@settings(max_examples=150, deadline=None)
@given(
    chosen=st.fixed_dictionaries({}, optional={**geometry, **mixing, "perspective": st.floats(0, 0.3)}),
    size=SIZES,
    seed=st.integers(0, 10_000),
    focused=st.booleans(),
)
def test_a_picture_that_says_its_labels_still_does(
    chosen: dict, size: tuple[int, int], seed: int, focused: bool
) -> None:
    focus = RareFocus(np.array([1, 2, 3, 4, 5]), 1.0, 0.5) if focused else None
    image, labels = run(AugmentConfig(**chosen), size, seed, focus)
    distance = np.linalg.norm(image[:, :, None].astype(int) - COLOURS.astype(int), axis=-1)
    labelled = labels != 255
    # Away from edges, where two colours mix, every labelled pixel has its class's very colour.
    sure = labelled & (distance.min(-1) < 4)
    assert np.array_equal(distance.argmin(-1)[sure], labels[sure])
    around = np.ones((11, 11), np.uint8)
    flat = cv2.erode(labels, around) == cv2.dilate(labels, around)
    flat[:5] = flat[-5:] = flat[:, :5] = flat[:, -5:] = False  # an edge may lie just outside
    assert (distance.min(-1)[labelled & flat] < 4).all()
    # What carries no label is black in the scene, or padding, or an edge to one of them: between the two it is dark grey.
    plain = (image == image[..., :1]).all(-1) & (image[..., 0] <= BOX.pad_value)
    assert plain[~labelled & flat].all()


@settings(max_examples=60, deadline=None)
@given(
    chosen=st.fixed_dictionaries({}, optional={**geometry, **looks}), size=SIZES, seed=st.integers(0, 10_000)
)
def test_padding_is_always_the_same_grey_and_ignored(chosen: dict, size: tuple[int, int], seed: int) -> None:
    """Whatever is done to the picture: with a mask that has every pixel labelled, 255 is padding and nothing else."""
    image, labels = scene(seed, *size)
    everywhere = np.where(labels == 255, 0, labels).astype(np.uint8)
    image, labels = Augment(AugmentConfig(**chosen), BOX)(image, everywhere, np.random.default_rng(seed))
    assert (image[labels == 255] == BOX.pad_value).all()


@pytest.mark.parametrize("size", [(48, 80), (96, 160), (33, 101)], ids=str)
def test_the_defaults_change_nothing_whatever_the_partner(size: tuple[int, int]) -> None:
    image, labels = run(AugmentConfig(), size, 0)
    source_image, source_labels = scene(0, *size, (0, 1, 2))
    assert np.array_equal(image, BOX.apply(source_image))
    assert np.array_equal(labels, BOX.apply_mask(source_labels))


SWITCHED_ON = {
    **{name: {name: 1.0} for name in ("flip", "flip_vertical", "quarter_turns", "cutmix", "classmix")},
    **{name: {name: 1.0} for name in ("shadow", "dust", "glare", "motion_blur", "blur", "noise", "jpeg")},
    **{name: {name: 0.3} for name in ("brightness", "contrast", "saturation", "gamma", "hue", "perspective")},
    "rotation": {"rotation": 20.0},
    "zoom in": {"scale_min": 1.2, "scale_max": 2.0},
    "zoom out": {"scale_min": 0.5, "scale_max": 0.8},
}


@pytest.mark.parametrize("settings_", SWITCHED_ON.values(), ids=SWITCHED_ON)
def test_whatever_is_switched_on_changes_the_picture(settings_: dict[str, float]) -> None:
    rng = np.random.default_rng(4)
    image = cv2.resize(rng.integers(30, 226, (24, 40, 3), np.uint8), (80, 48))
    labels = scene(0, 48, 80, (0, 1, 2))[1]
    other = scene(1, 60, 70, (3, 4))
    moves = bool(settings_.keys() - looks.keys())
    changed = []
    for seed in range(12):
        new_image, new_labels = Augment(AugmentConfig(**settings_), BOX)(
            image, labels, np.random.default_rng(seed), lambda _: other
        )
        changed.append(not np.array_equal(new_image, image))
        assert moves or np.array_equal(new_labels, labels)
    # A shadow or the sun may lie beside the view, an amount may be drawn next to nothing.
    assert sum(changed) >= 9


def test_the_list_above_is_complete() -> None:
    amounts = {
        name
        for name in AugmentConfig.__dataclass_fields__
        if name.endswith(("strength", "sigma", "length", "quality"))
    }
    assert {name for chosen in SWITCHED_ON.values() for name in chosen} == {
        *AugmentConfig.__dataclass_fields__
    } - amounts


@pytest.fixture
def threads() -> Iterator[int]:
    before = torch.get_num_threads()
    yield before
    torch.set_num_threads(before)


def test_a_picture_is_made_on_one_thread_as_in_a_worker(
    threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a picture as large as this torch makes a part for each thread, and the mean of means rounds otherwise."""
    image = np.random.default_rng(0).integers(0, 256, (266, 476, 3), np.uint8)
    labels = np.zeros((266, 476), np.uint8)
    used = []

    def watched(*args: object) -> torch.Tensor:
        used.append(torch.get_num_threads())
        return vary_colour(*args)

    monkeypatch.setattr(pipeline, "vary_colour", watched)
    every = dict.fromkeys(("blur", "noise", "jpeg", "motion_blur"), 1.0)
    augment = Augment(AugmentConfig(contrast=0.3, saturation=0.3, **every), Letterbox(266, 476))
    for seed in range(3):
        seen = []
        for count in (1, 3, 4):
            torch.set_num_threads(count)
            seen.append(augment(image, labels, np.random.default_rng(seed))[0])
            assert torch.get_num_threads() == count
        assert np.array_equal(seen[0], seen[1])
        assert np.array_equal(seen[0], seen[2])
    assert set(used) == {1}


def test_each_thing_happens_as_often_as_its_probability_says() -> None:
    image, labels = scene(0, 48, 80)
    for name in ("shadow", "dust", "glare", "noise", "jpeg", "flip"):
        augment = Augment(AugmentConfig(**{name: 0.3}), BOX)
        changed = [
            not np.array_equal(augment(image, labels, np.random.default_rng(seed))[0], image)
            for seed in range(300)
        ]
        assert 0.2 < np.mean(changed) < 0.4, name


def test_mixing_takes_half_of_each_kind_as_asked() -> None:
    kinds = {"cut": 0, "class": 0, "none": 0}
    augment = Augment(AugmentConfig(cutmix=0.3, classmix=0.3), BOX)
    first = np.zeros((48, 80, 3), np.uint8), np.zeros((48, 80), np.uint8)
    other = COLOURS[[[1, 2] * 40] * 48], np.array([[1, 2] * 40] * 48, np.uint8)
    for seed in range(300):
        _, labels = augment(*first, np.random.default_rng(seed), lambda rng: other)
        kinds[
            "none" if not labels.any() else "cut" if len(np.unique(labels[labels > 0])) == 2 else "class"
        ] += 1
    assert 60 < kinds["cut"] < 120
    assert 60 < kinds["class"] < 120


def test_no_shadow_falls_on_the_sky() -> None:
    labels = np.zeros((48, 80), np.uint8)
    labels[:24] = 3
    image = np.full((48, 80, 3), 120, np.uint8)
    augment = Augment(AugmentConfig(shadow=1, shadow_strength=0.9), BOX, sky=[3])
    shaded = np.stack([augment(image, labels, np.random.default_rng(seed))[0] for seed in range(40)])
    assert (shaded[:, :24] == 120).all()
    assert (shaded[:, 24:] < 100).mean() > 0.1
    anywhere = Augment(AugmentConfig(shadow=1, shadow_strength=0.9), BOX)
    assert any(
        (anywhere(image, labels, np.random.default_rng(seed))[0][:24] < 100).any() for seed in range(40)
    )
