# SPDX-License-Identifier: Apache-2.0
"""What ``prepare`` writes holds the same labels, split without leaks, and says what came from where."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import asdict
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from offroad_seg.bundle import sha256_of
from offroad_seg.cli.main import main
from offroad_seg.compile.images import read_image
from offroad_seg.errors import InputError
from offroad_seg_train.data.layouts import LAYOUTS, data_ontology, guess_layout, list_pairs
from offroad_seg_train.data.prepare import PrepareOptions
from offroad_seg_train.data.prepare.plan import make_plan
from offroad_seg_train.data.splits import split_pairs
from offroad_seg_train.data.tiling import Tile, assemble
from tests.helpers.datasets import MAKERS, write_duality, write_generic, write_potsdam
from tests.helpers.prepared import files, read_all, run_prepare

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("kind", MAKERS)
def test_every_layout_keeps_its_labels_and_pixels(kind: str, tmp_path: Path) -> None:
    made = MAKERS[kind](tmp_path / kind)
    before = files(made.root)
    out, record = run_prepare(made, tmp_path, val=0.3)
    assert files(made.root) == before
    assert guess_layout(out) == "generic"
    assert data_ontology(LAYOUTS["generic"], out).to_dict() == made.ontology.to_dict()
    prepared = read_all(out)
    assert len(record["items"]) + len(record["dropped"]) == len(made.ids)
    assert {d["reason"] for d in record["dropped"]} <= {"in no part of the official split"}
    for item in record["items"]:
        image, ids = prepared[f"{item['part']}/{item['name']}"]
        source = next(
            p for p in list_pairs(made.layout, made.root) if str(p.image).endswith(item["image"]["file"])
        )
        np.testing.assert_array_equal(ids, made.ids[source.name])
        np.testing.assert_array_equal(image, read_image(source.image))
        assert item["image"]["sha256"] == sha256_of(source.image)
        assert item["mask"]["sha256"] == sha256_of(source.mask)
        if source.part and record["split"] == "official" and "val" in made.parts.values():
            assert item["part"] == source.part
    assert sorted(prepared) == sorted(f"{i['part']}/{i['name']}" for i in record["items"])
    parts = split_pairs(list_pairs("auto", out), 0.3)
    assert [len(getattr(parts, p)) for p in ("train", "val", "test")] == list(record["frames"].values())


def test_the_same_again_gives_the_same_bytes(tmp_path: Path) -> None:
    made = write_generic(tmp_path / "data")
    first, _ = run_prepare(made, tmp_path / "a", seed=3)
    second, _ = run_prepare(made, tmp_path / "b", seed=3)
    assert files(first) == files(second)


def test_tiles_give_the_picture_back(tmp_path: Path) -> None:
    made = write_potsdam(tmp_path / "potsdam")
    out, record = run_prepare(made, tmp_path, tile=(24, 40), overlap=6, val=0.3)
    prepared = read_all(out)
    assert sum(record["files"].values()) == len(prepared) == 4 * 4 * 3
    for item in record["items"]:
        size = tuple(item["size"])
        pieces = [(Tile(t["row"], t["column"], t["height"], t["width"]), t["name"]) for t in item["tiles"]]
        source = next(p for p in list_pairs("potsdam", made.root) if p.name == item["name"])
        image = assemble([(t, prepared[f"{item['part']}/{name}"][0]) for t, name in pieces], size)
        ids = assemble([(t, prepared[f"{item['part']}/{name}"][1]) for t, name in pieces], size)
        np.testing.assert_array_equal(image, read_image(source.image))
        np.testing.assert_array_equal(ids, made.ids[item["name"]])
    # The tiles of one picture lie on one side.
    sides = {name.rpartition("/")[0].partition("/")[::2] for name in prepared}
    assert len({picture for _, picture in sides}) == len(sides)


def test_tiles_without_a_label_are_left_out(tmp_path: Path) -> None:
    made = write_potsdam(tmp_path / "potsdam")
    path = made.root / "5_Labels_all" / "top_potsdam_2_10_label.tif"
    with Image.open(path) as mask:
        raw = np.array(mask)
    raw[:32] = 0
    Image.fromarray(raw).save(path)
    _, record = run_prepare(made, tmp_path, tile=(24, 40), val=0.3)
    item = next(i for i in record["items"] if i["name"].endswith("2_10"))
    assert item["tiles_without_labels"] == 3
    assert len(item["tiles"]) == 6


@pytest.mark.parametrize("mode", ["groups", "blocks", "random"])
def test_parts_are_disjoint_and_cover_all(mode: str, tmp_path: Path) -> None:
    made = write_duality(tmp_path / "data")
    _, record = run_prepare(made, tmp_path, split=mode, val=0.4, test=0.2)
    names = [i["image"]["file"] for i in record["items"]]
    assert len(set(names)) == len(names) == len(made.ids)
    groups: dict[str, set[str]] = {}
    for item in record["items"]:
        groups.setdefault(item["group"], set()).add(item["part"])
    if mode == "groups":
        assert all(len(parts) == 1 for parts in groups.values())
        assert {p for parts in groups.values() for p in parts} == {"train", "val", "test"}


def test_groups_by_an_expression(tmp_path: Path) -> None:
    made = write_generic(tmp_path / "data")
    _, record = run_prepare(made, tmp_path, split="groups", group_by=r"(site\d)/", val=0.5)
    sides = {(i["image"]["file"].split("/")[1], i["part"]) for i in record["items"]}
    assert len(sides) == 2
    with pytest.raises(InputError, match="finds no group in 6 names"):
        make_plan(
            made.root,
            PrepareOptions(
                (made.root,), tmp_path / "x", ontology="duality_desert", split="groups", group_by="q"
            ),
        )


def test_a_dry_run_writes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = write_duality(tmp_path / "data")
    archive = shutil.make_archive(str(tmp_path / "set"), "zip", made.root)
    before = sorted(tmp_path.rglob("*"))
    assert main(["prepare", archive, "--out", str(tmp_path / "new" / "out"), "--dry-run"]) == 0
    assert sorted(tmp_path.rglob("*")) == before
    said = capsys.readouterr().out
    assert "layout duality" in said
    assert "6 frames" in said
    assert "nothing was written" in said


def test_archives_come_together_and_leave_nothing_behind(tmp_path: Path) -> None:
    made = write_potsdam(tmp_path / "potsdam")
    archives = [
        shutil.make_archive(str(tmp_path / name), form, made.root / name)
        for name, form in (("2_Ortho_RGB", "zip"), ("5_Labels_all", "gztar"))
    ]
    out = tmp_path / "out"
    # What a killed run left is removed too.
    left = tmp_path / ".out.abcdefgh.unpacked"
    left.mkdir()
    os.utime(left, (0, 0))
    assert main(["prepare", *archives, "--out", str(out), "--val", "0.3"]) == 0
    assert len(read_all(out)) == 4
    assert {p.name for p in tmp_path.iterdir()} == {
        "potsdam",
        "out",
        "2_Ortho_RGB.zip",
        "5_Labels_all.tar.gz",
    }
    sources = json.loads((out / "prepare.json").read_text(encoding="utf-8"))["sources"]
    assert [s["sha256"] for s in sources] == [
        sha256_of(tmp_path / "2_Ortho_RGB.zip"),
        sha256_of(tmp_path / "5_Labels_all.tar.gz"),
    ]


def test_options_are_recorded(tmp_path: Path) -> None:
    made = write_duality(tmp_path / "data")
    options = PrepareOptions((made.root,), tmp_path / "out", seed=7)
    recorded = options.to_dict()
    unsaid = {"sources", "out", "max_dropped", "max_unpacked", "snap"}
    assert set(recorded) == (set(asdict(options)) - unsaid) | {"snap_colors"}
