# SPDX-License-Identifier: Apache-2.0
"""One frame from its source to what the network is trained on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from offroad_seg_train.data.augment.colour import jitter_colour
from offroad_seg_train.data.augment.geometry import ViewSampler, take_view

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from offroad_seg.image import Letterbox
    from offroad_seg_train.data.augment.config import AugmentConfig
    from offroad_seg_train.data.sampler import RareFocus

    U8 = NDArray[np.uint8]


class Augment:
    """Cuts a view out of a frame and varies its colours.

    Args:
        config: What to vary.
        letterbox: The network's size and the grey outside the image.
        focus: Chooses points that zoomed views are centred on; None zooms into random places.
    """

    def __init__(self, config: AugmentConfig, letterbox: Letterbox, focus: RareFocus | None = None) -> None:
        self.config = config
        self.letterbox = letterbox
        self.focus = focus
        self._views = ViewSampler(config, letterbox)

    def __call__(self, image_HWC: U8, labels_HW: U8, rng: np.random.Generator) -> tuple[U8, U8]:
        """uint8 image (h, w, 3) and labels (h, w) of any size → (H, W, 3) and (H, W) at the network's size.

        Args:
            image_HWC: RGB; left as it is.
            labels_HW: Class ids, 255 = none; left as they are.
            rng: The only source of chance: the same state gives the same picture.
        """
        focus_xy = self.focus.draw(labels_HW, rng) if self.focus is not None else None
        view = self._views.draw(rng, *labels_HW.shape, focus_xy)
        image, labels, inside = take_view(image_HWC, labels_HW, view, self.letterbox)
        image = jitter_colour(image, self.config, rng)
        if inside is not None:
            # The letterbox's padding is the same grey in every image, on the vehicle too.
            image[inside == 0] = self.letterbox.pad_value
        return image, labels
