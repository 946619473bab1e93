# SPDX-License-Identifier: Apache-2.0
"""``offroad-seg audit`` as a user runs it: exit codes, files, the page in a real browser, and the real data sets."""

from __future__ import annotations

import json

import pytest

from offroad_seg.cli.main import main
from offroad_seg_train.audit.fix_list import read_fix_list
from tests.helpers.browser import chromium, run_in_page
from tests.helpers.planted import copy_frame, plant_everything, write_clean

pytestmark = pytest.mark.parallel


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("audit")
    write_clean(folder / "clean", train=24, val=12)
    plant_everything(folder / "bad")
    return folder


@pytest.fixture(scope="module")
def report(folder):
    """The page about the planted set."""
    chromium()
    assert main(["audit", str(folder / "bad"), "--out", str(folder / "page"), "--fail-on", "never"]) == 0
    return folder / "page" / "audit.html"


def kinds(out):
    data = json.loads((out / "audit.json").read_text(encoding="utf-8"))
    return {f["kind"] for f in data["findings"]}


def test_a_clean_set_passes_the_strictest_gate(folder, tmp_path, capsys):
    out = tmp_path / "out"
    args = [
        "audit",
        str(folder / "clean"),
        "--out",
        str(out),
        "--fail-on",
        "warning",
        "--fix-list",
        str(out / "d.txt"),
    ]
    assert main(args) == 0
    assert kinds(out) == set()
    assert read_fix_list((out / "d.txt").read_text()) == []
    assert "0 errors, 0 warnings, 0 notes" in capsys.readouterr().out
    assert sorted(p.name for p in out.iterdir()) == ["audit.html", "audit.json", "d.txt"]


def test_what_fails_a_build_is_the_users_choice(folder, tmp_path, capsys):
    leaking = write_clean(tmp_path / "set", train=12, val=12)
    copy_frame(leaking / "train", "cc0000003", leaking / "train", "zz0000001")
    train, val, out = leaking / "train", leaking / "val", tmp_path / "out"
    codes = {
        level: main(
            ["audit", str(train), "--val", str(val), "--out", str(out), "--overwrite", "--fail-on", level]
        )
        for level in ("error", "warning", "never")
    }
    assert codes == {"error": 0, "warning": 1, "never": 0}
    copy_frame(train, "cc0000004", val, "zz0000001")
    args = ["audit", str(train), "--val", str(val), "--out", str(out), "--overwrite"]
    assert main([*args, "--fix-list", str(tmp_path / "drop.txt")]) == 1
    assert "leak_exact" in kinds(out)
    assert "ERROR" in capsys.readouterr().out
    dropped = read_fix_list((tmp_path / "drop.txt").read_text())
    # The training side is dropped, not the side that is held out.
    assert str(train / "Color_Images" / "cc0000004.png") in dropped
    assert not any(str(val) in name for name in dropped)


@pytest.mark.filterwarnings("ignore:ontology seed_deck")
def test_the_wrong_ontology_fails_and_says_what_fits(folder, tmp_path, capsys):
    args = ["audit", str(folder / "clean"), "--ontology", "seed_deck", "--out", str(tmp_path / "out")]
    assert main(args) == 1
    said = capsys.readouterr().out
    assert "'Sky' lives in the LOWER half" in said
    assert "mend: use duality_desert" in said


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["none"], "no such data folder"),
        (["clean", "--ontology", "nonsense"], "no ontology 'nonsense'"),
        (["clean", "--layout", "nonsense"], "no layout 'nonsense'"),
        (["clean", "--val", "clean"], "the same"),
        (["clean", "--workers", "-1"], "-1 workers"),
        (["clean", "--fix-list", "clean"], "is a folder"),
    ],
)
def test_bad_usage_is_2_and_writes_nothing(folder, tmp_path, capsys, args, words):
    places = [str(folder / a) if a in ("none", "clean") else a for a in args]
    assert main(["audit", *places, "--out", str(tmp_path / "out")]) == 2
    assert words in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_results_are_not_overwritten_unasked(folder, tmp_path, capsys):
    (tmp_path / "mine.txt").write_text("mine")
    assert main(["audit", str(folder / "clean"), "--out", str(tmp_path)]) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert (tmp_path / "mine.txt").read_text() == "mine"


def test_filters_show_what_they_say(report, tmp_path):
    found, console = run_in_page(
        report,
        """
        const shown = () => [...document.querySelectorAll(".finding")].filter((f) => f.offsetParent !== null);
        const all = shown().length, counts = {};
        for (const word of ["error", "warning", "note", ""]) {
          document.querySelector(`[data-filter="${word}"]`).click();
          counts[word] = [shown().length, new Set(shown().map((f) => f.dataset.severity)).size,
                          Number(document.querySelector(`[data-filter="${word}"] b`).textContent)];
        }
        return {all, counts};
        """,
        tmp_path,
    )
    assert console == []
    assert found["counts"] == {"error": [10, 1, 10], "warning": [6, 1, 6], "note": [1, 1, 1], "": [17, 3, 17]}
    assert found["all"] == 17


def test_pictures_enlarge_and_keys_lead_through_them(report, tmp_path):
    found, console = run_in_page(
        report,
        """
        const press = (key) => document.body.dispatchEvent(new KeyboardEvent("keydown", {key, bubbles: true}));
        const large = document.getElementById("large"), image = document.getElementById("large-image");
        const looks = [...document.querySelectorAll(".look")];
        const pair = looks.findIndex((l) => l.children.length === 2);
        looks[pair].click();
        const steps = [[large.open, image.src === looks[pair].querySelector("img").src]];
        press("ArrowRight");
        steps.push([large.open, image.src === looks[pair + 1].querySelector("img:not(.mask)")?.src]);
        press("ArrowLeft"); press("o");
        const over = document.querySelector(".stage").classList.contains("over");
        press("o");
        document.getElementById("close").click();
        await new Promise((done) => large.addEventListener("close", () => setTimeout(done)));
        press("j"); const first = document.activeElement.className;
        press("j"); press("j"); press("k");
        const findings = [...document.querySelectorAll(".finding")];
        await Promise.all([...document.images].filter((i) => i.src).map((i) => { i.loading = "eager"; return i.decode(); }));
        return {steps, over, closed: !large.open, first, at: findings.indexOf(document.activeElement),
                sizes: Math.min(...[...document.images].filter((i) => i.src).map((i) => i.naturalWidth)),
                pictures: looks.length, unnamed: [...document.images].filter((i) => i.src && !i.alt).length};
        """,
        tmp_path,
    )
    assert console == []
    assert found["steps"] == [[True, True], [True, True]]
    assert found["over"]
    assert found["closed"]
    assert "finding" in found["first"]
    assert found["at"] == 1
    assert found["sizes"] > 0
    assert found["pictures"] > 20
    assert found["unnamed"] == 0


def test_tables_sort(report, tmp_path):
    found, console = run_in_page(
        report,
        """
        const column = (table, i) => [...document.querySelectorAll(`#${table} tbody tr`)].map((r) => r.cells[i].dataset.value);
        const click = (table, i) => { document.querySelectorAll(`#${table} th button`)[i].click(); return column(table, i); };
        return {height: click("values", 4), name: click("classes", 0)};
        """,
        tmp_path,
    )
    assert console == []
    heights = [float(v) for v in found["height"]]
    assert heights == sorted(heights, reverse=True)
    assert found["name"] == sorted(found["name"])


@pytest.mark.parametrize("width", [1280, 400])
def test_nothing_sticks_out_and_both_themes_differ(report, tmp_path, width):
    found, console = run_in_page(
        report,
        """
        const paint = () => [document.body, document.querySelector(".verdict"), document.querySelector(".finding .tag")]
          .map((e) => getComputedStyle(e).backgroundColor);
        const light = paint();
        document.getElementById("theme").click();
        return {light, dark: paint(), over: document.documentElement.scrollWidth - innerWidth};
        """,
        tmp_path,
        size=(width, 900),
    )
    assert console == []
    assert all(a != b for a, b in zip(found["light"], found["dark"], strict=True))
    assert found["over"] <= 0


@pytest.mark.shared_data
@pytest.mark.filterwarnings("ignore:ontology seed_deck")
@pytest.mark.parametrize(
    ("data", "ontology", "code", "said"),
    [
        (
            "duality_sample",
            "seed_deck",
            1,
            {"sky_below", "ground_above", "standing_below", "ontology_warning"},
        ),
        ("duality_sample", "duality_desert", 0, set()),
        ("ycor_small", "ycor", 0, set()),
        # One of its masks is ignored from edge to edge.
        ("ai4mars_small", "ai4mars", 0, {"mask_without_label"}),
    ],
)
def test_real_sets_are_told_right_from_wrong(shared_data, tmp_path, data, ontology, code, said):
    out = tmp_path / "out"
    assert main(["audit", str(shared_data / data), "--ontology", ontology, "--out", str(out)]) == code
    result = json.loads((out / "audit.json").read_text(encoding="utf-8"))
    assert {f["kind"] for f in result["findings"] if f["severity"] != "note"} == said
    assert (out / "audit.html").stat().st_size < 10_000_000
    if ontology == "seed_deck":
        (shout,) = [f for f in result["findings"] if f["kind"] == "sky_below"]
        assert shout["figures"]["mean_height"] == pytest.approx(0.73, abs=0.01)
        assert shout["figures"]["share"] == pytest.approx(0.034, abs=0.001)
        assert shout["figures"]["looks_like_sky"] == ["10000"]
        assert "duality_desert" in shout["mend"]
    if ontology == "duality_desert":
        # A mountain in the fog that looks like night sky: labelled as what it is, not as what is seen.
        (note,) = [f for f in result["findings"] if f["kind"] == "sky_unnamed"]
        assert all(name.startswith("ww") for name in note["figures"]["names"])
