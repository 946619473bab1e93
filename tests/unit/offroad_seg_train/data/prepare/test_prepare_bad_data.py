# SPDX-License-Identifier: Apache-2.0
"""What is wrong with data is named and left out or refused by ``prepare``, and nothing is lost."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pytest
from PIL import Image

from offroad_seg.cli.main import main
from offroad_seg.errors import DataError, InputError
from offroad_seg_train.data.layouts import list_pairs
from offroad_seg_train.data.prepare import PrepareOptions, prepare
from tests.helpers.datasets import FakeSet, write_duality, write_generic, write_rescuenet
from tests.helpers.prepared import files, read_all, run_prepare

if TYPE_CHECKING:
    from pathlib import Path


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
        run_prepare(made, tmp_path)
    assert "--max-dropped 0.56" in caught.value.mend
    assert "truncated PNG" in caught.value.what
    assert not (tmp_path / "out" / "prepared").exists()
    out, record = run_prepare(made, tmp_path, max_dropped=0.56, val=0.5, split="blocks")
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
    _, record = run_prepare(made, tmp_path)
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
        run_prepare(made, tmp_path)
    assert "lossy compression (JPEG)" in caught.value.mend
    assert "--snap-colors" in caught.value.mend
    assert "pixels in" in caught.value.what
    out, record = run_prepare(made, tmp_path, snap=120)
    prepared = read_all(out)
    for item in record["items"]:
        ids = prepared[f"{item['part']}/{item['name']}"][1]
        expected = np.kron(made.ids[item["name"]], np.ones((4, 4), np.uint8))
        assert (ids == expected).mean() > 0.98


def test_a_failure_while_writing_leaves_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = write_duality(tmp_path / "data")
    out, _ = run_prepare(made, tmp_path)
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
    out, _ = run_prepare(made, tmp_path)
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
