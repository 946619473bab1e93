# SPDX-License-Identifier: Apache-2.0
"""Where two results disagree: pixel by pixel, from the labels that ``annotated.mcap`` holds."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from offroad_seg.replay.annotated import NAME
from offroad_seg.replay.bag import open_bag
from offroad_seg.replay.compare_results import Key
from offroad_seg.replay.topics import COMPRESSED
from offroad_seg.sensor_messages import compressed_to_rgb, stamp_ns

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from offroad_seg.replay.compare_results import Aligned, Result

    U8 = NDArray[np.uint8]

SHOWN = 8
APART_NS = 1_000_000_000


@dataclass
class Odd:
    """A frame on which two results differ.

    Attributes:
        key: The frame.
        index: ``FrameRecord.index`` in the first result.
        share: Share of pixels with different labels.
        labels: Class ids (H, W) of the first result and of the other.
        image_HWC: RGB, where ``annotated.mcap`` has the picture.
    """

    key: Key
    index: int
    share: float
    labels: tuple[U8, U8]
    image_HWC: U8 | None = None


@dataclass
class Agreement:
    """How far the labels of two results agree.

    Attributes:
        same: Pixels with equal labels.
        pixels: All pixels that were compared.
        shares: Share of different pixels of each frame.
        odd: The frames with the most different pixels, the worst first, no two within a second.
    """

    same: int = 0
    pixels: int = 0
    shares: dict[Key, float] = field(default_factory=dict)
    odd: list[Odd] = field(default_factory=list)

    @property
    def share(self) -> float | None:
        """Share of equal pixels."""
        return self.same / self.pixels if self.pixels else None


def agreement(aligned: Aligned, other: int, shown: int = SHOWN) -> Agreement | None:
    """Compare the labels of the first result and another; None where one kept no labels.

    Args:
        aligned: The results.
        other: Number of the other.
        shown: How many frames to keep.
    """
    first, second = aligned.results[0], aligned.results[other]
    if not all((p / NAME).is_file() for r in (first, second) for p in r.parts.values()):
        return None
    found, common = Agreement(), set(aligned.keys)
    for bag, folder in first.parts.items():
        pairs = zip(_labels(folder, bag, common), _labels(second.parts[bag], bag, common), strict=False)
        for (key, one_HW), (also, two_HW) in pairs:
            if key != also or one_HW.shape != two_HW.shape:
                continue
            different = int(np.count_nonzero(one_HW != two_HW))
            found.pixels += one_HW.size
            found.same += one_HW.size - different
            found.shares[key] = different / one_HW.size
            if different:
                index = int(first.indices[first.frames[key]])
                _keep(found.odd, Odd(key, index, found.shares[key], (one_HW, two_HW)), shown)
    found.odd.sort(key=lambda o: (-o.share, o.index))
    _add_images(first, found.odd)
    return found


def _keep(odd: list[Odd], new: Odd, shown: int) -> None:
    near = [o for o in odd if o.key.bag == new.key.bag and abs(o.key.stamp_ns - new.key.stamp_ns) < APART_NS]
    if any(o.share >= new.share for o in near):
        return
    for o in near:
        odd.remove(o)
    if len(odd) >= shown:
        least = min(odd, key=lambda o: o.share)
        if least.share >= new.share:
            return
        odd.remove(least)
    # The arrays are views of the message's bytes: a copy lets the rest of the message go.
    new.labels = (new.labels[0].copy(), new.labels[1].copy())
    odd.append(new)


def _labels(folder: Path, bag: str, common: set[Key]) -> Iterator[tuple[Key, U8]]:
    with open_bag(folder / NAME) as recorded:
        names = [t.name for t in recorded.topics.values() if t.name.endswith("/labels")]
        single = names == ["/labels"]
        only = {key.camera for key in common if key.bag == bag}
        seen: Counter[tuple[str, int]] = Counter()
        for message in recorded.messages(names):
            decoded = recorded.deserialize(message)
            camera = message.topic.removesuffix("/labels").lstrip("/")
            camera = next(iter(only)) if single and len(only) == 1 else camera
            at = (camera, stamp_ns(decoded.header))
            seen[at] += 1
            key = Key(bag, *at, seen[at] - 1)
            if key in common:
                rows = np.asarray(decoded.data, np.uint8).reshape(decoded.height, decoded.step)
                yield key, rows[:, : decoded.width]


def _add_images(result: Result, odd: Iterable[Odd]) -> None:
    wanted: dict[str, dict[tuple[str, int], Odd]] = {}
    for o in odd:
        wanted.setdefault(o.key.bag, {})[o.key.camera, o.key.stamp_ns] = o
    for bag, frames in wanted.items():
        topics = str(result.metrics["bag"]["topics"].get("image") or "").split(", ")
        if result.parts[bag] != result.path:
            topics = [*topics, *_image_topics(result.parts[bag])]
        names = {f"{t.removesuffix('/compressed')}/compressed" for t in topics}
        with open_bag(result.parts[bag] / NAME) as recorded:
            for message in recorded.messages([n for n in names if n in recorded.topics]):
                if message.msgtype == COMPRESSED:
                    _add_image(frames, recorded.deserialize(message))


def _image_topics(folder: Path) -> list[str]:
    import json

    metrics = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    return str(metrics["bag"]["topics"].get("image") or "").split(", ")


def _add_image(frames: dict[tuple[str, int], Odd], decoded: Any) -> None:
    at = stamp_ns(decoded.header)
    for (_, stamp), odd in frames.items():
        if stamp == at and odd.image_HWC is None:
            odd.image_HWC = compressed_to_rgb(decoded)
