# SPDX-License-Identifier: Apache-2.0
"""Settings of the data: where they are, how they are split, and the size that the network sees."""

from __future__ import annotations

from dataclasses import dataclass

from offroad_seg.errors import InputError
from offroad_seg_train.data.splits import MODES
from offroad_seg_train.training.frames import CACHES


@dataclass(frozen=True)
class DataConfig:
    """What is trained on, and at which size.

    Attributes:
        root: Data folder; ``--data`` on the command line.
        val_root: Folder to validate on; without it, a part of ``root`` is split off.
        layout: One of those in ``docs/data.md``, or ``auto`` to look at the folder.
        ontology: Label set, by name or YAML file; without it, the one that the folder or its layout comes with.
        height: Network input rows; images are letterboxed into it.
        width: Network input columns.
        val_fraction: Part of ``root`` to validate on where there is no ``val_root``.
        test_fraction: Part of ``root`` that is kept away from both, for `evaluate --split test`.
        split: ``official`` as the data set has it, ``blocks`` of consecutive frames, ``groups`` (whole drives or
            scenes), or ``random`` single frames (flatters: neighbours look alike); ``auto`` is official where there is
            an official split, else blocks.
        group_by: For ``groups``: a regular expression that finds the group in a frame's name.
        workers: Processes that read images; -1 chooses by this machine.
        cache: Decoded images: ``none`` decodes them every epoch, ``memory`` keeps them, ``disk`` keeps them in a file,
            for later runs too; ``auto`` is memory where they fit into ``cache_gib``, else none.
        cache_gib: The most memory that ``auto`` takes for training and for validation images each, in GiB.
        cache_dir: Folder of ``disk``; without it, the user's cache folder.
        source_scale: Size that training images are cut from, relative to the network's; never larger than the file,
            0 = the file's own. With 2, a view at zoom 2 (``augment.scale_max``) has real detail.
    """

    root: str | None = None
    val_root: str | None = None
    layout: str = "auto"
    ontology: str | None = None
    height: int = 266
    width: int = 476
    val_fraction: float = 0.2
    test_fraction: float = 0.0
    split: str = "auto"
    group_by: str | None = None
    workers: int = -1
    cache: str = "auto"
    cache_gib: float = 2.0
    cache_dir: str | None = None
    source_scale: float = 1.0

    def __post_init__(self) -> None:
        for name in ("height", "width"):
            if not 32 <= getattr(self, name) <= 8192:
                raise InputError(
                    f"{name} is {getattr(self, name)}", where=f"data.{name}", mend="32 to 8192 pixels"
                )
        if self.val_root is None and not 0 < self.val_fraction < 1:
            raise InputError(
                f"val_fraction {self.val_fraction} leaves nothing to train on or to validate on",
                where="data.val_fraction",
                mend="above 0 and below 1, such as 0.2; or give data.val_root",
            )
        if self.val_root is None and not 0 <= self.test_fraction < 1 - self.val_fraction:
            raise InputError(
                f"test {self.test_fraction} and validation {self.val_fraction} leave nothing to train on",
                where="data.test_fraction",
                mend="0, or a part such as 0.1",
            )
        if self.split not in MODES:
            raise InputError(
                f"there is no split '{self.split}'", where="data.split", mend=f"one of: {', '.join(MODES)}"
            )
        if self.workers < -1:
            raise InputError(
                f"{self.workers} workers", where="data.workers", mend="-1 for automatic, 0, or more"
            )
        if self.cache not in CACHES:
            raise InputError(
                f"no cache '{self.cache}'", where="data.cache", mend=f"one of: {', '.join(CACHES)}"
            )
        if self.cache_gib < 0:
            raise InputError(f"it is {self.cache_gib}", where="data.cache_gib", mend="0 or more")
        if self.source_scale != 0 and self.source_scale < 1:
            raise InputError(
                f"it is {self.source_scale}: less than the network sees",
                where="data.source_scale",
                mend="1 or more, or 0 for the file's own size",
            )
