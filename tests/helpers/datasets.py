# SPDX-License-Identifier: Apache-2.0
"""Small data sets on disk in every layout that is known, with the class ids that were drawn; never square."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from offroad_seg.ontology import Ontology, load_ontology

if TYPE_CHECKING:
    from collections.abc import Callable

HEIGHT, WIDTH = 30, 52
UNLABELLED = 255
MSL = "NLA_39768{:04d}EDR_F{:03d}0000AUT_04096M1"


known = lru_cache(load_ontology)


@dataclass
class FakeSet:
    """A data set that was written.

    Attributes:
        root: Its folder.
        layout: Its layout.
        ontology: What its masks mean.
        ids: Class ids (H, W) by the frame's name.
        parts: ``train``, ``val``, ``test`` by the frame's name, where the set says so.
    """

    root: Path
    layout: str
    ontology: Ontology
    size: tuple[int, int] = (HEIGHT, WIDTH)
    ids: dict[str, np.ndarray] = field(default_factory=dict)
    parts: dict[str, str] = field(default_factory=dict)

    def draw(self, name: str, image: str, mask: str, coding: str, part: str = "") -> None:
        """Write one frame; ``coding`` is grey, palette or rgb."""
        random = np.random.default_rng(len(self.ids))
        h, w = self.size
        blocks = random.integers(0, self.ontology.n_classes, (-(-h // 6), -(-w // 6))).astype(np.uint8)
        ids = np.kron(blocks, np.ones((6, 6), np.uint8))[:h, :w].copy()
        ids[0, : self.ontology.n_classes] = np.arange(self.ontology.n_classes)[:w]
        if self.ontology.ignore if coding == "grey" else self.ontology.ignore_palette:
            ids[-4:, :9] = UNLABELLED
        noise = random.integers(-20, 21, (h, w, 3))
        picture = np.clip(self.ontology.colorize(ids).astype(int) + noise, 0, 255).astype(np.uint8)
        self._save(Image.fromarray(picture), image)
        self._save(encode(ids, self.ontology, coding), mask)
        self.ids[name] = ids
        if part:
            self.parts[name] = part

    def _save(self, picture: Image.Image, relative: str) -> None:
        path = self.root / relative
        path.parent.mkdir(parents=True, exist_ok=True)
        picture.save(path)


def encode(ids: np.ndarray, ontology: Ontology, coding: str) -> Image.Image:
    """Class ids as a mask picture."""
    if coding == "grey":
        raw = [c.raw[0] for c in ontology.classes] + [ontology.ignore[0] if ontology.ignore else 0]
        dtype = np.uint16 if max(raw) > 255 else np.uint8
        return Image.fromarray(np.array(raw, dtype)[np.where(ids == UNLABELLED, len(raw) - 1, ids)])
    colors = [c.palette[0] for c in ontology.classes] if ontology.has_palette else []
    colors.append(ontology.ignore_palette[0] if ontology.ignore_palette else (0, 0, 0))
    index = np.where(ids == UNLABELLED, len(colors) - 1, ids).astype(np.uint8)
    if coding == "rgb":
        return Image.fromarray(np.array(colors, np.uint8)[index])
    picture = Image.fromarray(index, "P")
    picture.putpalette([v for color in colors for v in color])
    return picture


def write_duality(root: Path) -> FakeSet:
    made = FakeSet(root, "duality", known("duality_desert"))
    for part, numbers in (("train", range(6)), ("val", range(40, 43))):
        for i in numbers:
            stem = f"{'cc' if i % 2 else 'ww'}{i:07d}"
            files = (f"{part}/Color_Images/{stem}.png", f"{part}/Segmentation/{stem}.png")
            made.draw(f"{part}/{stem}", *files, "grey", part)
    return made


def write_ycor(root: Path) -> FakeSet:
    made = FakeSet(root, "ycor", known("ycor"))
    for i in range(5):
        folder = f"{'valid' if i > 3 else 'train'}/iid{i:06d}"
        made.draw(folder, f"{folder}/rgb.jpg", f"{folder}/labels.png", "grey", "val" if i > 3 else "train")
        # As published: a palette in which two indexes share a colour. Whoever reads colours cannot tell them apart.
        with Image.open(root / folder / "labels.png") as grey:
            palette = Image.fromarray(np.asarray(grey), "P")
        palette.putpalette(
            [7, 7, 7, 200, 10, 10, 200, 10, 10] + [v for k in range(3, 256) for v in (k, 0, 255 - k)]
        )
        palette.save(root / folder / "labels.png")
    return made


def write_rugd(root: Path) -> FakeSet:
    made = FakeSet(root, "rugd", known("rugd"))
    scenes = {"creek": "test", "park-8": "val", "trail-10": "train", "village": "train"}
    for scene, part in scenes.items():
        for i in (1, 21):
            stem = f"{scene}_{i:05d}"
            # The archives unpack into folders of their own names, inside each other.
            image = f"RUGD_frames-with-annotations/RUGD_frames-with-annotations/{scene}/{stem}.png"
            made.draw(f"{scene}/{stem}", image, f"RUGD_annotations/{scene}/{stem}.png", "rgb", part)
    (root / "RUGD_annotations" / "RUGD_annotation-colormap.txt").write_text("0 void 0 0 0\n")
    return made


def write_rugd_sample(root: Path) -> FakeSet:
    made = FakeSet(root, "rugd", known("rugd"))
    for stem, part in (("creek_00001", "test"), ("trail_00002", "train"), ("trail_00003", "train")):
        made.draw(f"{stem[:-6]}/{stem}", f"images/{stem}.png", f"annotations/{stem}.png", "rgb", part)
    (root / "RUGD_annotation-colormap.txt").write_text("0 void 0 0 0\n")
    return made


def write_rellis(root: Path) -> FakeSet:
    made = FakeSet(root, "rellis3d", known("rellis3d"))
    lists: dict[str, list[str]] = {"train": [], "val": [], "test": []}
    for i, part in enumerate(("train", "train", "val", "test", "")):
        sequence, stem = f"{i // 2:05d}", f"frame{i * 5:06d}-158162465{i}_750"
        image = f"{sequence}/pylon_camera_node/{stem}.jpg"
        mask = f"{sequence}/pylon_camera_node_label_id/{stem}.png"
        # Two archives, each with a folder of its own around it.
        folders = (f"Rellis_3D_images/Rellis-3D/{image}", f"Rellis_3D_label_id/Rellis-3D/{mask}")
        made.draw(f"{sequence}/{stem}", *folders, "grey", part)
        if part:
            lists[part].append(f"{image} {mask}")
    for part, lines in lists.items():
        (root / f"{part}.lst").write_text("\n".join(lines) + "\n")
    return made


def write_ai4mars(root: Path) -> FakeSet:
    made = FakeSet(root, "ai4mars", known("ai4mars"))
    for i in range(5):
        stem = MSL.format(i, i // 2)
        made.draw(stem, f"images/{stem}.jpg", f"masks/{stem}.png", "grey")
    return made


def write_ai4mars_published(root: Path) -> FakeSet:
    made = FakeSet(root, "ai4mars", known("ai4mars"))
    for i in range(5):
        stem, part = MSL.format(i, i // 2), "test" if i == 4 else "train"
        mask = f"labels/test/masked-gold-min3-100agree/{stem}_merged" if i == 4 else f"labels/train/{stem}"
        made.draw(stem, f"msl/ncam/images/edr/{stem}.JPG", f"msl/ncam/{mask}.png", "grey", part)
    # Weaker labels of the same test image, an image that nobody labelled, another rover.
    test, stem = "msl/ncam/labels/test", MSL.format(4, 2)
    for other in (f"{test}/masked-gold-min1-100agree/{stem}_merged.png", "mer/labels/train/2n_merged.png"):
        (root / other).parent.mkdir(parents=True)
        Image.new("L", (WIDTH, HEIGHT), 0).save(root / other)
    Image.new("L", (WIDTH, HEIGHT), 9).save(root / "msl/ncam/images/edr" / f"{MSL.format(99, 9)}.JPG")
    return made


def write_rescuenet(root: Path, coding: str = "grey") -> FakeSet:
    made = FakeSet(root, "rescuenet", known("rescuenet"))
    for i, part in enumerate(("train", "train", "train", "val", "test")):
        stem = f"{10778 + i}"
        folder = f"{part}/{part}-label-img" if coding == "grey" else f"ColorMasks-{part.title()}Set"
        image = f"{part}/{part}-org-img/{stem}.jpg"
        made.draw(f"{part}/{stem}", image, f"{folder}/{stem}_lab.png", coding, part)
    return made


def write_aeroscapes(root: Path) -> FakeSet:
    made = FakeSet(root, "aeroscapes", known("aeroscapes"))
    for i in range(6):
        stem, part = f"{i // 2:06d}_{i % 2 + 1:03d}", "val" if i > 3 else "train"
        made.draw(stem, f"JPEGImages/{stem}.jpg", f"SegmentationClass/{stem}.png", "grey", part)
    (root / "ImageSets").mkdir()
    for file, part in (("trn", "train"), ("val", "val")):
        names = [name for name, own in made.parts.items() if own == part]
        (root / "ImageSets" / f"{file}.txt").write_text("\n".join(names) + "\n")
    return made


def write_potsdam(root: Path) -> FakeSet:
    made = FakeSet(root, "potsdam", known("potsdam"), (61, 93))
    for tile, part in (("2_10", "train"), ("2_11", "train"), ("6_7", "train"), ("2_13", "test")):
        name = f"top_potsdam_{tile}"
        made.draw(name, f"2_Ortho_RGB/{name}_RGB.tif", f"5_Labels_all/{name}_label.tif", "rgb", part)
    (root / "5_Labels_for_participants").mkdir()
    Image.new("RGB", (93, 61)).save(root / "5_Labels_for_participants" / "top_potsdam_6_7_label.tif")
    return made


def write_generic(root: Path, ontology: str = "duality_desert", coding: str = "grey") -> FakeSet:
    made = FakeSet(root, "generic", known(ontology))
    for i in range(6):
        name = f"site{i // 3}/day/frame{i:03d}"
        made.draw(name, f"images/{name}.jpg", f"masks/{name}.png", coding)
    return made


def write_generic_parts(root: Path) -> FakeSet:
    made = FakeSet(root, "generic", known("ycor"))
    for part in ("train", "val", "test"):
        for i in range(3):
            made.draw(
                f"{part}/{i:03d}", f"{part}/images/{i:03d}.png", f"{part}/masks/{i:03d}.png", "grey", part
            )
    return made


MAKERS: dict[str, Callable[[Path], FakeSet]] = {
    "duality": write_duality,
    "ycor": write_ycor,
    "rugd": write_rugd,
    "rugd_sample": write_rugd_sample,
    "rellis3d": write_rellis,
    "ai4mars": write_ai4mars,
    "ai4mars_published": write_ai4mars_published,
    "rescuenet": write_rescuenet,
    "rescuenet_colors": lambda root: write_rescuenet(root, "rgb"),
    "aeroscapes": write_aeroscapes,
    "potsdam": write_potsdam,
    "generic": write_generic,
    "generic_parts": write_generic_parts,
    "generic_colors": lambda root: write_generic(root, "potsdam", "palette"),
}
