# SPDX-License-Identifier: Apache-2.0
"""Augmentation of images and their labels together, in uint8, from one random generator for each frame."""

from offroad_seg_train.data.augment.config import AugmentConfig
from offroad_seg_train.data.augment.pipeline import Augment

__all__ = ["Augment", "AugmentConfig"]
