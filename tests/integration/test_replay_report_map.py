# SPDX-License-Identifier: Apache-2.0
"""The report's verdict, map and keyboard in a real browser, on a drive with faults: bad images, and places that are worst."""

from __future__ import annotations

import numpy as np
import pytest

from offroad_seg.cli.main import main
from offroad_seg.ontology import load_ontology
from tests.helpers.bags import write_bag
from tests.helpers.browser import chromium, run_in_page
from tests.helpers.bundles import make_color_bundle

pytestmark = pytest.mark.parallel

FRAMES, BAD = 14, (4, 5)


def spoil(message, index):
    """Two images that cannot be decoded, and two that are grey noise."""
    if index in BAD:
        message.step = 1
    elif index in (2, 10):
        message.data = np.random.default_rng(index).integers(90, 130, message.data.shape, np.uint8)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    chromium()
    folder = tmp_path_factory.mktemp("report")
    ontology = load_ontology("duality_desert")
    make_color_bundle(folder / "bundle", ontology, 60, 96)
    write_bag(
        folder / "drive.mcap", ontology, frames=FRAMES, height=90, width=160, speed=2.0, edit_image=spoil
    )
    # The frames of noise are to be labelled, not taken for those of a covered lens.
    words = ["replay", str(folder / "bundle"), str(folder / "drive.mcap"), "--param", "min_contrast=0"]
    assert main([*words, "--out", str(folder / "out")]) == 0
    return folder


def run(folder, script, **options):
    found, console = run_in_page(folder / "out" / "report.html", script, folder, **options)
    assert console == []
    return found


def test_the_verdict_says_what_failed_with_figure_limit_and_mend(folder):
    found = run(
        folder,
        """
        const check = (key) => document.querySelector(`[data-check="${key}"]`);
        const dropped = check("dropped");
        return {whole: document.getElementById("verdict").className, title: document.getElementById("verdict-title").textContent,
                state: dropped.dataset.state, sign: dropped.querySelector(".sign").getAttribute("aria-label"),
                text: dropped.textContent.replace(/\\s+/g, " "), open: document.querySelector(".verdict details").open,
                first: document.querySelector("[data-check]").dataset.state, bag: check("bag").dataset.state};
        """,
    )
    assert "is-fail" in found["whole"]
    assert (found["state"], found["sign"], found["first"], found["bag"]) == ("fail", "failed", "fail", "pass")
    assert "14.3 %" in found["text"]
    assert "fails above 5 %" in found["text"]
    assert "dropped" in found["text"]
    assert found["open"]


def test_clicking_on_the_map_jumps_to_the_frame_of_that_place(folder):
    found = run(
        folder,
        """
        const box = document.getElementById("map-box"), place = box.getBoundingClientRect();
        box.setPointerCapture = () => {};
        const vehicle = document.querySelector(".vehicle");
        const at = () => { const r = vehicle.getBoundingClientRect(); return [r.left + r.width / 2, r.top + r.height / 2]; };
        const frame = () => Number(document.body.dataset.frame);
        const step = (key) => document.getElementById("viewer").dispatchEvent(new KeyboardEvent("keydown", {key, bubbles: true}));
        const spots = {};
        step("Home");
        for (let i = 0; i < 12; i++) { spots[frame()] = at(); step("ArrowRight"); }
        const hits = {};
        for (const index in spots) {
          box.dispatchEvent(new PointerEvent("pointerdown", {clientX: spots[index][0], clientY: spots[index][1], bubbles: true}));
          hits[index] = frame();
        }
        const picture = document.querySelector('[data-picture="image"] img').src;
        return {hits, same: document.getElementById("preview-image").src === picture, say: document.getElementById("preview-say").textContent,
                apart: Math.hypot(spots[0][0] - spots[13][0], spots[0][1] - spots[13][1]) / place.width};
        """,
    )
    assert found["hits"] == {str(i): i for i in range(FRAMES) if i not in BAD}
    assert found["same"]
    assert "Frame 13" in found["say"]
    assert found["apart"] > 0.1


def test_the_worst_places_are_pins_that_jump(folder):
    found = run(
        folder,
        """
        const pins = [...document.querySelectorAll(".pin")], frames = [];
        const inside = (r, b) => r.left >= b.left && r.right <= b.right && r.top >= b.top && r.bottom <= b.bottom;
        const box = document.getElementById("map-box").getBoundingClientRect();
        for (const pin of pins) { pin.click(); frames.push([pin.textContent, Number(pin.dataset.frame), Number(document.body.dataset.frame)]); }
        const gallery = [...document.querySelectorAll("[data-go]")].map((b) => Number(b.dataset.go));
        const loaded = [...document.querySelectorAll("[data-image]")].every((i) => i.src.startsWith("data:image/jpeg"));
        return {frames, gallery, loaded, label: pins[0].getAttribute("aria-label"), inside: pins.every((p) => inside(p.getBoundingClientRect(), box))};
        """,
    )
    by_rank = dict(sorted((int(rank), shown) for rank, _, shown in found["frames"]))
    assert all(frame == shown for _, frame, shown in found["frames"])
    assert list(by_rank.values()) == found["gallery"]
    # Labels flicker into the noise and out of it.
    assert {i // 8 for i in found["gallery"][:2]} == {0, 1}
    assert set(found["gallery"][:2]) <= {2, 3, 10, 11}
    assert found["loaded"]
    assert found["inside"]
    assert "Flicker" in found["label"]


def test_the_path_is_recoloured_and_its_ground_exchanged(folder):
    found = run(
        folder,
        """
        const colors = () => [...document.querySelectorAll(".leg")].map((l) => l.getAttribute("stroke")).join();
        const ground = () => document.querySelector("#map-svg image")?.getAttribute("href").slice(-60);
        const choose = (id, value) => { const s = document.getElementById(id); s.value = value; s.dispatchEvent(new Event("change")); };
        const first = [colors(), ground()];
        choose("map-measure", "confidence");
        const low = document.getElementById("map-low").textContent;
        choose("map-grid", "1");
        const second = [colors(), ground()];
        choose("map-grid", "");
        return {first, second, low, none: ground() ?? null};
        """,
    )
    assert found["first"][0] != found["second"][0]
    assert found["first"][1] != found["second"][1]
    assert found["low"].endswith("%")
    assert found["none"] is None


def test_the_timeline_reads_the_frame_under_the_pointer_and_marks_drops(folder):
    found = run(
        folder,
        """
        const tracks = document.getElementById("tracks"), strip = document.getElementById("strip").getBoundingClientRect();
        const now = () => document.querySelector('[data-now="miou"]').textContent;
        const before = now();
        tracks.dispatchEvent(new PointerEvent("pointermove", {clientX: strip.left + 2 / 11 * strip.width, clientY: strip.top}));
        const over = [now(), document.querySelector('[data-now="trouble"]').textContent, document.body.dataset.frame];
        tracks.dispatchEvent(new PointerEvent("pointerleave"));
        return {before, over, after: now(), drops: document.querySelectorAll(".drops rect").length,
                rows: [...document.querySelectorAll(".drops-table tbody tr")].map((r) => r.cells[0].textContent)};
        """,
    )
    assert found["before"] == found["after"] != found["over"][0]
    assert found["over"][1:] == ["Flicker", "0"]
    assert found["drops"] == 1
    assert found["rows"] == ["4", "5"]


def test_every_control_is_named_reached_and_seen_by_the_keyboard(folder):
    found = run(
        folder,
        """
        const all = [...document.querySelectorAll("button, select, input, a[href], summary, [tabindex='0']")].filter((e) => e.offsetParent || e.getClientRects().length);
        const name = (e) => e.getAttribute("aria-label") || e.textContent.trim() || e.title || e.labels?.[0]?.textContent.trim();
        const nameless = all.filter((e) => !name(e)).map((e) => e.outerHTML.slice(0, 80));
        const unseen = [], unreached = [];
        for (const e of all) {
          e.focus({focusVisible: true});
          if (document.activeElement !== e) unreached.push(e.outerHTML.slice(0, 80));
          const style = getComputedStyle(e);
          if (style.outlineStyle === "none" || parseFloat(style.outlineWidth) < 1) unseen.push(e.outerHTML.slice(0, 80));
        }
        const alt = [...document.images].filter((i) => !i.hasAttribute("alt")).length;
        return {count: all.length, nameless, unseen, unreached, alt, negative: all.filter((e) => e.tabIndex < 0).length};
        """,
    )
    assert found["count"] > 20
    assert (found["nameless"], found["unreached"], found["unseen"]) == ([], [], [])
    assert (found["alt"], found["negative"]) == (0, 0)


def test_keys_that_scroll_belong_to_the_page_unless_the_viewer_has_the_focus(folder):
    found = run(
        folder,
        """
        const frame = () => Number(document.body.dataset.frame), steps = [];
        const press = (target, key) => {
          const e = new KeyboardEvent("keydown", {key, bubbles: true, cancelable: true});
          target.dispatchEvent(e);
          steps.push([key, frame(), e.defaultPrevented]);
        };
        press(document.body, "End"); press(document.body, "ArrowRight"); press(document.getElementById("viewer"), "End");
        press(document.getElementById("map-measure"), "ArrowLeft"); press(document.getElementById("mix"), "ArrowLeft");
        press(document.querySelector(".pin"), " "); press(document.getElementById("scrub"), "Home");
        return steps;
        """,
    )
    assert found == [
        ["End", 0, False], ["ArrowRight", 1, True], ["End", 13, True], ["ArrowLeft", 13, False],
        ["ArrowLeft", 13, False], [" ", 13, False], ["Home", 0, True],
    ]  # fmt: skip


@pytest.mark.parametrize("width", [360, 768, 1600])
def test_nothing_sticks_out_at_any_width(folder, width):
    found = run(
        folder,
        """
        const over = [...document.querySelectorAll("main *")].filter((e) => !e.closest(".scroll, svg, .chart-map, .pane, .drops-table") &&
          e.getBoundingClientRect().right > innerWidth + 1 && e.getClientRects().length).map((e) => e.outerHTML.slice(0, 90));
        return {over: over.slice(0, 3), page: document.documentElement.scrollWidth - innerWidth};
        """,
        size=(width, 900),
    )
    assert found == {"over": [], "page": found["page"]}
    assert found["page"] <= 0
