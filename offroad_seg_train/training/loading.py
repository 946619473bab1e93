# SPDX-License-Identifier: Apache-2.0
"""Feeding the trainer: an order that follows from (seed, epoch), augmentation seeded by frame.

Nothing here keeps state between epochs, so that a run can go on at any epoch as if it had never stopped, and the
number of worker processes changes nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.utils.data import Dataset

from offroad_seg.errors import DataError
from offroad_seg.types import UNLABELLED
from offroad_seg_train.data.augment import Augment
from offroad_seg_train.data.sampler import NO_FRAME, EpochSampler, FrameKey, RareFocus, frame_weights
from offroad_seg_train.training.frames import Frames
from offroad_seg_train.training.waiting import WatchedLoader, advice, choose_workers

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from offroad_seg_train.data.sampler import SamplingConfig
    from offroad_seg_train.training.config import TrainConfig

    U8 = NDArray[np.uint8]
    F64 = NDArray[np.float64]

__all__ = [
    "EpochSampler",
    "Frames",
    "TrainingSet",
    "build_loader",
    "build_training_loader",
    "choose_workers",
    "derive_seed",
    "plan_sampling",
]

# Batches that each worker has ready; augmentation takes longer for some images than for others.
_AHEAD = 4
# Where workers are chosen for validation, which only letterboxes.
_VALIDATING = 4


class TrainingSet(Dataset[dict[str, Any]]):
    """Frames by ``FrameKey``, augmented; without augmentation the epoch means nothing.

    Args:
        frames: Where they come from.
        augment: Makes a varied picture; None letterboxes.
        seed: The run's seed.
        weights_N: Probability of each frame as a partner to mix with, float64 (n,); None takes all alike.
    """

    def __init__(
        self,
        frames: Frames,
        augment: Augment | None = None,
        seed: int = 0,
        weights_N: F64 | None = None,
    ) -> None:
        self.frames = frames
        self.augment = augment
        self.seed = seed
        self._ends_N = None if weights_N is None else np.cumsum(weights_N)

    def __len__(self) -> int:
        """Number of frames."""
        return len(self.frames)

    def __getitem__(self, key: FrameKey) -> dict[str, Any]:
        """``image`` uint8 (3, H, W), ``labels`` uint8 (H, W), ``name``; for ``NO_FRAME`` grey, 255 and ""."""
        box = self.frames.letterbox
        if key.index == NO_FRAME:
            image_HWC = np.full((box.height, box.width, 3), box.pad_value, np.uint8)
            return _item(image_HWC, np.full((box.height, box.width), UNLABELLED, np.uint8), "")
        image_HWC, labels_HW = self.frames[key.index]
        if self.augment is None:
            image_HWC, labels_HW = box.apply(image_HWC), box.apply_mask(labels_HW)
        else:
            # Its own seed for every frame and epoch; no generator that others use is touched.
            rng = np.random.default_rng(derive_seed(self.seed, *key))
            image_HWC, labels_HW = self.augment(image_HWC, labels_HW, rng, self._partner)
        return _item(image_HWC, labels_HW, self.frames.names[key.index])

    def _partner(self, rng: np.random.Generator) -> tuple[U8, U8]:
        if self._ends_N is None:
            return self.frames[int(rng.integers(len(self.frames)))]
        chosen = np.searchsorted(self._ends_N[:-1], rng.random() * self._ends_N[-1], side="right")
        return self.frames[int(chosen)]


def _item(image_HWC: U8, labels_HW: U8, name: str) -> dict[str, Any]:
    image_CHW = np.ascontiguousarray(image_HWC.transpose(2, 0, 1))
    return {"image": torch.from_numpy(image_CHW), "labels": torch.from_numpy(labels_HW), "name": name}


def build_loader(
    frames: Frames,
    *,
    batch_size: int,
    workers: int,
    seed: int | None = None,
    augment: Augment | None = None,
    epoch: int = 0,
    pin: bool = False,
    weights_N: F64 | None = None,
    epoch_images: int = 0,
    rank: int | None = None,
    world_size: int | None = None,
) -> WatchedLoader:
    """A loader of batches of ``image`` (B, 3, H, W), ``labels`` (B, H, W) and ``name`` (list).

    Args:
        frames: Where they come from.
        batch_size: Images in a batch of this process. When shuffled, the last smaller batch is left out, since batch
            statistics of very few images disturb training.
        workers: Processes, or -1 to choose.
        seed: Shuffles and augments; None keeps the order.
        augment: See ``TrainingSet``.
        epoch: The epoch to begin with.
        pin: Page-locked memory, for a GPU.
        weights_N: See ``EpochSampler``.
        epoch_images: See ``SamplingConfig``.
        rank: See ``EpochSampler``.
        world_size: See ``EpochSampler``.

    Raises:
        DataError: There are no frames.
    """
    if len(frames) == 0:
        raise DataError(
            "no images to train or to validate on", mend="add images, or change data.val_fraction"
        )
    count = choose_workers(workers, cached=frames.cached, gpu=pin)
    if workers < 0 and seed is None:
        count = min(count, _VALIDATING)
    sampler = EpochSampler(
        len(frames),
        seed,
        epoch,
        weights_N=weights_N,
        length=epoch_images,
        rank=rank,
        world_size=world_size,
    )
    return WatchedLoader(
        TrainingSet(frames, augment, seed or 0, weights_N),
        batch_size=batch_size,
        sampler=sampler,
        num_workers=count,
        drop_last=seed is not None and len(sampler) >= batch_size,
        pin_memory=pin,
        # Workers receive the epoch with each index, so they can live on from one epoch to the next.
        persistent_workers=count > 0,
        prefetch_factor=_AHEAD if count > 0 else None,
        # Loading a frame draws nothing from the global generator, with workers or without.
        generator=torch.Generator().manual_seed(0),
        advise=lambda: advice(cached=frames.cached, nbytes=frames.nbytes, workers=count, gpu=pin),
    )


def build_training_loader(
    frames: Frames,
    config: TrainConfig,
    n_classes: int,
    *,
    epoch: int = 0,
    pin: bool = False,
    rank: int | None = None,
    world_size: int | None = None,
    show: bool = True,
) -> WatchedLoader:
    """The loader that a recipe asks for: shuffled, sampled and augmented.

    Args:
        frames: Where they come from.
        config: The recipe; ``batch_size``, ``seed``, ``data.workers``, ``augment`` and ``sampling`` count.
        n_classes: Classes of the ontology.
        epoch: See ``build_loader``.
        pin: See ``build_loader``.
        rank: See ``EpochSampler``.
        world_size: See ``EpochSampler``.
        show: Show progress where classes must be counted.
    """
    weights_N, focus = plan_sampling(frames, n_classes, config.sampling, show=show)
    sky = [i for i, name in enumerate(frames.dataset.ontology.names) if "sky" in name.lower()]
    return build_loader(
        frames,
        batch_size=config.batch_size,
        workers=config.data.workers,
        seed=config.seed,
        augment=Augment(config.augment, frames.letterbox, focus, sky),
        epoch=epoch,
        pin=pin,
        weights_N=weights_N,
        epoch_images=config.sampling.epoch_images,
        rank=rank,
        world_size=world_size,
    )


def plan_sampling(
    frames: Frames, n_classes: int, config: SamplingConfig, *, show: bool = True
) -> tuple[F64 | None, RareFocus | None]:
    """Weights of the frames for ``build_loader`` and a focus for ``Augment``; None where they are not asked for."""
    if not config.needs_counts:
        return None, None
    counts_NC = frames.class_counts(n_classes, show=show)
    weights_N = frame_weights(counts_NC, config) if config.exponent else None
    focus = RareFocus(counts_NC.sum(axis=0), config.exponent, config.rare_crop) if config.rare_crop else None
    return weights_N, focus


def derive_seed(*parts: int) -> int:
    """One 63-bit seed from several numbers; (1, 2), (2, 1) and (1, 2, 0) all differ."""
    return int(np.random.SeedSequence((len(parts), *parts)).generate_state(1, np.uint64)[0] >> np.uint64(1))
