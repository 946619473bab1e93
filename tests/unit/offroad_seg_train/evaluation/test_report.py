# SPDX-License-Identifier: Apache-2.0
"""The evaluation's page: one file, true to its figures, and at work in a real browser."""

from __future__ import annotations

import json
import re
from html import unescape
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest

from offroad_seg.cli.main import main
from offroad_seg.ontology import load_ontology
from offroad_seg_train.evaluation.pictures import confusion_picture, reliability_picture
from offroad_seg_train.evaluation.report import reliability_svg
from tests.helpers.browser import chromium, run_in_page
from tests.helpers.bundles import make_color_bundle

if TYPE_CHECKING:
    from pathlib import Path

MARS = load_ontology("ai4mars")
HOSTILE = "z<script>alert(1)"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An evaluation of five frames, the later the worse; class 3 never occurs."""
    root = tmp_path_factory.mktemp("report")
    make_color_bundle(root / "bundle", MARS, 48, 80)
    for name in ("images", "masks"):
        (root / "data" / name).mkdir(parents=True)
    for i, name in enumerate(["a", "b", "c", "d", HOSTILE]):
        ids = (np.arange(160) * 3 // 160).astype(np.uint8)[None].repeat(96, 0)
        truth = ids.copy()
        truth[: 20 * i, :60] = 2
        cv2.imwrite(str(root / "data" / "images" / f"{name}.png"), MARS.colorize(ids)[..., ::-1])
        cv2.imwrite(str(root / "data" / "masks" / f"{name}.png"), MARS.decode(truth).astype(np.uint8))
    words = ["evaluate", str(root / "bundle"), "--data", str(root / "data"), "--worst", "3"]
    assert main([*words, "--out", str(root / "out")]) == 0
    return root / "out"


def test_page_is_one_file_with_the_figures_in_it(folder: Path) -> None:
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert not re.search(r'(src|href)="(?!data:)[^"]', page)
    assert "http" not in re.sub(r"data:[a-z/]+;base64,[A-Za-z0-9+/=]+", "", page)
    assert HOSTILE not in page
    metrics = json.loads((folder / "metrics.json").read_text())
    text = unescape(re.sub(r"<[^>]+>", " ", page))
    assert f"{metrics['miou_present']:.3f}" in text
    assert "over the 3 of 4 classes that occur" in text
    assert f"Not one labelled pixel of {MARS.names[3]}" in text
    frames = json.loads(re.search(r'id="data">(.*?)</script>', page, re.DOTALL)[1])["frames"]
    assert [f["name"] for f in frames] == [HOSTILE, "d", "c"]
    assert [f["miou"] for f in frames] == sorted(f["miou"] for f in frames)
    assert sorted(p.name for p in (folder / "worst").iterdir())[1:] == ["02_d.png", "03_c.png"]


def test_page_works_in_a_browser(folder: Path, tmp_path: Path) -> None:
    chromium()
    found, console = run_in_page(
        folder / "report.html",
        """
        const shown = () => document.body.dataset.frame;
        const press = (key) => document.body.dispatchEvent(new KeyboardEvent("keydown", {key, bubbles: true}));
        const first = shown(), image = () => document.querySelector('[data-picture="errors"] img').src;
        const before = image();
        document.querySelectorAll("[data-go]")[2].click();
        const steps = [shown()], changed = image() !== before;
        press("ArrowLeft"); steps.push(shown());
        press("End"); press("ArrowRight"); press("ArrowRight"); steps.push(shown());
        press("o");
        const mixed = document.querySelector(".mixed").style.opacity;
        await Promise.all([...document.images].map((i) => i.decode()));
        const pane = document.querySelector('[data-picture="truth"]'), box = pane.getBoundingClientRect();
        pane.dispatchEvent(new PointerEvent("pointermove", {clientX: box.left + 2, clientY: box.bottom - 3}));
        const said = document.getElementById("say").textContent;
        const iou = [...document.querySelectorAll("#classes th")].find((h) => h.textContent === "IoU");
        const order = () => [...document.querySelectorAll("#classes tbody tr")].map((r) => r.cells[0].textContent);
        iou.querySelector("button").click(); const down = order();
        iou.querySelector("button").click(); const up = order();
        return {first, steps, changed, mixed, said, down, up, wide: document.documentElement.scrollWidth,
                bars: document.querySelectorAll(".reliability g").length};
        """,
        tmp_path,
    )
    assert console == []
    assert found["first"] == HOSTILE
    assert found["steps"] == ["c", "d", "c"]
    assert found["changed"]
    assert found["mixed"] == "0"
    assert found["said"].startswith(f"true {MARS.names[0]} · predicted {MARS.names[0]} · confidence")
    # What has no IoU stays at the end either way.
    assert found["down"][-1] == found["up"][-1] == MARS.names[3]
    assert found["down"][:3] == found["up"][2::-1]
    assert found["wide"] <= 1280
    assert found["bars"] >= 1


@pytest.mark.parametrize("n", [2, 10, 25])
def test_diagrams_of_any_number_of_classes(tmp_path: Path, n: int) -> None:
    random = np.random.default_rng(0)
    counts = np.concatenate([random.integers(0, 9000, (n, n)), np.zeros((n, 1), int)], axis=1)
    counts[0] = 0  # a class that is not in the truth
    path = tmp_path / "m.png"
    confusion_picture(counts, [f"A class with number {i}" for i in range(n)], path)
    height, width = cv2.imread(str(path)).shape[:2]
    assert width < 2200
    # Each cell has room for three digits.
    assert (width - 120 * 3.6) / n > 40
    assert height > 120 * 0.4 * n


def test_reliability_diagrams_of_odd_bins(tmp_path: Path) -> None:
    empty = {"from": 0.0, "to": 0.5, "pixels": 0, "confidence": None, "accuracy": None}
    full = {"from": 0.5, "to": 1.0, "pixels": 7, "confidence": 0.9, "accuracy": 0.4}
    reliability_picture([empty, full], 0.5, tmp_path / "r.png")
    reliability_picture([empty, empty], None, tmp_path / "e.png")
    assert cv2.imread(str(tmp_path / "e.png")).shape == cv2.imread(str(tmp_path / "r.png")).shape
    svg = reliability_svg([empty, full])
    assert svg.count("<g>") == 1
    assert "confidence 90.0 %: 40.0 % are right, 100.0 % of pixels" in svg
