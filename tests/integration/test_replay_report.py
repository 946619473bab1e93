# SPDX-License-Identifier: Apache-2.0
"""The report in a real browser: no console error, scrubbing changes the pictures, tables sort, both themes."""

from __future__ import annotations

import pytest

from offroad_seg.cli.main import main
from offroad_seg.ontology import load_ontology
from tests.helpers.bags import write_bag
from tests.helpers.browser import chromium, run_in_page
from tests.helpers.bundles import make_color_bundle

pytestmark = pytest.mark.parallel

FRAMES = 12


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    chromium()
    folder = tmp_path_factory.mktemp("report")
    ontology = load_ontology("duality_desert")
    make_color_bundle(folder / "bundle", ontology, 60, 96)
    write_bag(folder / "drive.mcap", ontology, frames=FRAMES, height=90, width=160, noise=70)
    write_bag(
        folder / "bare.mcap", ontology, frames=3, truth=False, camera_info=False, tf=False, odometry=False
    )
    for name in ("drive", "bare"):
        bag, out = folder / f"{name}.mcap", folder / name
        assert main(["replay", str(folder / "bundle"), str(bag), "--out", str(out)]) == 0
    return folder


def test_scrubbing_changes_every_picture(folder):
    found, console = run_in_page(
        folder / "drive" / "report.html",
        """
        const pictures = () => [...document.querySelectorAll("[data-picture] img:last-of-type")].map((i) => i.src);
        const frame = () => Number(document.body.dataset.frame);
        const viewer = document.getElementById("viewer");
        const press = (key) => viewer.dispatchEvent(new KeyboardEvent("keydown", {key, bubbles: true}));
        const first = pictures(), steps = [frame()];
        for (const key of ["ArrowRight", "ArrowRight", "ArrowLeft", "End", "ArrowRight", "Home", "PageDown"]) {
          press(key); steps.push(frame());
        }
        press("End");
        const last = pictures();
        const scrub = document.getElementById("scrub");
        scrub.value = 4; scrub.dispatchEvent(new Event("input"));
        steps.push(frame());
        await Promise.all([...document.images].map((i) => i.decode()));
        const sizes = [...document.images].map((i) => i.naturalWidth);
        return {steps, names: [...document.querySelectorAll("[data-picture]")].map((p) => p.dataset.picture),
                changed: first.map((uri, i) => uri !== last[i]), sizes};
        """,
        folder,
    )
    assert console == []
    assert found["steps"] == [0, 1, 2, 1, 11, 11, 0, 10, 4]
    assert found["names"] == ["image", "truth", "prediction", "confidence", "costmap", "true_costmap"]
    assert all(found["changed"])
    assert min(found["sizes"]) > 0


def test_playing_runs_through_the_frames(folder):
    found, console = run_in_page(
        folder / "drive" / "report.html",
        """
        document.getElementById("play").click();
        await new Promise((done) => setTimeout(done, 700));
        document.getElementById("play").click();
        const stopped = document.body.dataset.frame;
        await new Promise((done) => setTimeout(done, 500));
        return [Number(stopped), document.body.dataset.frame === stopped];
        """,
        folder,
    )
    assert console == []
    assert found[0] >= 2
    assert found[1]


def test_the_timeline_and_the_worst_frames_lead_to_their_frame(folder):
    found, console = run_in_page(
        folder / "drive" / "report.html",
        """
        const tracks = document.getElementById("tracks"), box = tracks.querySelector("svg").getBoundingClientRect();
        tracks.setPointerCapture = () => {};
        tracks.dispatchEvent(new PointerEvent("pointerdown", {clientX: box.right, clientY: box.top + 5}));
        const end = Number(document.body.dataset.frame);
        const cursor = document.getElementById("cursor").getBoundingClientRect();
        const button = document.querySelector("[data-go]");
        button.click();
        return {end, off: Math.abs(cursor.left + cursor.width / 2 - box.right), go: Number(button.dataset.go),
                frame: Number(document.body.dataset.frame)};
        """,
        folder,
    )
    assert console == []
    assert found["end"] == FRAMES - 1
    assert found["off"] < 2
    assert found["go"] == found["frame"]


def test_tables_sort_both_ways_and_keep_what_has_no_value_last(folder):
    found, console = run_in_page(
        folder / "drive" / "report.html",
        """
        const heads = [...document.querySelectorAll("#classes th")];
        const column = (i) => [...document.querySelectorAll("#classes tbody tr")].map((r) => r.cells[i].dataset.value);
        const click = (i) => { heads[i].querySelector("button").click(); return column(i); };
        return {names: [click(0), click(0)], recall: [click(4), click(4)], sort: heads[4].getAttribute("aria-sort")};
        """,
        folder,
    )
    assert console == []
    up, down = found["names"]
    assert up == sorted(up)
    assert down == sorted(up, reverse=True)
    for column, reverse in zip(found["recall"], (True, False), strict=True):
        numbers = [float(v) for v in column if v]
        assert numbers == sorted(numbers, reverse=reverse)
        assert column[len(numbers) :] == [""] * (len(column) - len(numbers))
        assert "" in column
    assert found["sort"] == "ascending"


def test_pointing_at_a_picture_reads_its_classes(folder):
    found, console = run_in_page(
        folder / "drive" / "report.html",
        """
        await Promise.all([...document.images].map((i) => i.decode()));
        const pane = document.querySelector('[data-picture="image"]'), box = pane.getBoundingClientRect();
        const point = (x, y) => pane.dispatchEvent(new PointerEvent("pointermove",
          {clientX: box.left + x * box.width, clientY: box.top + y * box.height}));
        point(0.5, 0.05);
        const sky = document.getElementById("say").textContent;
        point(0.6, 0.95);
        const ground = document.getElementById("say").textContent;
        pane.dispatchEvent(new PointerEvent("pointerleave"));
        return [sky, ground, document.getElementById("say").textContent];
        """,
        folder,
    )
    assert console == []
    assert "true Sky" in found[0]
    assert "true Landscape" in found[1]
    assert "confidence" in found[1]
    assert found[2].startswith("Point at")


@pytest.mark.parametrize("width", [1280, 400])
def test_nothing_sticks_out_and_both_themes_differ(folder, width):
    found, console = run_in_page(
        folder / "drive" / "report.html",
        """
        const paper = () => getComputedStyle(document.body).backgroundColor;
        const light = paper();
        document.getElementById("theme").click();
        return {light, dark: paper(), over: document.documentElement.scrollWidth - innerWidth};
        """,
        folder,
        size=(width, 900),
    )
    assert console == []
    assert found["light"] != found["dark"]
    assert found["over"] <= 0


def test_a_bag_without_truth_or_costmap_makes_a_report_too(folder):
    found, console = run_in_page(
        folder / "bare" / "report.html",
        """
        document.getElementById("viewer").dispatchEvent(new KeyboardEvent("keydown", {key: "End", bubbles: true}));
        return {names: [...document.querySelectorAll("[data-picture]")].map((p) => p.dataset.picture),
                frame: document.body.dataset.frame, text: document.querySelector(".maps").textContent};
        """,
        folder,
    )
    assert console == []
    assert found["names"] == ["image", "prediction", "confidence"]
    assert found["frame"] == "2"
    assert "No costmap" in found["text"]
