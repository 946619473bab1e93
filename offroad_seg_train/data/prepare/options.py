# SPDX-License-Identifier: Apache-2.0
"""What ``prepare`` is told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from offroad_seg.errors import InputError
from offroad_seg.resources import keep_sources
from offroad_seg_train.data.prepare.archives import DEFAULT_LIMIT, check_archive
from offroad_seg_train.data.splits import BLOCK, MODES
from offroad_seg_train.data.tiling import tile_grid

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class PrepareOptions:
    """From where to where, and how.

    Attributes:
        sources: One data folder, or one or more archives that make up a data set.
        out: Folder to write.
        layout: A name from ``LAYOUTS``, or ``auto``.
        ontology: Label set, by name or YAML file; None for the data set's own.
        split: One of ``MODES``.
        val: Part to validate on.
        test: Part to keep for a test.
        block: Longest run of held-out frames, where the split is by blocks.
        group_by: See ``split_pairs``.
        seed: Of the split.
        tile: (height, width) to cut larger images into; None leaves them whole.
        overlap: Pixels that neighbouring tiles share at least.
        snap: See ``snap_mask``.
        max_dropped: Largest part of the frames that may be left out because something is wrong with them.
        max_unpacked: Most bytes that may come out of the archives.
    """

    sources: tuple[Path, ...]
    out: Path
    layout: str = "auto"
    ontology: str | None = None
    split: str = "auto"
    val: float = 0.2
    test: float = 0.0
    block: int = BLOCK
    group_by: str | None = None
    seed: int = 0
    tile: tuple[int, int] | None = None
    overlap: int = 0
    snap: int = 0
    max_dropped: float = 0.1
    max_unpacked: int = DEFAULT_LIMIT

    def __post_init__(self) -> None:
        if self.split not in MODES:
            raise InputError(f"no split '{self.split}'", where="--split", mend=f"one of: {', '.join(MODES)}")
        for name in ("val", "test", "max_dropped"):
            if not 0 <= getattr(self, name) <= 1:
                raise InputError(f"it is {getattr(self, name)}, not 0–1", where=f"--{name.replace('_', '-')}")
        if self.val + self.test >= 1:
            raise InputError(
                f"validation {self.val:g} and test {self.test:g} leave nothing to train on",
                where="--val, --test",
                mend="fractions that add up to less than 1, such as --val 0.2 --test 0.1",
            )
        if self.block < 1:
            raise InputError(f"it is {self.block}", where="--block", mend="1 or more frames")
        if not 0 <= self.snap <= 255:
            raise InputError(f"it is {self.snap}", where="--snap-colors", mend="0 to 255")
        if self.max_unpacked <= 0:
            raise InputError("nothing may be unpacked", where="--max-unpacked", mend="GiB, more than 0")
        if self.group_by is not None and self.split != "groups":
            raise InputError(f"the split is {self.split}", where="--group-by", mend="add --split groups")
        if self.tile is not None:
            tile_grid((1, 1), self.tile, self.overlap)
        elif self.overlap:
            raise InputError(
                "there are no tiles that could overlap", where="--overlap", mend="add --tile H W"
            )
        self._check_places()

    def _check_places(self) -> None:
        folders = [source for source in self.sources if source.is_dir()]
        for source in self.sources:
            if source not in folders:
                check_archive(source)
        if not self.sources or (folders and len(self.sources) > 1):
            raise InputError(
                "one data folder, or one or more archives", where="SOURCE", mend="name the folder around them"
            )
        out = self.out.resolve()
        for source in self.sources:
            keep_sources(self.out, source)
            if source.is_dir() and source.resolve() in out.parents:
                raise InputError(
                    "the results would lie inside their source, and be read as data the next time",
                    where=str(self.out),
                    mend="give --out beside it",
                )

    def to_dict(self) -> dict[str, Any]:
        """What the results depend on, for the record."""
        return {
            "layout": self.layout,
            "ontology": self.ontology,
            "split": self.split,
            "val": self.val,
            "test": self.test,
            "block": self.block,
            "group_by": self.group_by,
            "seed": self.seed,
            "tile": list(self.tile) if self.tile else None,
            "overlap": self.overlap,
            "snap_colors": self.snap,
        }
