# SPDX-License-Identifier: Apache-2.0
"""``offroad-seg compare`` on real results of ``replay``, as a user and a CI run it."""

from __future__ import annotations

import json
import re
import shutil

import numpy as np
import pytest

from offroad_seg.cli.main import main
from offroad_seg.ontology import Ontology, load_ontology
from offroad_seg.replay.compare import lookup
from offroad_seg.replay.compare_frames import agreement
from offroad_seg.replay.compare_results import align, load_result
from tests.helpers.bags import write_bag
from tests.helpers.browser import run_in_page
from tests.helpers.bundles import make_color_bundle
from tests.unit.offroad_seg.replay.test_compare_stats import check_junit

pytestmark = pytest.mark.parallel

HEIGHT, WIDTH, FRAMES = 60, 96, 60


@pytest.fixture(scope="module")
def ontology():
    return load_ontology("duality_desert")


@pytest.fixture(scope="module")
def place(ontology, tmp_path_factory):
    """Bundles ``good`` and ``bad``, a drive, and the results of both on it, of the good one twice."""
    folder = tmp_path_factory.mktemp("compare")
    make_color_bundle(folder / "good", ontology, HEIGHT, WIDTH)
    ground = ontology.classes[ontology.id_of("Landscape")].color
    make_color_bundle(
        folder / "bad", ontology, HEIGHT, WIDTH, mistaken={"Rocks": (0, 0, 0), "Logs": (1, 0, 0)}
    )
    assert ground != (0, 0, 0)
    drive = {"rate_hz": 10.0, "height": HEIGHT, "width": WIDTH, "noise": 20}
    write_bag(folder / "drive.mcap", ontology, frames=FRAMES, **drive)
    for bundle, out in (("good", "r_good"), ("bad", "r_bad"), ("good", "r_again")):
        replay(folder, bundle, "drive.mcap", out)
    return folder


def replay(folder, bundle, bag, out, *options):
    assert (
        main(["replay", str(folder / bundle), str(folder / bag), "--out", str(folder / out), *options]) == 0
    )


def compare(place, *names, options=(), out=None):
    words = [str(place / n) for n in names]
    return main(["compare", *words, *options, *(["--out", str(out)] if out else [])])


def test_a_worse_engine_is_seen(place, tmp_path, capsys):
    status = compare(
        place, "r_good", "r_bad", out=tmp_path / "out",
        options=["--fail-if", "miou<0.02", "--fail-if", "per_class.Rocks.recall drop>0.5 certain", "--junit", str(tmp_path / "j.xml")],
    )  # fmt: skip
    assert status == 1
    text = capsys.readouterr().out
    assert re.search(r"^mIoU .*worse$", text, re.MULTILINE)
    assert "passed: fail if miou<0.02" in text
    assert "failed: fail if per_class.Rocks.recall drop>0.5 certain" in text
    found = json.loads((tmp_path / "out" / "compare.json").read_text())
    good, bad = (json.loads((place / f / "metrics.json").read_text()) for f in ("r_good", "r_bad"))
    for key in (
        "miou", "pixel_accuracy", "ece", "boundary_iou", "flicker", "flicker_compensated",
        "costmap_stability.flip_share", "driven_path.unknown_rate", "driven_path.false_lethal_rate", "costmap.lethal_recall",
    ):  # fmt: skip
        values = found["figures"][key]["values"]
        base, other = lookup(good, key), lookup(bad, key)
        assert values == pytest.approx({"r_good": base, "r_bad": other}, abs=1e-12), key
        difference = found["figures"][key]["differences"]["r_bad"]
        assert difference["value"] == pytest.approx(other - base, abs=1e-12)
        assert difference["low"] <= difference["value"] <= difference["high"]
    assert found["figures"]["miou"]["differences"]["r_bad"]["high"] < 0
    assert not found["passed"]
    assert found["frames"] == FRAMES
    check_junit((tmp_path / "j.xml").read_bytes())


def test_the_same_engine_twice_differs_by_nothing_and_no_gate_fails(place, tmp_path, capsys):
    gates = [w for g in ("miou drop>0", "miou<0.5", "flicker rise>0", "ece rise>0", "per_class.Rocks.iou drop>0") for w in ("--fail-if", g)]  # fmt: skip
    assert compare(place, "r_good", "r_again", options=[*gates, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    for key, figure in found["figures"].items():
        if not key.startswith("latency"):
            difference = figure["differences"]["r_again"]
            assert set(difference.values()) in ({0.0}, {None}), (key, difference)
    assert found["agreement"]["r_again"] == {"same_labels": 1.0, "frames": FRAMES}
    assert found["disagree_most"]["r_again"] == []


def test_the_same_seed_gives_the_same_intervals(place, capsys):
    texts = []
    for seed in ("7", "7", "8"):
        assert compare(place, "r_good", "r_bad", options=["--json", "--seed", seed]) == 0
        texts.append(json.loads(capsys.readouterr().out)["figures"])
    assert texts[0] == texts[1]
    assert texts[0]["miou"] != texts[2]["miou"]


def test_disagreement_is_counted_pixel_by_pixel(place, ontology):
    aligned = align([load_result(place / n, n) for n in ("r_good", "r_bad")])
    found = agreement(aligned, 1)
    assert set(found.shares) == set(aligned.keys)
    stamps = sorted(o.key.stamp_ns for o in found.odd)
    assert min(np.diff(stamps)) >= 10**9
    assert [o.share for o in found.odd] == sorted((o.share for o in found.odd), reverse=True)
    assert found.odd[0].share == max(found.shares.values())
    for odd in found.odd:
        assert odd.share == np.mean(odd.labels[0] != odd.labels[1])
        assert odd.image_HWC.shape == (HEIGHT, WIDTH, 3)
        # The rock is what the bad engine cannot see.
        assert (odd.labels[0] == ontology.id_of("Rocks")).sum() > (
            odd.labels[1] == ontology.id_of("Rocks")
        ).sum()


def test_without_labels_the_figures_are_compared_and_it_is_said(place, tmp_path, capsys):
    shutil.copytree(place / "r_bad", tmp_path / "bare")
    (tmp_path / "bare" / "annotated.mcap").unlink()
    assert main(["compare", str(place / "r_good"), str(tmp_path / "bare")]) == 0
    text = capsys.readouterr().out
    assert "no annotated.mcap" in text
    assert "mIoU" in text


def test_bundles_are_replayed_on_the_bag_first(place, tmp_path, capsys):
    out = tmp_path / "out"
    status = compare(
        place,
        "good",
        "bad",
        out=out,
        options=["--bag", str(place / "drive.mcap"), "--fail-if", "miou rise>1"],
    )
    assert status == 0
    assert sorted(p.name for p in (out / "replays").iterdir()) == ["bad", "good"]
    found = json.loads((out / "compare.json").read_text())
    assert found["baseline"] == "good"
    assert [r["label"] for r in found["results"]] == ["good", "bad"]


def test_three_results_are_compared_with_the_first(place, tmp_path):
    assert compare(place, "r_good", "r_bad", "r_again", out=tmp_path / "out") == 0
    found = json.loads((tmp_path / "out" / "compare.json").read_text())
    assert set(found["figures"]["miou"]["differences"]) == {"r_bad", "r_again"}


def refused(capsys, *words):
    assert main(["compare", *map(str, words)]) == 2
    text = capsys.readouterr().err
    assert "Traceback" not in text
    return text


def test_other_bags_are_refused_by_name(place, ontology, capsys):
    write_bag(place / "other.mcap", ontology, frames=6, height=HEIGHT, width=WIDTH)
    replay(place, "good", "other.mcap", "r_other", "--overwrite")
    text = refused(capsys, place / "r_good", place / "r_other")
    assert "different bags" in text
    assert "drive.mcap" in text
    assert "other.mcap" in text


def test_the_same_name_with_other_stamps_is_refused(place, ontology, tmp_path, capsys):
    write_bag(tmp_path / "drive.mcap", ontology, frames=6, height=HEIGHT, width=WIDTH, start_ns=10**18)
    assert (
        main(["replay", str(place / "good"), str(tmp_path / "drive.mcap"), "--out", str(tmp_path / "r")]) == 0
    )
    assert "no frame is in both" in refused(capsys, place / "r_good", tmp_path / "r")


def test_other_truth_is_refused(place, ontology, tmp_path, capsys):
    changed = ontology.to_dict()
    rock, ground = (next(c for c in changed["classes"] if c["name"] == n) for n in ("Rocks", "Landscape"))
    rock["id"], ground["id"] = ground["id"], rock["id"]
    changed["classes"].sort(key=lambda c: c["id"])
    # The same stamps, another world: what was a rock is ground.
    write_bag(
        tmp_path / "drive.mcap",
        Ontology.from_dict(changed),
        frames=FRAMES,
        rate_hz=10.0,
        height=HEIGHT,
        width=WIDTH,
    )
    assert (
        main(["replay", str(place / "good"), str(tmp_path / "drive.mcap"), "--out", str(tmp_path / "r")]) == 0
    )
    text = refused(capsys, place / "r_good", tmp_path / "r")
    assert "different true labels" in text
    assert text.count("labels_truth") == 2
    replay(place, "good", "drive.mcap", "r_blind", "--truth", "none", "--overwrite")
    text = refused(capsys, place / "r_good", place / "r_blind")
    assert "only one" in text
    assert "no true labels" in text


def test_other_classes_are_refused(place, tmp_path, capsys):
    other = load_ontology("seed_deck")
    make_color_bundle(tmp_path / "deck", other, HEIGHT, WIDTH)
    out = tmp_path / "r"
    bag = str(place / "drive.mcap")
    assert main(["replay", str(tmp_path / "deck"), bag, "--out", str(out), "--truth", "none"]) == 0
    replay(place, "good", "drive.mcap", "r_blind", "--truth", "none", "--overwrite")
    text = refused(capsys, place / "r_blind", out)
    assert "different classes" in text
    assert "seed_deck" in text
    assert "duality_desert" in text


def test_bad_usage_is_said(place, tmp_path, capsys):
    good, bad = place / "r_good", place / "r_bad"
    assert "nothing to compare" in refused(capsys, good)
    assert "no results folder" in refused(capsys, good, tmp_path)
    assert "add --bag" in refused(capsys, place / "good", place / "bad")
    assert "leave --bag out" in refused(
        capsys, good, place / "bad", "--bag", place / "drive.mcap", "--out", tmp_path
    )
    assert "not a condition" in refused(capsys, good, bad, "--fail-if", "miou")
    text = refused(capsys, good, bad, "--fail-if", "miuo<0.5")
    assert "no result has a figure 'miuo'" in text
    assert "miou_present" in text
    broken = tmp_path / "broken"
    shutil.copytree(good, broken)
    (broken / "frames.jsonl").unlink()
    assert "frames.jsonl" in refused(capsys, good, broken)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").touch()
    assert "not empty" in refused(capsys, good, bad, "--out", tmp_path / "full")


def test_a_figure_that_is_not_defined_fails_its_gate(place, capsys):
    status = compare(place, "r_good", "r_bad", options=["--fail-if", "per_class.Flowers.recall<0.1"])
    assert status == 1
    assert "not known: fail if per_class.Flowers.recall<0.1" in capsys.readouterr().out


def test_any_number_of_metrics_json_can_be_a_gate(place, capsys):
    assert (
        compare(place, "r_good", "r_bad", options=["--fail-if", "frames<60", "--fail-if", "frames_dropped>0"])
        == 0
    )
    assert compare(place, "r_good", "r_bad", options=["--fail-if", "latency_ms.total.p99>0"]) == 1
    capsys.readouterr()


def test_the_page_works_by_itself_and_sorts(place, tmp_path):
    assert compare(place, "r_good", "r_bad", out=tmp_path / "out", options=["--fail-if", "miou rise>1"]) == 0
    page = tmp_path / "out" / "compare.html"
    text = page.read_text(encoding="utf-8")
    assert not re.search(r"""(src|href)\s*=\s*["'](?!data:)""", text)
    assert not re.search(r"@import|url\((?!data:)", text)
    found, console = run_in_page(
        page,
        """
        const heads = [...document.querySelectorAll("#classes th")];
        const column = (i) => [...document.querySelectorAll("#classes tbody tr")].map((r) => r.cells[i].dataset.value);
        heads[3].querySelector("button").click();
        await Promise.all([...document.images].map((i) => i.decode()));
        const paper = () => getComputedStyle(document.body).backgroundColor;
        const light = paper();
        document.getElementById("theme").click();
        return {values: column(3), images: document.images.length, verdict: document.querySelector(".verdict").textContent,
                themes: light !== paper(), over: document.documentElement.scrollWidth - innerWidth};
        """,
        tmp_path,
        size=(420, 900),
    )
    assert console == []
    numbers = [float(v) for v in found["values"] if v]
    assert numbers == sorted(numbers, reverse=True)
    assert found["images"] >= 4
    assert "The gate passed" in found["verdict"]
    assert found["themes"]
    assert found["over"] <= 0
