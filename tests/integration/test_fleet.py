# SPDX-License-Identifier: Apache-2.0
"""``offroad-seg replay`` over many bags in one process: one page and one table, broken off and gone on with."""

from __future__ import annotations

import json
import shutil
import sys

import pytest

pytest.importorskip("pyarrow", reason="pyarrow is not installed")

import pyarrow.parquet as pq

from offroad_seg.cli.main import main
from offroad_seg.ontology import load_ontology
from tests.helpers.bags import cut, write_bag
from tests.helpers.browser import run_in_page
from tests.helpers.fleet import FRAMES, HEIGHT, WIDTH, fleet, lasting, read

pytestmark = pytest.mark.parallel


@pytest.fixture(scope="module")
def place(fleet_place):
    return fleet_place


def test_one_bag_that_cannot_be_read_is_told_and_the_rest_goes_on(place, capsys):
    shutil.rmtree(place / "two", ignore_errors=True)
    assert main(fleet(place, "two")) == 1
    said = capsys.readouterr()
    assert "broken: no result: nothing of the bag can be read" in said.err
    assert "Traceback" not in said.err
    assert "1 gave no result" in said.out
    metrics = read(place / "two")
    assert list(metrics["bags"]) == sorted(FRAMES)
    assert list(metrics["failed"]) == ["broken"]
    assert {n: b["frames"] for n, b in metrics["bags"].items()} == FRAMES
    assert not (place / "two" / "bags" / "broken").exists()
    assert lasting(metrics) == lasting(read(place / "one"))


def test_a_bag_s_own_result_is_that_of_replay_alone(place):
    bag = str(place / "bags" / "b_run.mcap")
    alone = place / "alone"
    words = ["replay", str(place / "bundle"), bag, "--out", str(alone), "--overwrite", "--param", "threads=1"]
    assert main(words) == 0
    assert lasting(read(alone)) == lasting(read(place / "one" / "bags" / "b_run"))


def test_the_sum_is_that_of_all_frames(place):
    whole = read(place / "one")
    parts = [read(place / "one" / "bags" / name) for name in FRAMES]
    assert whole["frames"] == whole["images"] == sum(FRAMES.values())
    for name, found in whole["per_class"].items():
        assert found["pixels"] == sum(p["per_class"][name]["pixels"] for p in parts)
    right = sum(p["pixel_accuracy"] * sum(c["pixels"] for c in p["per_class"].values()) for p in parts)
    assert whole["pixel_accuracy"] == pytest.approx(
        right / sum(c["pixels"] for p in parts for c in p["per_class"].values())
    )
    assert whole["costmap"]["frames"] == sum(p["costmap"]["frames"] for p in parts)


def test_frames_are_a_table(place):
    table = pq.read_table(place / "one" / "frames.parquet")
    assert table.num_rows == sum(FRAMES.values())
    assert json.loads(table.schema.metadata[b"classes"]) == load_ontology("duality_desert").names
    rows = table.to_pylist()
    assert [r["index"] for r in rows if r["bag"] == "b_run"] == list(range(FRAMES["b_run"]))
    n = len(load_ontology("duality_desert").names)
    assert all(len(r["pixels"]) == n + 1 and sum(r["pixels"]) == HEIGHT * WIDTH for r in rows)
    assert all(len(r["confusion"]) == n * (n + 1) for r in rows)
    assert all(dict(r["latency_ms"])["total"] == r["latency_total_ms"] > 0 for r in rows)
    first = json.loads((place / "one" / "bags" / "a_run" / "frames.jsonl").read_text().splitlines()[0])
    assert [rows[0][k] for k in ("x", "y", "heading")] == first["pose"]


def test_what_is_worst_is_named_with_its_bag(place, tmp_path):
    out = place / "one"
    metrics = read(out)
    worst = metrics["worst_frames"]
    assert worst
    assert {w["bag"] for w in worst} <= set(FRAMES)
    table = {(r["bag"], r["index"]): r for r in pq.read_table(out / "frames.parquet").to_pylist()}
    for w in worst:
        row = table[w["bag"], w["index"]]
        column = {
            "mIoU": "miou",
            "Confidence": "mean_confidence",
            "Flicker": "flicker_compensated",
            "Driven, but lethal": "driven_lethal",
        }
        assert row[column[w["measure"]]] == pytest.approx(w["value"])
    flipped = metrics["costmap_stability"]["worst"]
    assert all(cell["bag"] in FRAMES for cell in flipped)
    # A cell of one bag's map is no cell of another's: each bag's own worst cells are all there is to choose from.
    own = [
        {"bag": name, **cell}
        for name in FRAMES
        for cell in read(out / "bags" / name)["costmap_stability"]["worst"]
    ]
    assert all(cell in own for cell in flipped[:3])
    found, console = run_in_page(
        out / "report.html",
        """
        const rows = [...document.querySelectorAll("#worst tbody tr")];
        return {bags: rows.map((r) => r.cells[0].textContent), links: rows.map((r) => r.querySelector("a").getAttribute("href"))};
        """,
        tmp_path,
    )
    assert console == []
    assert found["bags"] == [w["bag"] for w in worst]
    assert found["links"][0] == f"bags/{worst[0]['bag']}/report.html#frame={worst[0]['index']}"


def test_the_page_leads_to_each_bag(place, tmp_path):
    page = place / "one" / "report.html"
    found, console = run_in_page(
        page,
        """
        const heads = [...document.querySelectorAll("#bags th")];
        heads[2].querySelector("button").click();
        return {links: [...document.querySelectorAll("#bags a")].map((a) => a.getAttribute("href")),
                text: document.body.textContent, over: document.documentElement.scrollWidth - innerWidth};
        """,
        tmp_path,
        size=(420, 900),
    )
    assert console == []
    assert found["links"] == [f"bags/{name}/report.html" for name in sorted(FRAMES, key=lambda n: -FRAMES[n])]
    assert all((page.parent / link).is_file() for link in found["links"])
    assert "1 of 4 bags gave no result" in found["text"]
    assert found["over"] <= 0


def test_what_is_done_is_kept_when_it_goes_on(place, capsys):
    out = place / "resumed"
    shutil.copytree(place / "one", out)
    shutil.rmtree(out / "bags" / "b_run")
    for name in ("metrics.json", "frames.parquet", "report.html"):
        (out / name).unlink()
    before = {p: p.stat().st_mtime_ns for p in (out / "bags").rglob("metrics.json")}
    assert main(fleet(place, "resumed", "--resume")) == 1
    assert {p: p.stat().st_mtime_ns for p in before} == before
    assert lasting(read(out)) == lasting(read(place / "one"))
    assert main(fleet(place, "resumed")) == 2
    assert "not empty" in capsys.readouterr().err
    assert main(fleet(place, "resumed", "--resume", "--param", "min_confidence=0.9")) == 2
    text = capsys.readouterr().err
    assert "another options" in text
    assert "--overwrite" in text


def test_a_damaged_bag_is_used_as_far_as_it_goes(place, tmp_path):
    ontology = load_ontology("duality_desert")
    write_bag(tmp_path / "cut.mcap", ontology, frames=20, height=HEIGHT, width=WIDTH)
    cut(tmp_path / "cut.mcap", 0.6)
    bags = [str(tmp_path / "cut.mcap"), str(place / "bags" / "c_run.mcap")]
    assert main(["replay", str(place / "bundle"), *bags, "--out", str(tmp_path / "out")]) == 0
    metrics = read(tmp_path / "out")
    assert 0 < metrics["bags"]["cut"]["frames"] < 20
    assert any(loss.startswith("cut: ") for loss in metrics["bag"]["losses"])


def test_two_result_sets_are_compared_bag_by_bag(place, tmp_path, capsys):
    assert (
        main(["compare", str(place / "one"), str(place / "two"), "--json", "--fail-if", "miou drop>0"]) == 0
    )
    found = json.loads(capsys.readouterr().out)
    assert found["bags"] == sorted(FRAMES)
    assert found["frames"] == sum(FRAMES.values())
    assert len(found["bootstrap"]["block_frames"]) == 3
    assert found["figures"]["miou"]["differences"]["two"] == {"value": 0.0, "low": 0.0, "high": 0.0}


def test_bad_usage_is_said(place, tmp_path, capsys, monkeypatch):
    def refused(*words):
        assert main([*map(str, words)]) == 2
        text = capsys.readouterr().err
        assert "Traceback" not in text
        return text

    bag = place / "bags" / "a_run.mcap"
    start = ("replay", place / "bundle", bag)
    assert "given twice" in refused(*start, bag, "--out", tmp_path / "o")
    assert "--workers" in refused(*start, "--workers", "0", "--out", tmp_path / "o")
    assert "--view" in refused(*start, "--workers", "1", "--view", "--out", tmp_path / "o")
    assert "--via-ros" in refused(*start, "--workers", "1", "--via-ros", "--out", tmp_path / "o")
    monkeypatch.setitem(sys.modules, "ray", None)
    assert "offroad-seg[fleet]" in refused(*start, "--workers", "1", "--out", tmp_path / "o")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    assert "offroad-seg[fleet]" in refused(*start, place / "bags" / "b_run.mcap", "--out", tmp_path / "p")
    assert not (tmp_path / "p").exists()


def test_no_bag_at_all_is_an_error(place, tmp_path, capsys):
    (tmp_path / "x.mcap").write_bytes(b"no")
    (tmp_path / "y.mcap").write_bytes(b"no")
    bags = [str(tmp_path / "x.mcap"), str(tmp_path / "y.mcap")]
    assert main(["replay", str(place / "bundle"), *bags, "--out", str(tmp_path / "out")]) == 1
    assert "not one of the 2 bags" in capsys.readouterr().err
