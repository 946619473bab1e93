# SPDX-License-Identifier: Apache-2.0
"""What ``prepare`` writes holds the same labels, split without leaks, and says what came from where."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pytest
from PIL import Image

from offroad_seg.bundle import sha256_of
from offroad_seg.cli.main import main
from offroad_seg.compile.images import read_image
from offroad_seg.errors import DataError, InputError
from offroad_seg_train.data.dataset import read_pair
from offroad_seg_train.data.layouts import LAYOUTS, data_ontology, guess_layout, list_pairs
from offroad_seg_train.data.prepare import PrepareOptions, prepare
from offroad_seg_train.data.prepare.plan import make_plan
from offroad_seg_train.data.splits import split_pairs
from offroad_seg_train.data.tiling import Tile, assemble
from tests.helpers.datasets import (
    MAKERS,
    FakeSet,
    write_duality,
    write_generic,
    write_potsdam,
    write_rescuenet,
)

if TYPE_CHECKING:
    from pathlib import Path


def run(made: FakeSet, tmp_path: Path, **options: Any) -> tuple[Path, dict[str, Any]]:
    out = tmp_path / "out" / "prepared"
    if made.layout == "generic":
        options.setdefault("ontology", made.ontology.name)
    prepare(PrepareOptions((made.root,), out, **options), show=False)
    return out, json.loads((out / "prepare.json").read_text(encoding="utf-8"))


def read_all(out: Path) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Image and class ids of everything in a prepared folder, read as ``train`` reads it."""
    ontology = data_ontology(LAYOUTS["generic"], out)
    return {pair.name: read_pair(pair, ontology) for pair in list_pairs("auto", out)}


def files(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.mark.parametrize("kind", MAKERS)
def test_every_layout_keeps_its_labels_and_pixels(kind: str, tmp_path: Path) -> None:
    made = MAKERS[kind](tmp_path / kind)
    before = files(made.root)
    out, record = run(made, tmp_path, val=0.3)
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
    first, _ = run(made, tmp_path / "a", seed=3)
    second, _ = run(made, tmp_path / "b", seed=3)
    assert files(first) == files(second)


def test_tiles_give_the_picture_back(tmp_path: Path) -> None:
    made = write_potsdam(tmp_path / "potsdam")
    out, record = run(made, tmp_path, tile=(24, 40), overlap=6, val=0.3)
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
    _, record = run(made, tmp_path, tile=(24, 40), val=0.3)
    item = next(i for i in record["items"] if i["name"].endswith("2_10"))
    assert item["tiles_without_labels"] == 3
    assert len(item["tiles"]) == 6


@pytest.mark.parametrize("mode", ["groups", "blocks", "random"])
def test_parts_are_disjoint_and_cover_all(mode: str, tmp_path: Path) -> None:
    made = write_duality(tmp_path / "data")
    _, record = run(made, tmp_path, split=mode, val=0.4, test=0.2)
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
    _, record = run(made, tmp_path, split="groups", group_by=r"(site\d)/", val=0.5)
    sides = {(i["image"]["file"].split("/")[1], i["part"]) for i in record["items"]}
    assert len(sides) == 2
    with pytest.raises(InputError, match="finds no group in 6 names"):
        make_plan(
            made.root,
            PrepareOptions(
                (made.root,), tmp_path / "x", ontology="duality_desert", split="groups", group_by="q"
            ),
        )


def spoil(made: FakeSet) -> dict[str, str]:
    """One frame of each kind of trouble → a word of the reason."""
    pairs = list_pairs(made.layout, made.root)
    pairs[0].mask.write_bytes(pairs[0].mask.read_bytes()[:200])
    cv2.imwrite(str(pairs[1].mask), np.full((9, 9), 100, np.uint16))
    cv2.imwrite(str(pairs[2].mask), np.full(made.size, 4321, np.uint16))
    pairs[3].image.unlink()
    pairs[4].mask.unlink()
    shutil.copy(pairs[5].image, pairs[6].image)
    return {
        pairs[0].name: "truncated PNG",
        pairs[1].name: "different sizes",
        pairs[2].name: "unknown values: 4321",
        pairs[3].mask.stem: "mask without an image",
        pairs[4].image.stem: "image without a mask",
    }


def test_what_is_wrong_is_left_out_and_named(tmp_path: Path) -> None:
    made = write_duality(tmp_path / "data")
    expected = spoil(made)
    with pytest.raises(DataError, match="something is wrong with 5 of 9 frames") as caught:
        run(made, tmp_path)
    assert "--max-dropped 0.56" in caught.value.mend
    assert "truncated PNG" in caught.value.what
    assert not (tmp_path / "out" / "prepared").exists()
    out, record = run(made, tmp_path, max_dropped=0.56, val=0.5, split="blocks")
    reasons = {d["name"]: d["reason"] for d in record["dropped"]}
    for name, word in expected.items():
        assert word in reasons.pop(name)
    assert list(reasons.values()) == ["same image as val/cc0000041"] or "same image as" in next(
        iter(reasons.values())
    )
    assert len(read_all(out)) == 3


def test_an_image_in_two_parts_stays_in_the_held_out_one(tmp_path: Path) -> None:
    made = write_rescuenet(tmp_path / "data")
    shutil.copy(made.root / "test/test-org-img/10782.jpg", made.root / "train/train-org-img/10778.jpg")
    _, record = run(made, tmp_path)
    assert [(d["name"], d["reason"]) for d in record["dropped"]] == [
        ("train/10778", "same image as test/10782")
    ]
    assert record["frames"] == {"train": 2, "val": 1, "test": 1}


def test_jpeg_masks_are_explained_and_can_be_mended(tmp_path: Path) -> None:
    made = write_generic(tmp_path / "data", "potsdam", "rgb")
    for path in (made.root / "masks").rglob("*.png"):
        with Image.open(path) as mask:
            mask.resize((208, 120), Image.Resampling.NEAREST).save(
                path.with_suffix(".jpg"), quality=92, subsampling=0
            )
        image = made.root / "images" / path.relative_to(made.root / "masks").with_suffix(".jpg")
        cv2.imwrite(str(image), cv2.resize(cv2.imread(str(image)), (208, 120)))
        path.unlink()
    with pytest.raises(DataError) as caught:
        run(made, tmp_path)
    assert "lossy compression (JPEG)" in caught.value.mend
    assert "--snap-colors" in caught.value.mend
    assert "pixels in" in caught.value.what
    out, record = run(made, tmp_path, snap=120)
    prepared = read_all(out)
    for item in record["items"]:
        ids = prepared[f"{item['part']}/{item['name']}"][1]
        expected = np.kron(made.ids[item["name"]], np.ones((4, 4), np.uint8))
        assert (ids == expected).mean() > 0.98


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


def test_a_failure_while_writing_leaves_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = write_duality(tmp_path / "data")
    out, _ = run(made, tmp_path)
    before = files(out)

    def full(*_: object) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr("offroad_seg_train.data.prepare.writing._write_png", full)
    with pytest.raises(DataError, match="No space left on device"):
        prepare(PrepareOptions((made.root,), out, seed=1), overwrite=True, show=False)
    assert files(out) == before
    assert [p.name for p in out.parent.iterdir()] == ["prepared"]


def test_the_source_is_never_replaced(tmp_path: Path) -> None:
    made = write_duality(tmp_path / "data")
    for out in (made.root, tmp_path):
        with pytest.raises(InputError, match="would replace their source"):
            PrepareOptions((made.root,), out)
    with pytest.raises(InputError, match="inside their source"):
        PrepareOptions((made.root,), made.root / "prepared")
    out, _ = run(made, tmp_path)
    with pytest.raises(InputError, match="not empty"):
        prepare(PrepareOptions((made.root,), out), show=False)


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"split": "chance"}, "no split 'chance'"),
        ({"val": 1.2}, "not 0–1"),
        ({"val": 0.6, "test": 0.4}, "leave nothing to train on"),
        ({"tile": (0, 9)}, "a tile of"),
        ({"tile": (9, 9), "overlap": 9}, "cannot overlap"),
        ({"overlap": 3}, "no tiles"),
        ({"group_by": "x"}, "the split is auto"),
        ({"snap": 999}, "0 to 255"),
        ({"block": 0}, "1 or more"),
    ],
)
def test_bad_options(options: dict[str, Any], word: str, tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        PrepareOptions((tmp_path,), tmp_path.parent / f"{tmp_path.name}-out", **options)
    assert word in str(caught.value)


def test_generic_data_need_an_ontology(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = write_generic(tmp_path / "data")
    assert main(["prepare", str(made.root), "--out", str(tmp_path / "out")]) == 2
    assert "nobody says what the mask values mean" in capsys.readouterr().err
    assert main(["prepare", str(tmp_path / "nowhere"), "--out", str(tmp_path / "out")]) == 2
    assert "no such folder or archive" in capsys.readouterr().err


def test_options_are_recorded(tmp_path: Path) -> None:
    made = write_duality(tmp_path / "data")
    options = PrepareOptions((made.root,), tmp_path / "out", seed=7)
    recorded = options.to_dict()
    unsaid = {"sources", "out", "max_dropped", "max_unpacked", "snap"}
    assert set(recorded) == (set(asdict(options)) - unsaid) | {"snap_colors"}
