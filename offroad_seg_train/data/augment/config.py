# SPDX-License-Identifier: Apache-2.0
"""Settings of augmentation; the defaults change nothing."""

from __future__ import annotations

from dataclasses import dataclass

from offroad_seg.errors import InputError


@dataclass(frozen=True)
class AugmentConfig:
    """How training images are varied. The defaults change nothing.

    Attributes:
        flip: Probability of a mirrored image, 0–1.
        scale_min: Smallest zoom; below 1 the image shrinks and its surroundings are ignored. 1 is the whole image.
        scale_max: Largest zoom; above 1 a random part is cut out. With ``data.source_scale`` as large, it shows
            detail that the file has instead of enlarged pixels.
        brightness: Largest relative change, 0–1; 0.3 is usual.
        contrast: Largest relative change, 0–1.
        saturation: Largest relative change, 0–1.
        hue: Largest shift in turns of the colour wheel, 0–0.5; small, since colour tells grass from rock.
    """

    flip: float = 0.0
    scale_min: float = 1.0
    scale_max: float = 1.0
    brightness: float = 0.0
    contrast: float = 0.0
    saturation: float = 0.0
    hue: float = 0.0

    def __post_init__(self) -> None:
        for name in ("flip", "brightness", "contrast", "saturation"):
            _within(name, getattr(self, name), 0, 1)
        _within("hue", self.hue, 0, 0.5)
        if not 0 < self.scale_min <= self.scale_max:
            raise InputError(
                f"scale_min {self.scale_min} and scale_max {self.scale_max} are no range",
                where="augment",
                mend="0 < scale_min ≤ scale_max, such as 0.75 and 1.5",
            )


def _within(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise InputError(f"{name} is {value}", where=f"augment.{name}", mend=f"{low}–{high}")
