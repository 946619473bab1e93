# SPDX-License-Identifier: Apache-2.0
"""One pass finds all problems at once, and counts classes where there are none."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest

from offroad_seg.errors import DataError
from offroad_seg.ontology import load_ontology
from offroad_seg_train.data.checks import check_dataset, class_pixel_counts
from offroad_seg_train.data.layouts import list_pairs

if TYPE_CHECKING:
    from pathlib import Path

DESERT = load_ontology("duality_desert")


def test_clean_data_is_counted(duality: Path) -> None:
    before = sorted(p.read_bytes() for p in duality.rglob("*.png"))
    result = check_dataset("duality", duality, DESERT, show_progress=False)
    masks = np.stack([cv2.imread(str(p.mask), cv2.IMREAD_UNCHANGED) for p in result.pairs])
    expected = [int((masks == c.raw[0]).sum()) for c in DESERT.classes]
    assert result.class_pixels_N.tolist() == expected
    assert result.unlabelled_pixels == 0
    assert class_pixel_counts(list_pairs("duality", duality)[:2], DESERT).sum() == 2 * 30 * 52
    assert sorted(p.read_bytes() for p in duality.rglob("*.png")) == before


def test_ignored_values_are_counted_apart(ai4mars: Path) -> None:
    result = check_dataset("ai4mars", ai4mars, load_ontology("ai4mars"), show_progress=False)
    assert result.unlabelled_pixels > 0
    assert result.unlabelled_pixels + result.class_pixels_N.sum() == 3 * 30 * 52


def test_all_problems_are_reported_together(duality: Path) -> None:
    images, masks = duality / "Color_Images", duality / "Segmentation"
    (masks / "cc0000000.png").unlink()
    (images / "cc0000001.png").write_bytes((images / "cc0000001.png").read_bytes()[:-200])
    cv2.imwrite(str(masks / "cc0000001.png"), np.full((30, 52), 4, np.uint16))
    cv2.imwrite(str(masks / "cc0000002.png"), np.full((31, 52), 100, np.uint16))
    odd = np.full((30, 52), 100, np.uint16)
    odd[0, :7] = 4
    odd[1, :2] = 65535
    cv2.imwrite(str(masks / "cc0000003.png"), odd)
    with pytest.raises(DataError) as caught:
        check_dataset("duality", duality, DESERT, show_progress=False)
    text = str(caught.value)
    assert "1 images without a mask: Color_Images/cc0000000.png" in text
    assert "Color_Images/cc0000001.png: truncated PNG" in text
    assert "cc0000002 (image 52×30, mask 52×31)" in text
    assert "4 (1567 pixels in 2 files), 65535 (2 pixels in 1 files)" in text
    assert "Segmentation/cc0000001.png, Segmentation/cc0000003.png" in text
    assert str(duality) in caught.value.where
    assert "7100" in caught.value.mend


def test_eight_bit_masks(duality: Path) -> None:
    for path in (duality / "Segmentation").iterdir():
        cv2.imwrite(str(path), np.full((30, 52), 100, np.uint8))
    with pytest.raises(DataError, match="8-bit mask where 16-bit is expected.*: 4") as caught:
        check_dataset("duality", duality, DESERT, show_progress=False)
    assert "16-bit PNG" in caught.value.mend


def test_wrong_ontology_is_named(ycor: Path) -> None:
    with pytest.raises(DataError, match="not in ontology ai4mars"):
        check_dataset("ycor", ycor, load_ontology("ai4mars"), show_progress=False)
    with pytest.raises(DataError, match="not in ontology ai4mars"):
        class_pixel_counts(list_pairs("ycor", ycor), load_ontology("ai4mars"))


@pytest.mark.shared_data
def test_real_sample_has_the_documented_share_of_sky(shared_data: Path) -> None:
    result = check_dataset("auto", shared_data / "duality_sample", DESERT, show_progress=False)
    assert len(result.pairs) == 62
    share = result.class_pixels_N / result.class_pixels_N.sum()
    assert share[DESERT.id_of("Sky")] == pytest.approx(0.378, abs=0.05)
    assert share[DESERT.id_of("Logs")] == pytest.approx(0.00067, abs=0.001)
