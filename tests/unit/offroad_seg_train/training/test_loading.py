# SPDX-License-Identifier: Apache-2.0
"""Order and augmentation follow from (seed, epoch, frame) and from nothing else."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from offroad_seg.errors import DataError
from offroad_seg.image import Letterbox
from offroad_seg_train.data.augment import Augment, AugmentConfig
from offroad_seg_train.data.sampler import SamplingConfig, frame_weights
from offroad_seg_train.training.loading import (
    Frames,
    build_loader,
    derive_seed,
    plan_sampling,
)

BOX = Letterbox(12, 20)
LIVELY = Augment(
    AugmentConfig(
        **dict.fromkeys(("flip", "shadow", "dust", "glare", "motion_blur", "blur", "noise", "jpeg"), 0.5),
        **dict.fromkeys(("brightness", "contrast", "saturation", "gamma"), 0.3),
        **dict.fromkeys(("cutmix", "classmix"), 0.4),
        scale_min=0.6,
        scale_max=1.6,
        rotation=20,
        perspective=0.2,
        hue=0.1,
    ),
    BOX,
)


class Pictures:
    """A data set that lives in memory, of the shape of SegmentationDataset."""

    def __init__(self, n: int, height: int = 12, width: int = 20) -> None:
        rng = np.random.default_rng(0)
        self.images = rng.integers(0, 256, (n, height, width, 3), np.uint8)
        self.labels = rng.integers(0, 3, (n, height, width), np.uint8)
        self.names = [f"f{i:03d}" for i in range(n)]
        self.reads = 0

    def __len__(self) -> int:
        return len(self.names)

    def read(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        self.reads += 1
        return self.images[index], self.labels[index]


def frames(n: int = 10, cache_gib: float = 1.0) -> Frames:
    return Frames(Pictures(n), BOX, cache_gib, show=False)


def one_epoch(epoch: int, workers: int = 0, cache_gib: float = 1.0, start: int | None = None) -> list[dict]:
    loader = build_loader(
        frames(cache_gib=cache_gib),
        batch_size=4,
        workers=workers,
        seed=5,
        augment=LIVELY,
        epoch=epoch if start is None else start,
    )
    if start is not None:
        loader.sampler.set_epoch(epoch)
    return list(loader)


def same(a: list[dict], b: list[dict]) -> bool:
    return len(a) == len(b) and all(
        x["name"] == y["name"]
        and torch.equal(x["image"], y["image"])
        and torch.equal(x["labels"], y["labels"])
        for x, y in zip(a, b, strict=True)
    )


@pytest.mark.parametrize("change", [{"workers": 2}, {"cache_gib": 0.0}, {"start": 0}], ids=str)
def test_an_epoch_is_the_same_however_it_is_read(change: dict) -> None:
    first = one_epoch(3)
    torch.manual_seed(99)
    torch.rand(17)
    assert same(first, one_epoch(3, **change))


def test_epochs_differ_in_order_and_augmentation() -> None:
    first, second = one_epoch(0), one_epoch(1)
    assert [b["name"] for b in first] != [b["name"] for b in second]
    by_name = [
        {name: image for batch in epoch for name, image in zip(batch["name"], batch["image"], strict=True)}
        for epoch in (first, second)
    ]
    both = by_name[0].keys() & by_name[1].keys()
    assert both
    assert any(not torch.equal(by_name[0][name], by_name[1][name]) for name in both)


def test_reading_draws_nothing_from_the_global_generator() -> None:
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    one_epoch(0)
    assert torch.equal(torch.rand(3), expected)


def test_without_a_seed_every_frame_comes_once_in_order() -> None:
    loader = build_loader(frames(), batch_size=4, workers=0)
    assert [name for batch in loader for name in batch["name"]] == [f"f{i:03d}" for i in range(10)]


def test_the_last_small_batch_is_left_out_only_in_training() -> None:
    assert [len(batch["name"]) for batch in one_epoch(0)] == [4, 4]
    few = build_loader(frames(3), batch_size=4, workers=0, seed=1)
    assert [len(batch["name"]) for batch in few] == [3]


def test_cached_frames_are_read_once() -> None:
    cached, fresh = frames(), frames(cache_gib=0.0)
    for source in (cached, fresh):
        for _ in range(3):
            list(build_loader(source, batch_size=4, workers=0))
    assert cached.cached
    assert cached.dataset.reads == 10
    assert not fresh.cached
    assert fresh.dataset.reads == 30


def test_pixels_of_each_class_are_counted() -> None:
    source = frames()
    expected = [int((source.dataset.labels == c).sum()) for c in range(4)]
    assert source.count_pixels(4, show=False) == expected
    assert sum(expected) == 10 * 12 * 20


@pytest.mark.parametrize(
    ("scale", "expected"), [(1.0, (12, 18)), (2.0, (24, 36)), (0.0, (40, 60)), (9.0, (40, 60))]
)
@pytest.mark.parametrize("cache_gib", [0.0, 1.0])
def test_frames_are_kept_at_the_size_asked_for_and_never_enlarged(
    scale: float, expected: tuple[int, int], cache_gib: float
) -> None:
    pictures = Pictures(3, 40, 60)
    source = Frames(pictures, BOX, cache_gib, scale, show=False)
    for i in range(3):
        image, labels = source[i]
        assert image.shape == (*expected, 3)
        assert labels.shape == expected
    if scale != 2:  # where a file is resized once, the whole is what the vehicle sees, to the bit
        fed = next(iter(build_loader(source, batch_size=3, workers=0)))
        assert np.array_equal(fed["labels"], [BOX.apply_mask(p) for p in pictures.labels])
        assert np.array_equal(fed["image"].permute(0, 2, 3, 1), [BOX.apply(p) for p in pictures.images])


def test_frames_of_different_sizes_share_the_memory() -> None:
    pictures = Pictures(4)
    pictures.images = [np.full((8 + i, 20 - i, 3), 10 * i, np.uint8) for i in range(4)]
    pictures.labels = [np.full((8 + i, 20 - i), i, np.uint8) for i in range(4)]
    source = Frames(pictures, BOX, 1.0, show=False)
    assert source.cached
    for i in range(4):
        image, labels = source[i]
        assert np.array_equal(image, pictures.images[i])
        assert np.array_equal(labels, pictures.labels[i])


def test_frames_that_do_not_fit_are_read_anew() -> None:
    per_frame = 12 * 20 * 4 / 2**30
    assert Frames(Pictures(10), BOX, 10 * per_frame, show=False).cached
    assert not Frames(Pictures(10), BOX, 9.9 * per_frame, show=False).cached


def test_sampling_is_planned_only_where_it_is_asked_for() -> None:
    source = frames(cache_gib=0.0)
    assert plan_sampling(source, 4, SamplingConfig(epoch_images=7)) == (None, None)
    assert source.dataset.reads == 0
    weights, focus = plan_sampling(source, 4, SamplingConfig(exponent=0.5), show=False)
    assert focus is None
    assert weights == pytest.approx(frame_weights(source.class_counts(4), SamplingConfig(exponent=0.5)))
    weights, focus = plan_sampling(source, 4, SamplingConfig(rare_crop=1), show=False)
    assert weights is None
    assert focus.draw(source[0][1], np.random.default_rng(0)) is not None
    assert source.dataset.reads == 11  # counted once for all


def test_an_epoch_with_weights_focus_and_ranks_is_the_same_however_it_is_read() -> None:
    def batches(workers: int, rank: int) -> list[dict]:
        source = frames()
        config = SamplingConfig(exponent=1, rare_crop=0.7, epoch_images=17)
        weights, focus = plan_sampling(source, 4, config)
        augment = Augment(AugmentConfig(scale_min=1, scale_max=3), BOX, focus)
        return list(
            build_loader(
                source,
                batch_size=4,
                workers=workers,
                seed=1,
                augment=augment,
                weights_N=weights,
                epoch_images=config.epoch_images,
                rank=rank,
                world_size=2,
            )
        )

    assert same(batches(0, 0), batches(2, 0))
    assert len(batches(0, 0)) == len(batches(0, 1)) == 2
    assert not same(batches(0, 0), batches(0, 1))


def test_ranks_validate_each_frame_once_and_fill_up_with_nothing() -> None:
    loaders = [build_loader(frames(5), batch_size=2, workers=0, rank=r, world_size=2) for r in range(2)]
    batches = [batch for loader in loaders for batch in loader]
    names = [name for batch in batches for name in batch["name"]]
    assert sorted(names) == ["", *(f"f{i:03d}" for i in range(5))]
    assert len(loaders[0]) == len(loaders[1]) == 2
    empty = next(b["labels"][i] for b in batches for i, name in enumerate(b["name"]) if not name)
    assert (empty == 255).all()


def test_no_frames_are_refused() -> None:
    with pytest.raises(DataError, match="no images"):
        build_loader(frames(0), batch_size=4, workers=0)


def test_seeds_keep_the_order_of_their_parts() -> None:
    seeds = {derive_seed(*parts) for parts in [(1, 2), (2, 1), (0, 0), (0, 0, 0), (3,), (12,)]}
    assert len(seeds) == 6
    assert all(0 <= seed < 2**63 for seed in seeds)
