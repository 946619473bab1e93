# SPDX-License-Identifier: Apache-2.0
"""The contact sheet shows every picture, its labels, and what is ignored."""

from __future__ import annotations

import numpy as np

from offroad_seg.ontology import load_ontology
from offroad_seg_train.data.augment.sheet import draw_sheet


def test_pictures_stand_beside_their_labels_in_rows() -> None:
    ontology = load_ontology("duality_desert")
    images = [np.full((40, 70, 3), 10 * i, np.uint8) for i in range(5)]
    labels = [np.full((40, 70), i, np.uint8) for i in range(5)]
    labels[0][:, 35:] = 255
    sheet = draw_sheet(images, labels, [f"Bild ä{i}" for i in range(5)], ontology, columns=3, title="desert")
    assert sheet.dtype == np.uint8
    cell_h, cell_w = 40 + 24 + 6, 2 * 70 + 2 + 2 * 6
    assert sheet.shape[1] == 3 * cell_w
    assert sheet.shape[0] > 24 + 2 * cell_h
    for i, (image, label) in enumerate(zip(images, labels, strict=True)):
        top, left = 24 + (i // 3) * cell_h + 24, (i % 3) * cell_w + 6
        assert np.array_equal(sheet[top : top + 40, left : left + 70], image)
        shown = sheet[top : top + 40, left + 72 : left + 142].astype(int)
        expected = (image[0, 0].astype(int) + np.array(ontology.classes[i].color)) / 2
        assert np.abs(shown[:, :35] - expected).max() <= 1
        striped = shown[:, 35:].std(axis=(0, 1)).max()
        assert striped > 20 if (label == 255).any() else striped == 0


def test_a_sheet_of_one_and_a_wide_one_are_drawn() -> None:
    ontology = load_ontology("ai4mars")
    one = draw_sheet([np.zeros((30, 50, 3), np.uint8)], [np.zeros((30, 50), np.uint8)], ["a"], ontology)
    assert one.shape[0] > 60
    wide = draw_sheet(
        [np.zeros((500, 900, 3), np.uint8)] * 3, [np.zeros((500, 900), np.uint8)] * 3, list("abc"), ontology
    )
    assert wide.shape[1] == 2000
