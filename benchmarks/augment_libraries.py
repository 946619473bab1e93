# SPDX-License-Identifier: Apache-2.0
"""What augmentation does itself or by OpenCV, beside what torchvision or Kornia would take for the same.

    python benchmarks/augment_libraries.py

Milliseconds of processor time for one picture of 476×266 (the view: cut from 960×540, image and labels), on one
thread, both columns in one process; the median of ``--repeats``. What decides is the whole: a library's form is taken
where `full` of `benchmarks/augment.py` stays within 1.5 times of its time.
"""

from __future__ import annotations

import argparse
import statistics
import time
from typing import TYPE_CHECKING

import cv2
import kornia
import numpy as np
import torch
from augment import FILE, NETWORK, frame
from torchvision.transforms.v2 import functional
from torchvision.transforms.v2.functional import InterpolationMode

from offroad_seg.image import Letterbox
from offroad_seg_train.data.augment import AugmentConfig
from offroad_seg_train.data.augment.camera import add_motion, defocus
from offroad_seg_train.data.augment.colour import look_up, tone_table, turn_hue
from offroad_seg_train.data.augment.geometry import ViewSampler, take_view
from offroad_seg_train.data.augment.weather import add_shadow

if TYPE_CHECKING:
    from collections.abc import Callable

BOX = Letterbox(*NETWORK)
HALF = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1]])


def milliseconds(do: Callable[[], object], repeats: int) -> float:
    spent = []
    for _ in range(repeats + 2):
        started = time.process_time()
        do()
        spent.append(time.process_time() - started)
    return statistics.median(spent[2:]) * 1e3


def rows() -> dict[str, tuple[Callable[[], object], dict[str, Callable[[], object]]]]:
    """Ours, and the libraries' forms by name."""
    image_HWC, labels_HW = frame(np.random.default_rng(0))
    image_CHW, labels_1HW = (
        torch.from_numpy(image_HWC.transpose(2, 0, 1).copy()),
        torch.from_numpy(labels_HW)[None],
    )
    small_HWC = BOX.apply(image_HWC)
    small_CHW = torch.from_numpy(small_HWC.transpose(2, 0, 1).copy())
    config = AugmentConfig(rotation=15, perspective=0.2, scale_max=1.5)
    view = ViewSampler(config, BOX).draw(np.random.default_rng(1), *FILE)
    matrix = view.source_T_view_33 / view.source_T_view_33[2, 2]
    source_T_view = torch.from_numpy(np.linalg.inv(HALF) @ matrix @ HALF).float()[None]

    def kornia_view() -> None:
        for source, how, border in ((image_CHW, "bilinear", "border"), (labels_1HW, "nearest", "zeros")):
            kornia.geometry.warp_perspective(
                source[None].float(), torch.linalg.inv(source_T_view), NETWORK, mode=how, padding_mode=border
            ).round_().to(torch.uint8)

    def torchvision_view() -> None:
        # It keeps the size of what it is given: the view would be cut from it.
        for source, how in ((image_CHW, InterpolationMode.BILINEAR), (labels_1HW, InterpolationMode.NEAREST)):
            functional.perspective(source, None, None, how, 255, coefficients=matrix.ravel()[:8].tolist())

    def draw() -> np.random.Generator:
        return np.random.default_rng(1)

    def in_unit_range(effect: Callable[[torch.Tensor], torch.Tensor]) -> Callable[[], object]:
        return lambda: effect(small_CHW[None].float() / 255).mul_(255).to(torch.uint8)

    return {
        "view": (
            lambda: take_view(image_HWC, labels_HW, view, BOX),
            {"Kornia": kornia_view, "torchvision": torchvision_view},
        ),
        "hue": (
            lambda: turn_hue(small_HWC, 0.02, draw()),
            {"torchvision": lambda: functional.adjust_hue(small_CHW, 0.02)},
        ),
        "gamma and brightness": (
            lambda: look_up(small_CHW, tone_table(1.2, 1.1)),
            {"torchvision": lambda: functional.adjust_brightness(functional.adjust_gamma(small_CHW, 1.2), 1.1)},
        ),
        "motion blur": (
            lambda: add_motion(small_HWC, 9, draw()),
            {"Kornia": lambda: kornia.filters.motion_blur(small_CHW[None].float(), 9, 30.0, 0.0)},
        ),
        "defocus (Kornia)": (
            lambda: defocus(small_CHW, 1.5, draw()),
            {"torchvision": lambda: functional.gaussian_blur(small_CHW, [9, 9], [1.4, 1.4])},
        ),
        "shadow": (
            lambda: add_shadow(small_HWC, 0.6, draw()),
            {"Kornia": in_unit_range(kornia.augmentation.RandomPlasmaShadow(p=1.0))},
        ),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=60)
    args = parser.parse_args()
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    for name, (ours, others) in rows().items():
        cells = [f"{label} {milliseconds(do, args.repeats):6.2f} ms" for label, do in others.items()]
        print(f"{name:<22} here {milliseconds(ours, args.repeats):6.2f} ms   {'   '.join(cells)}", flush=True)


if __name__ == "__main__":
    main()
