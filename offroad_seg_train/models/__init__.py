# SPDX-License-Identifier: Apache-2.0
"""Networks: a registry by name, and the normalisation that every one of them wears."""

from __future__ import annotations

from offroad_seg_train.models.base import SegmentationModel
from offroad_seg_train.models.config import ModelConfig
from offroad_seg_train.models.normalized import NormalizedModel
from offroad_seg_train.models.registry import MODELS, build_model

__all__ = ["MODELS", "ModelConfig", "NormalizedModel", "SegmentationModel", "build_model"]
