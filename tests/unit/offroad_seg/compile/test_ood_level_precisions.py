# SPDX-License-Identifier: Apache-2.0
"""Each precision has an OOD level of its own: that of another engine would flag another share of the pixels.

fp32 and int8 are what ``compile`` builds with ONNX Runtime. In fp16 it builds for GPUs only: here the graph that
TensorRT is given runs on the CPU, with every float16 tensor rounded, through the same ``compile``.
"""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import numpy as np
import pytest

from offroad_seg.bundle import Bundle
from offroad_seg.compile.builder import BUILDERS
from offroad_seg.compile.compiler import CompileOptions, compile_bundle
from offroad_seg.engines.registry import load_engine
from offroad_seg.ontology import load_ontology
from offroad_seg.segmenter import Segmenter
from offroad_seg.types import OOD_THRESHOLD, Frame
from tests.helpers.bundles import edit_manifest
from tests.helpers.doubting import make_doubting_bundle, read_pictures, write_pictures

if TYPE_CHECKING:
    from pathlib import Path

DESERT = load_ontology("duality_desert")
PROMISED = 0.01  # percentile 99


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The gate's pictures, others for int8's ranges, and one engine of each precision."""
    root = tmp_path_factory.mktemp("ood")
    images = write_pictures(root / "images", DESERT, seed=4, count=6)
    ranges = write_pictures(root / "ranges", DESERT, seed=5, count=4)
    portable = make_doubting_bundle(root / "portable", DESERT, images)
    for precision in ("fp32", "int8", "fp16"):
        with pytest.MonkeyPatch.context() as patch:
            if precision == "fp16":
                patch.setitem(BUILDERS, "onnxruntime", "tests.helpers.half:HalfBuilder")
            calibration = ranges if precision == "int8" else None
            options = CompileOptions("onnxruntime", precision, images=images, calibration=calibration)
            compile_bundle(portable, root / precision, options)
    return root


def scores(bundle: Bundle, folder: Path) -> np.ndarray:
    """What the runtime says of every pixel of the gate's pictures."""
    engine = load_engine(bundle)
    segmenter = Segmenter(bundle, engine)
    found = []
    for k, image_HWC in enumerate(read_pictures(folder / "images")):
        ood_HW = segmenter.segment(Frame(image_HWC, k, "camera")).ood_HW
        assert ood_HW is not None
        found.append(ood_HW.copy())
    engine.close()
    return np.stack(found)


def levels(folder: Path) -> dict[str, int]:
    return {p: Bundle.load(folder / p).manifest.ood["level"] for p in ("fp32", "int8", "fp16")}


@pytest.mark.parametrize("precision", ["fp32", "int8", "fp16"])
def test_the_promised_share_is_flagged_to_one_step_of_the_score(folder: Path, precision: str) -> None:
    bundle = Bundle.load(folder / precision)
    assert bundle.manifest.precision == precision
    assert bundle.manifest.ood is not None
    found = scores(bundle, folder)
    flagged = float((found >= OOD_THRESHOLD).mean())
    # The score has whole steps, and a level one step lower would flag too many: what is missing to the promised share
    # is less than the pixels of that step.
    assert flagged <= PROMISED < flagged + (found == OOD_THRESHOLD - 1).mean()
    assert bundle.manifest.ood["level_fitted_on"]["flagged"] == pytest.approx(flagged, abs=1e-6)


@pytest.mark.parametrize("precision", ["int8", "fp16"])
def test_the_level_of_fp32_would_flag_more_than_promised(
    folder: Path, precision: str, tmp_path: Path
) -> None:
    assert levels(folder)[precision] != levels(folder)["fp32"]
    assert not np.array_equal(*(scores(Bundle.load(folder / p), folder) for p in (precision, "fp32")))
    other = tmp_path / "other"
    shutil.copytree(folder / precision, other)
    edit_manifest(other, ood={"level": levels(folder)["fp32"]})
    assert (scores(Bundle.load(other), folder) >= OOD_THRESHOLD).mean() > 1.1 * PROMISED
