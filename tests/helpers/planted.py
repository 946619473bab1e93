# SPDX-License-Identifier: Apache-2.0
"""A small clean data set in the Duality layout, and every fault that an audit should find, planted one by one.

Each frame is a scene of its own: sky that is smooth and bright, rough ground below a horizon, bushes and rocks on it.
"""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from pathlib import Path

HEIGHT, WIDTH = 72, 128
TREES, BUSHES, GRASS, DRY_BUSHES, CLUTTER = 100, 200, 300, 500, 550
FLOWERS, LOGS, ROCKS, LANDSCAPE, SKY = 600, 700, 800, 7100, 10000
OUTSIDE = 1234
LOOKS = {
    TREES: (50, 80, 45),
    BUSHES: (80, 120, 60),
    GRASS: (180, 165, 110),
    DRY_BUSHES: (150, 115, 75),
    CLUTTER: (150, 120, 95),
    FLOWERS: (190, 110, 150),
    LOGS: (105, 70, 45),
    ROCKS: (120, 120, 125),
    LANDSCAPE: (205, 180, 145),
}


def scene(seed: int, height: int = HEIGHT, width: int = WIDTH) -> tuple[np.ndarray, np.ndarray]:
    """RGB image uint8 (H, W, 3) and raw values uint16 (H, W)."""
    rng = np.random.default_rng(seed)
    horizon = (0.38 + 0.05 * np.cumsum(rng.normal(0, 0.12, width)).clip(-1.5, 1.5)) * height
    rows = np.arange(height)[:, None]
    mask = np.full((height, width), SKY, np.uint16)
    mask[rows >= horizon[None]] = LANDSCAPE
    patches = cv2.resize(rng.normal(size=(5, 8)), (width, height), interpolation=cv2.INTER_CUBIC)
    mask[(mask == LANDSCAPE) & (patches > 0.4)] = GRASS
    mask[(mask != SKY) & (patches < -0.9) & (rows > 0.55 * height)] = CLUTTER
    for value in (TREES, BUSHES, ROCKS, BUSHES, DRY_BUSHES, FLOWERS, LOGS):
        x, size = rng.integers(width), int(rng.integers(height // 10, height // 4))
        y = int(horizon[x]) if value == TREES else int(rng.uniform(horizon[x] + 4, 0.9 * height))
        cv2.ellipse(mask, (int(x), y), (size, max(3, size // 2)), 0, 0, 360, value, -1)
    image = np.zeros((height, width, 3), np.float32)
    image[:] = np.linspace(170, 225, height)[:, None, None] * np.array([0.9, 0.97, 1.1], np.float32)
    rough = rng.normal(0, 14, (height, width, 1)) + 22 * patches[..., None]
    for value, color in LOOKS.items():
        image = np.where((mask == value)[..., None], np.array(color, np.float32) + rough, image)
    light = rng.uniform(0.85, 1.1)
    return np.clip(image * light, 0, 255).astype(np.uint8), mask


def alien(height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    """A face that has no business in a desert, RGB uint8."""
    image = np.full((height, width, 3), (15, 20, 40), np.uint8)
    centre = width // 2, height // 2
    cv2.ellipse(image, centre, (height // 3, int(height * 0.45)), 0, 0, 360, (110, 200, 80), -1)
    for side in (-1, 1):
        eye = centre[0] + side * height // 7, centre[1] - height // 16
        cv2.ellipse(image, eye, (height // 12, height // 7), 20 * side, 0, 360, (5, 5, 10), -1)
    cv2.ellipse(image, (centre[0], centre[1] + height // 4), (height // 12, 2), 0, 0, 360, (40, 70, 30), -1)
    return image


def write_frame(folder: Path, name: str, image: np.ndarray, mask: np.ndarray, *, suffix: str = "png") -> None:
    """Write one frame into a folder of the Duality layout."""
    for kind in ("Color_Images", "Segmentation"):
        (folder / kind).mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(folder / "Color_Images" / f"{name}.{suffix}"), image[..., ::-1])
    cv2.imwrite(str(folder / "Segmentation" / f"{name}.png"), mask)


def image_file(folder: Path, name: str) -> Path:
    return folder / "Color_Images" / f"{name}.png"


def mask_file(folder: Path, name: str) -> Path:
    return folder / "Segmentation" / f"{name}.png"


def write_clean(root: Path, *, train: int = 30, val: int = 10) -> Path:
    """``root/train`` and ``root/val``: frames that have nothing in common and nothing wrong with them."""
    for part, number, first in (("train", train, 0), ("val", val, 1000)):
        for k in range(number):
            write_frame(root / part, f"cc{k:07d}", *scene(first + k))
    return root


def copy_frame(source: Path, name: str, folder: Path, new: str) -> None:
    """Copy both files of a frame under another name."""
    for file in (image_file, mask_file):
        shutil.copyfile(file(source, name), file(folder, new))


def reencode(
    source: Path, name: str, folder: Path, new: str, *, brighter: int = 6, quality: int = 60
) -> None:
    """The same picture as a JPEG, a little brighter, with the same mask."""
    image = cv2.imread(str(image_file(source, name)))
    brighter_HWC = np.clip(image.astype(int) + brighter, 0, 255).astype(np.uint8)
    cv2.imwrite(
        str(folder / "Color_Images" / f"{new}.jpg"), brighter_HWC, [cv2.IMWRITE_JPEG_QUALITY, quality]
    )
    shutil.copyfile(mask_file(source, name), mask_file(folder, new))


def cut(path: Path, share: float = 0.6) -> None:
    """Cut a file short."""
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])


def change_mask(folder: Path, name: str, change) -> None:
    """Rewrite a mask: ``change`` takes and returns raw values."""
    path = mask_file(folder, name)
    cv2.imwrite(str(path), change(cv2.imread(str(path), cv2.IMREAD_UNCHANGED)))


def plant_everything(root: Path) -> Path:
    """A clean set, and every fault in it. Frames 0–9 of ``train`` are those that are spoiled, or copied from."""
    write_clean(root, train=40, val=12)
    train, val = root / "train", root / "val"
    copy_frame(train, "cc0000010", train, "zz0000001")  # exact duplicate
    copy_frame(train, "cc0000010", train, "zz0000002")
    reencode(train, "cc0000011", train, "zz0000003")  # near duplicate
    copy_frame(val, "cc0000003", train, "zz0000004")  # leak
    reencode(val, "cc0000004", train, "zz0000005")  # near leak
    cut(image_file(train, "cc0000000"))
    cut(mask_file(train, "cc0000001"))
    image_file(val, "cc0000000").write_bytes(b"no picture at all")

    def outside(mask: np.ndarray) -> np.ndarray:
        mask[-4:, :9] = OUTSIDE
        return mask

    change_mask(train, "cc0000002", outside)
    change_mask(train, "cc0000003", lambda mask: mask[:-2])  # another size
    change_mask(train, "cc0000004", lambda mask: (mask & 255).astype(np.uint8))  # 8 bits
    change_mask(train, "cc0000005", np.zeros_like)  # all ignored
    image_file(train, "cc0000006").unlink()
    mask_file(train, "cc0000007").unlink()
    write_frame(train, "cc0000008", np.full((HEIGHT, WIDTH, 3), 3, np.uint8), scene(8)[1])  # blank
    for k in (0, 17, 33):
        write_frame(train, f"yy{k:07d}", alien(), scene(5000 + k)[1])  # the anomaly, repeated
    copy_frame(train, "cc0000012", train, "zz0000006")  # the same picture with other labels
    change_mask(train, "zz0000006", lambda mask: np.where(mask == LANDSCAPE, np.uint16(GRASS), mask))
    shutil.copyfile(mask_file(train, "cc0000013"), mask_file(train, "cc0000014"))  # one mask on two pictures
    (train / "Color_Images" / "notes.txt").write_text("not a picture")
    return root
