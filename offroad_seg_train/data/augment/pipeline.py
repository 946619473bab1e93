# SPDX-License-Identifier: Apache-2.0
"""One frame from its source to what the network is trained on, in the order in which light meets things.

View (one warp) → mixing with another frame → shadow, dust, glare → motion, focus → colours → noise, JPEG → padding.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

from offroad_seg_train.data.augment.camera import add_motion, add_noise, compress, defocus
from offroad_seg_train.data.augment.colour import vary_colour
from offroad_seg_train.data.augment.geometry import ViewSampler, chance, take_view
from offroad_seg_train.data.augment.mixing import Sample, class_mix, cut_mix
from offroad_seg_train.data.augment.weather import add_dust, add_glare, add_shadow

if TYPE_CHECKING:
    from collections.abc import Sequence

    from offroad_seg.image import Letterbox
    from offroad_seg_train.data.augment.config import AugmentConfig
    from offroad_seg_train.data.sampler import RareFocus

U8 = NDArray[np.uint8]

# Another frame as it is stored: image (h, w, 3) and labels (h, w), of any size.
Partner = Callable[[np.random.Generator], tuple[U8, U8]]


class Augment:
    """Makes a varied picture of a frame.

    Args:
        config: What to vary.
        letterbox: The network's size and the grey outside the image.
        focus: Chooses points that zoomed views are centred on; None zooms into random places.
        sky: Class ids that no shadow falls on.
    """

    def __init__(
        self,
        config: AugmentConfig,
        letterbox: Letterbox,
        focus: RareFocus | None = None,
        sky: Sequence[int] = (),
    ) -> None:
        self.config = config
        self.letterbox = letterbox
        self.focus = focus
        self._sky_256 = np.zeros(256, np.uint8)
        self._sky_256[list(sky)] = 1
        self._views = ViewSampler(config, letterbox)

    def __call__(
        self, image_HWC: U8, labels_HW: U8, rng: np.random.Generator, partner: Partner | None = None
    ) -> tuple[U8, U8]:
        """uint8 image (h, w, 3) and labels (h, w) of any size → (H, W, 3) and (H, W) at the network's size.

        Args:
            image_HWC: RGB; left as it is.
            labels_HW: Class ids, 255 = none; left as they are.
            rng: The only source of chance: the same state gives the same picture.
            partner: Gives the frame to mix with; None never mixes.
        """
        config = self.config
        sample = self._view(image_HWC, labels_HW, rng)
        if partner is not None and chance(rng, config.cutmix + config.classmix):
            cut = rng.random() * (config.cutmix + config.classmix) < config.cutmix
            other = self._view(*partner(rng), rng)
            sample = (cut_mix if cut else class_mix)(sample, other, rng)
        image = self._expose(sample, rng)
        if sample.inside_HW is not None:
            # The letterbox's padding is the same grey in every image, on the vehicle too.
            image[sample.inside_HW == 0] = self.letterbox.pad_value
        return image, sample.labels_HW

    def _view(self, image_HWC: U8, labels_HW: U8, rng: np.random.Generator) -> Sample:
        focus_xy = self.focus.draw(labels_HW, rng) if self.focus is not None else None
        view = self._views.draw(rng, *labels_HW.shape, focus_xy)
        return Sample(*take_view(image_HWC, labels_HW, view, self.letterbox))

    def _expose(self, sample: Sample, rng: np.random.Generator) -> U8:
        config, image = self.config, sample.image_HWC
        if chance(rng, config.shadow):
            sky_HW = cv2.LUT(sample.labels_HW, self._sky_256)
            image = add_shadow(image, config.shadow_strength, rng, sky_HW)
        if chance(rng, config.dust):
            image = add_dust(image, config.dust_strength, rng)
        if chance(rng, config.glare):
            image = add_glare(image, config.glare_strength, rng)
        if chance(rng, config.motion_blur):
            image = add_motion(image, config.motion_blur_length, rng)
        if chance(rng, config.blur):
            image = defocus(image, config.blur_sigma, rng)
        image = vary_colour(image, config, rng)
        if chance(rng, config.noise):
            image = add_noise(image, config.noise_sigma, rng)
        if chance(rng, config.jpeg):
            image = compress(image, config.jpeg_quality, rng)
        return image
