# SPDX-License-Identifier: Apache-2.0
"""A large scene seen from above, and a small network that was really trained on such scenes, in seconds."""

from __future__ import annotations

import cv2
import numpy as np
import torch
import torch.nn.functional as F

from offroad_seg.image import Normalization
from offroad_seg.ontology import Ontology
from offroad_seg_train.models import ModelConfig, NormalizedModel, build_model

CONFIG = ModelConfig(name="tiny", backbone_weights="none", width=8)
_CROP, _BATCH = 128, 4


def scene(ontology: Ontology, height: int, width: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Patches of classes some 60 pixels across in muted colours, with grain, shadows and haze.

    Returns:
        RGB uint8 (H, W, 3) and class ids uint8 (H, W).
    """
    random = np.random.default_rng(seed)
    fields = [_field(random, height, width, 40.0) for _ in range(ontology.n_classes)]
    labels_HW = np.argmax(fields, axis=0).astype(np.uint8)
    grain_HWC = random.normal(0.0, 22.0, (height, width, 3))
    light_HW1 = 1.0 + 0.25 * _field(random, height, width, 90.0)[..., None]
    image_HWC = (70 + 0.4 * ontology.colorize(labels_HW)) * light_HW1 + grain_HWC
    return image_HWC.clip(0, 255).astype(np.uint8), labels_HW


def trained_network(ontology: Ontology, steps: int = 120, seed: int = 0) -> NormalizedModel:
    """``tiny``, narrow, after so many steps on random parts of scenes; in evaluation mode."""
    torch.manual_seed(seed)
    random = np.random.default_rng(seed)
    image_HWC, labels_HW = scene(ontology, 700, 900, seed + 100)
    network = NormalizedModel(build_model(CONFIG, ontology.n_classes), Normalization()).train()
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-2)
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = 1e-2 * (1 - step / steps)
        corners = [(random.integers(0, 700 - _CROP), random.integers(0, 900 - _CROP)) for _ in range(_BATCH)]
        parts = [(slice(y, y + _CROP), slice(x, x + _CROP)) for y, x in corners]
        images = torch.from_numpy(np.stack([image_HWC[p].transpose(2, 0, 1) for p in parts]))
        truth = torch.from_numpy(np.stack([labels_HW[p] for p in parts]).astype(np.int64))
        optimizer.zero_grad()
        F.cross_entropy(network(images), truth).backward()
        optimizer.step()
    return network.eval().requires_grad_(False)


def _field(random: np.random.Generator, height: int, width: int, scale: float) -> np.ndarray:
    """Smooth noise with mean 0 and deviation 1, (H, W)."""
    small = random.normal(size=(round(height / scale) + 3, round(width / scale) + 3)).astype(np.float32)
    field = cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)
    return (field - field.mean()) / field.std()
