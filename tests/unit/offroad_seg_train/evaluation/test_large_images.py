# SPDX-License-Identifier: Apache-2.0
"""Images larger than memory: windows say what the network says of the whole, in memory that does not grow."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest
import torch

from offroad_seg.ontology import load_ontology
from offroad_seg_train.evaluation.labelling import Labeller, LabelOptions
from offroad_seg_train.evaluation.opened import OpenedModel, open_model
from offroad_seg_train.models.padding import pad_to_multiple
from tests.helpers.checkpoints import write_checkpoint
from tests.helpers.large_scene import CONFIG, scene, trained_network

if TYPE_CHECKING:
    from pathlib import Path

MARS = load_ontology("ai4mars")
HEIGHT, WIDTH = 900, 1310


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    network = trained_network(MARS)
    path = tmp_path_factory.mktemp("large") / "best.ckpt"
    return write_checkpoint(path, ontology="ai4mars", height=128, width=128, config=CONFIG, network=network)


@pytest.fixture(scope="module")
def image() -> tuple[np.ndarray, np.ndarray]:
    return scene(MARS, HEIGHT, WIDTH, seed=7)


def on_the_whole(model: OpenedModel, image_HWC: np.ndarray) -> np.ndarray:
    """Labels of the network run once on the whole image, padded so that its stride divides it."""
    assert model.checkpoint is not None
    pixels = torch.from_numpy(image_HWC.transpose(2, 0, 1)[None].astype(np.float32))
    with torch.inference_mode():
        logits = model.checkpoint.module(pad_to_multiple(pixels, 32))
    return logits[0, :, :HEIGHT, :WIDTH].argmax(dim=0).numpy().astype(np.uint8)


def differs(model: OpenedModel, image_HWC: np.ndarray, tile: int, overlap: float) -> float:
    labels, _ = Labeller(model, LabelOptions(tile=tile, overlap=overlap)).label(image_HWC)
    return float((labels != on_the_whole(model, image_HWC)).mean())


def test_tiling_changes_less_than_half_a_percent_of_pixels(
    checkpoint: Path, image: tuple[np.ndarray, np.ndarray]
) -> None:
    model = open_model(checkpoint, device="cpu")
    whole = on_the_whole(model, image[0])
    # The network has learnt the scene, so that agreement says something.
    assert (whole == image[1]).mean() > 0.75
    assert np.bincount(whole.ravel(), minlength=4).min() > 0.1 * whole.size
    # `tiny` averages over the whole window, so windows must be large enough for a fair average.
    assert differs(model, image[0], 512, 0.25) < 0.005
    # A network that looks at its surroundings alone needs only the overlap.
    assert model.checkpoint is not None
    torch.nn.init.zeros_(model.checkpoint.module.model.context.weight)
    local = differs(model, image[0], 256, 0.25)
    assert local < 0.003
    # Without overlap there are seams: what the blending is for.
    assert differs(model, image[0], 256, 0.0) > 3 * local


def test_a_bundle_votes_in_windows(tmp_path: Path, image: tuple[np.ndarray, np.ndarray]) -> None:
    from tests.helpers.bundles import make_color_bundle

    model = open_model(make_color_bundle(tmp_path / "b", MARS, 96, 160).path)
    colors = MARS.colorize(image[1])
    labels, confidence = Labeller(model, LabelOptions(tile=160)).label(colors)
    np.testing.assert_array_equal(labels, image[1])
    assert confidence.min() > 250
    # Twice as large a window shows the network half the detail: right but for the edges.
    labels, _ = Labeller(model, LabelOptions(tile=320)).label(colors)
    assert 0.97 < (labels == image[1]).mean() < 1.0
    # An image smaller than a window is not enlarged.
    small, _ = Labeller(model, LabelOptions(tile=160)).label(colors[:40, :50])
    np.testing.assert_array_equal(small, image[1][:40, :50])


_MEASURE = """
import re, sys
from pathlib import Path
import torch
torch.set_num_threads(1)
from offroad_seg_train.evaluation.labelling import LabelOptions
from offroad_seg_train.evaluation.opened import open_model
from offroad_seg_train.evaluation.predict import PredictOptions, predict

checkpoint, out, tile = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]) or None
model = open_model(Path(checkpoint), device="cpu")
for image in sys.argv[4:]:
    options = PredictOptions(LabelOptions(tile=tile), ("masks", "ids", "confidence", "overlays"), overwrite=True)
    predict(model, [Path(image)], out, options)
    # Not getrusage: its peak is inherited from the process that started this one.
    print(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1])
"""


def growth_mb(checkpoint: Path, folder: Path, tile: int) -> float:
    """How much more memory ``long.tif`` needs than ``short.tif`` did, in a process of its own."""
    words = [
        str(checkpoint),
        str(folder / "out"),
        str(tile),
        str(folder / "short.tif"),
        str(folder / "long.tif"),
    ]
    done = subprocess.run(
        [sys.executable, "-c", _MEASURE, *words], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    short, long = (int(word) for word in done.stdout.split())
    return (long - short) / 1024


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc/self/status")
def test_memory_does_not_grow_with_the_number_of_rows(tmp_path: Path, checkpoint: Path) -> None:
    block, _ = scene(MARS, 800, 1500, seed=3)
    for name, times in (("short", 1), ("long", 9)):
        pixels = np.concatenate([block] * times)
        cv2.imwrite(str(tmp_path / f"{name}.tif"), pixels[..., ::-1], [cv2.IMWRITE_TIFF_COMPRESSION, 1])
    # As a whole it is 93 MB: image, overlay and labels alone. Scores of a bundle or of several views come on top.
    assert growth_mb(checkpoint, tmp_path, 256) < 40
    mask = cv2.imread(str(tmp_path / "out" / "ids" / "long.png"), cv2.IMREAD_UNCHANGED)
    assert mask.shape == (7200, 1500)
    # Far from ends and seams, every repetition of the block is labelled alike.
    same = [(mask[1000 + i * 800 : 1400 + i * 800] == mask[1000:1400]).mean() for i in range(1, 7)]
    assert min(same) > 0.97
