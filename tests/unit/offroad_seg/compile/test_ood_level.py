# SPDX-License-Identifier: Apache-2.0
"""The OOD threshold of a compiled engine is fitted on the pictures that it was compiled with."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from offroad_seg.bundle import Bundle
from offroad_seg.cli.main import main
from offroad_seg.compile.compiler import CompileOptions, compile_bundle
from offroad_seg.compile.ood_level import fit_level
from offroad_seg.engines.registry import load_engine
from offroad_seg.mapping.doubt import ood_share
from offroad_seg.ontology import load_ontology
from offroad_seg.segmenter import Segmenter
from offroad_seg.types import Frame
from tests.helpers.bundles import make_color_bundle

DESERT = load_ontology("duality_desert")
HEIGHT, WIDTH = 54, 96


@pytest.fixture
def portable(tmp_path):
    return make_color_bundle(tmp_path / "portable", DESERT, HEIGHT, WIDTH, sharpness=1e-3, ood=True)


def pictures(folder, low: int, high: int, count: int = 6):
    """Grey noise: the bundle's score is 4.25 × (grey − 190)."""
    folder.mkdir()
    rng = np.random.default_rng(3)
    for k in range(count):
        grey = rng.integers(low, high + 1, (HEIGHT, WIDTH, 1), dtype=np.uint8)
        cv2.imwrite(str(folder / f"{k}.png"), np.repeat(grey, 3, axis=2))
    return folder


def flagged(bundle, folder) -> float:
    """Share of a folder's pixels that the runtime calls out of distribution."""
    engine = load_engine(bundle)
    segmenter = Segmenter(bundle, engine)
    shares = []
    for k, path in enumerate(sorted(folder.iterdir())):
        share = ood_share(segmenter.segment(Frame(cv2.imread(str(path)), k, "camera")))
        assert share is not None
        shares.append(share)
    engine.close()
    return float(np.mean(shares))


# From 221 on the export's threshold is passed: by 20 % of the first, by none of the second.
@pytest.mark.parametrize(("low", "high", "before"), [(197, 226, 0.2), (180, 214, 0.0)])
def test_as_many_pixels_are_flagged_as_at_the_export(tmp_path, portable, low, high, before):
    folder = pictures(tmp_path / "images", low, high)
    assert flagged(portable, folder) == pytest.approx(before, abs=0.03)
    compile_bundle(portable, tmp_path / "out", CompileOptions("onnxruntime", images=folder))
    compiled = Bundle.load(tmp_path / "out")
    ood = compiled.manifest.ood
    # 1 % of the pixels (percentile 99): of 30 or 35 greys not even the lightest.
    assert ood["level"] == int(4.25 * (high - 190)) + 1
    assert {k: v for k, v in ood.items() if not k.startswith("level")} == portable.manifest.ood
    fitted = ood["level_fitted_on"]
    assert (fitted["images"], fitted["pixels"], fitted["flagged"]) == (6, 6 * HEIGHT * WIDTH, 0.0)
    assert fitted["flagged_at_export"] == pytest.approx(before, abs=0.03)
    assert fitted["images_sha256"] == compiled.manifest.parity["onnxruntime"]["images_sha256"]
    assert flagged(compiled, folder) == 0.0
    assert flagged(compiled, pictures(tmp_path / "lighter", high + 1, high + 3)) == 1.0


def test_synthetic_pictures_leave_the_threshold_of_the_export(tmp_path, portable):
    compile_bundle(portable, tmp_path / "out", CompileOptions("onnxruntime"))
    assert Bundle.load(tmp_path / "out").manifest.ood == portable.manifest.ood


@pytest.mark.parametrize(("low", "high"), [(250, 255), (0, 100)], ids=["all white", "all dark"])
def test_pictures_on_which_no_level_fits_leave_it_too(tmp_path, portable, low, high, caplog):
    folder = pictures(tmp_path / "images", low, high)
    compile_bundle(portable, tmp_path / "out", CompileOptions("onnxruntime", images=folder))
    assert Bundle.load(tmp_path / "out").manifest.ood == portable.manifest.ood
    assert "OOD threshold stays" in caplog.text


def test_other_pictures_fit_it_anew_without_building_again(tmp_path, portable):
    def level(low, high):
        folder = pictures(tmp_path / f"{high}", low, high)
        options = CompileOptions("onnxruntime", images=folder, cache=tmp_path / "cache")
        return compile_bundle(portable, None, options).manifest.ood.get("level")

    assert level(200, 220) == int(4.25 * 30) + 1
    assert level(200, 230) == int(4.25 * 40) + 1
    assert level(250, 255) is None


def test_the_command_says_it(tmp_path, portable, capsys):
    folder = pictures(tmp_path / "images", 197, 226)
    words = ["compile", str(portable.path), "--no-cache", "--out", str(tmp_path / "out")]
    assert main([*words, "--images", str(folder)]) == 0
    said = capsys.readouterr().out
    assert "out of distribution: from level 154 on" in said
    assert "6 images (at most 1%; the export's 128 would flag 2" in said
    assert main([*words, "--overwrite"]) == 0
    assert "from the threshold of the export" in capsys.readouterr().out


@given(st.lists(st.integers(0, 50), min_size=256, max_size=256), st.floats(0.0, 1.0))
def test_a_level_is_the_lowest_that_flags_no_more_than_its_share(counts, share):
    counts_256 = np.array(counts, np.int64)
    level = fit_level(counts_256, share)
    total = counts_256.sum()
    if level is None:
        assert counts_256[255] > share * total or counts_256[65 - 1 :].sum() <= share * total
    else:
        assert 65 <= level <= 255
        assert counts_256[level:].sum() <= share * total < counts_256[level - 1 :].sum()
