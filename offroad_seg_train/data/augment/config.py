# SPDX-License-Identifier: Apache-2.0
"""Settings of augmentation; the defaults change nothing."""

from __future__ import annotations

from dataclasses import dataclass

from offroad_seg.errors import InputError


@dataclass(frozen=True)
class AugmentConfig:
    """How training images are varied. The defaults change nothing.

    What is not a probability is a limit: each image draws its own amount up to it.

    Attributes:
        flip: Probability of a mirrored image, 0–1.
        flip_vertical: Probability of an image upside down, 0–1; for views from above.
        quarter_turns: Probability of a turn by 90°, 180° or 270°, 0–1; for views from above.
        rotation: Largest turn to either side, in degrees, 0–180. What comes in at the corners is ignored.
        perspective: Largest shift of each corner, as a part of half the view's size, 0–0.9; 0.2 is usual.
        scale_min: Smallest zoom; below 1 the image shrinks and its surroundings are ignored. 1 is the whole image.
        scale_max: Largest zoom; above 1 a random part is cut out. With ``data.source_scale`` as large, it shows
            detail that the file has instead of enlarged pixels.
        brightness: Largest relative change, 0–1; 0.3 is usual.
        contrast: Largest relative change, 0–1.
        saturation: Largest relative change, 0–1.
        hue: Largest shift in turns of the colour wheel, 0–0.5; small, since colour tells grass from rock.
        gamma: Largest relative change of the exponent, 0–2; 0.3 draws from 1/1.3 to 1.3.
        shadow: Probability of a soft-edged shadow, 0–1.
        shadow_strength: Largest part of the light that it takes, 0–1.
        dust: Probability of dust that thickens with distance up the image, 0–1; for cameras that look ahead.
        dust_strength: Largest part of a far pixel that it hides, 0–1.
        glare: Probability of the sun in the lens, 0–1.
        glare_strength: Brightness of its centre, 0–1.
        motion_blur: Probability of a moved camera, 0–1.
        motion_blur_length: Longest path in network pixels, 3–51.
        blur: Probability of an image out of focus, 0–1.
        blur_sigma: Largest standard deviation in network pixels, 0.1–10.
        noise: Probability of sensor noise, 0–1.
        noise_sigma: Largest standard deviation in grey levels, 0–100.
        jpeg: Probability of JPEG artefacts, 0–1.
        jpeg_quality: Lowest quality, 1–95.
        cutmix: Probability that a rectangle comes from another frame, with its labels, 0–1.
        classmix: Probability that half of the classes of another frame are pasted in, with their labels, 0–1.
    """

    flip: float = 0.0
    flip_vertical: float = 0.0
    quarter_turns: float = 0.0
    rotation: float = 0.0
    perspective: float = 0.0
    scale_min: float = 1.0
    scale_max: float = 1.0
    brightness: float = 0.0
    contrast: float = 0.0
    saturation: float = 0.0
    hue: float = 0.0
    gamma: float = 0.0
    shadow: float = 0.0
    shadow_strength: float = 0.6
    dust: float = 0.0
    dust_strength: float = 0.7
    glare: float = 0.0
    glare_strength: float = 0.8
    motion_blur: float = 0.0
    motion_blur_length: float = 9.0
    blur: float = 0.0
    blur_sigma: float = 1.5
    noise: float = 0.0
    noise_sigma: float = 12.0
    jpeg: float = 0.0
    jpeg_quality: int = 40
    cutmix: float = 0.0
    classmix: float = 0.0

    def __post_init__(self) -> None:
        for name, (low, high) in _BOUNDS.items():
            value = getattr(self, name)
            if not low <= value <= high:
                raise InputError(f"{name} is {value}", where=f"augment.{name}", mend=f"{low}–{high}")
        if not 0 < self.scale_min <= self.scale_max <= _LARGEST_SCALE:
            raise InputError(
                f"scale_min {self.scale_min} and scale_max {self.scale_max} are no range",
                where="augment",
                mend=f"0 < scale_min ≤ scale_max ≤ {_LARGEST_SCALE}, such as 0.75 and 1.5",
            )
        if self.cutmix + self.classmix > 1:
            raise InputError(
                f"cutmix {self.cutmix} and classmix {self.classmix} are more than 1 together",
                where="augment",
                mend="an image is mixed in one way or the other: lower one",
            )


_LARGEST_SCALE = 100
_BOUNDS: dict[str, tuple[float, float]] = {
    **dict.fromkeys(
        (
            *("flip", "flip_vertical", "quarter_turns"),
            *("brightness", "contrast", "saturation"),
            *("shadow", "shadow_strength", "dust", "dust_strength", "glare", "glare_strength"),
            *("motion_blur", "blur", "noise", "jpeg", "cutmix", "classmix"),
        ),
        (0, 1),
    ),
    "rotation": (0, 180),
    "perspective": (0, 0.9),
    "hue": (0, 0.5),
    "gamma": (0, 2),
    "motion_blur_length": (3, 51),
    "blur_sigma": (0.1, 10),
    "noise_sigma": (0, 100),
    "jpeg_quality": (1, 95),
}
