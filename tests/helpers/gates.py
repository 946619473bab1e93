# SPDX-License-Identifier: Apache-2.0
"""Stand-ins for engines whose labels are known, for the tests of the gate."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from offroad_seg.compile.gate_images import GateImage, GateImages
from offroad_seg.engines.base import EngineOutput

if TYPE_CHECKING:
    from collections.abc import Callable

HEIGHT, WIDTH = 40, 50
NAMES = ["ground", "bush", "sky"]


def by_brightness(image_BHWC: np.ndarray) -> EngineOutput:
    labels = (image_BHWC[..., 0] // 86).astype(np.uint8)
    return EngineOutput(labels, image_BHWC[..., 1].copy(), np.ones(1, np.float32))


def with_errors(count: int, mean: float = 1.0) -> Callable[[np.ndarray], EngineOutput]:
    def infer(image_BHWC: np.ndarray) -> EngineOutput:
        output = by_brightness(image_BHWC)
        flat = output.labels_BHW.reshape(-1)
        flat[:count] = (flat[:count] + 1) % 3
        return EngineOutput(output.labels_BHW, output.confidence_BHW, np.array([mean], np.float32))

    return infer


def saying(labels_HW: np.ndarray, ood_HW: np.ndarray | None = None) -> Callable[[np.ndarray], EngineOutput]:
    ood = None if ood_HW is None else ood_HW[None]
    output = EngineOutput(labels_HW[None], np.zeros_like(labels_HW)[None], np.ones(1, np.float32), ood)
    return lambda _: output


def one_image(
    labels_HW: np.ndarray, truth_HW: np.ndarray | None = None, inside: tuple[slice, slice] | None = None
) -> GateImages:
    height, width = labels_HW.shape
    box = inside or (slice(0, height), slice(0, width))
    return GateImages([GateImage("a", np.zeros((height, width, 3), np.uint8), box, truth_HW)], "real")
