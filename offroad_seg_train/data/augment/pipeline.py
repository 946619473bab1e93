# SPDX-License-Identifier: Apache-2.0
"""One frame from its source to what the network is trained on, in the order in which light meets things.

View (one warp) → mixing with another frame → shadow, dust, glare → motion → hue → focus → colours → noise, JPEG →
padding. Up to hue a picture is OpenCV's (H, W, 3) in numpy, from focus on torchvision's (3, H, W).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from offroad_seg_train.data.augment.camera import add_motion, add_noise, compress, defocus
from offroad_seg_train.data.augment.colour import turn_hue, vary_colour
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

        In memory the picture that comes out is (3, H, W), as the network wants it.

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
        with _one_thread():
            image_CHW = self._expose(sample, rng).numpy()
        if sample.inside_HW is not None:
            # The letterbox's padding is the same grey in every image, on the vehicle too.
            np.copyto(image_CHW, self.letterbox.pad_value, where=sample.inside_HW == 0)
        return image_CHW.transpose(1, 2, 0), sample.labels_HW

    def _view(self, image_HWC: U8, labels_HW: U8, rng: np.random.Generator) -> Sample:
        focus_xy = self.focus.draw(labels_HW, rng) if self.focus is not None else None
        view = self._views.draw(rng, *labels_HW.shape, focus_xy)
        return Sample(*take_view(image_HWC, labels_HW, view, self.letterbox))

    def _expose(self, sample: Sample, rng: np.random.Generator) -> torch.Tensor:
        """The picture of a sample, uint8 (3, H, W), in memory of its own."""
        config, image_HWC = self.config, sample.image_HWC
        if chance(rng, config.shadow):
            sky_HW = cv2.LUT(sample.labels_HW, self._sky_256)
            image_HWC = add_shadow(image_HWC, config.shadow_strength, rng, sky_HW)
        if chance(rng, config.dust):
            image_HWC = add_dust(image_HWC, config.dust_strength, rng)
        if chance(rng, config.glare):
            image_HWC = add_glare(image_HWC, config.glare_strength, rng)
        if chance(rng, config.motion_blur):
            image_HWC = add_motion(image_HWC, config.motion_blur_length, rng)
        if config.hue:
            image_HWC = turn_hue(image_HWC, config.hue, rng)
        image_CHW = torch.from_numpy(image_HWC.transpose(2, 0, 1).copy())
        if chance(rng, config.blur):
            image_CHW = defocus(image_CHW, config.blur_sigma, rng)
        image_CHW = vary_colour(image_CHW, config, rng)
        if chance(rng, config.noise):
            image_CHW = add_noise(image_CHW, config.noise_sigma, rng)
        if chance(rng, config.jpeg):
            image_CHW = compress(image_CHW, config.jpeg_quality, rng)
        return image_CHW


@contextmanager
def _one_thread() -> Iterator[None]:
    """Torch on one thread, as in a worker process: sums over parts of a picture, one a thread, round otherwise."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
