# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
import re
from dataclasses import replace

import numpy as np
import pytest

from offroad_seg.ontology import load_ontology
from offroad_seg_train.audit.audit import AuditOptions, run_audit
from offroad_seg_train.audit.audit_json import SCHEMA, to_dict, to_text
from offroad_seg_train.audit.charts import bars, height_stack
from offroad_seg_train.audit.finding import Finding, Panel, Severity, percent
from offroad_seg_train.audit.pictures import LONGEST, OUTSIDE_RGB, Drawer, colorize, jpeg, png, take_nearest
from offroad_seg_train.audit.report import report_html
from offroad_seg_train.audit.report_tables import leak_matrix, verdict
from tests.helpers.planted import image_file, mask_file, scene, write_frame


def test_the_json_is_strict_and_says_everything(planted_audit):
    data = json.loads(to_text(planted_audit), parse_constant=pytest.fail)
    assert data["schema"] == SCHEMA == 1
    assert data["verdict"] == {s.word: planted_audit.number(s) for s in Severity}
    assert [f["kind"] for f in data["findings"]] == [f.kind for f in planted_audit.findings]
    assert {p["name"]: p["frames"] for p in data["parts"]} == {"train": 47, "val": 12}
    classes = {c["name"]: c for c in data["classes"]}
    assert classes["Sky"]["values"] == ["10000"]
    assert classes["Sky"]["mean_height"] < 0.3
    assert classes["Sky"]["role"] == "sky"
    for entry in data["classes"]:
        assert sum(part["pixels"] for part in entry["parts"].values()) == entry["pixels"]
    shares = sum(c["share"] for c in data["classes"]) + data["unlabelled_share"] + data["outside_share"]
    assert shares == pytest.approx(1, abs=1e-5)
    assert {v["value"]: v["known"] for v in data["values"]}["1234"] is False
    assert sum(data["labels_per_image"].values()) == sum(p["masks"] for p in data["parts"])


def test_statistics_are_those_of_the_pixels(tmp_path):
    images = []
    for k in range(3):
        image, mask = scene(k, 40 + 10 * k, 90)  # of different sizes
        write_frame(tmp_path, f"cc{k}", image, mask)
        images.append(image.reshape(-1, 3))
    figures = to_dict(run_audit(AuditOptions(tmp_path, show_progress=False)))["images"]
    pixels = np.concatenate(images) / 255
    np.testing.assert_allclose(figures["channel_mean"], pixels.mean(axis=0), atol=1e-4)
    np.testing.assert_allclose(figures["channel_std"], pixels.std(axis=0), atol=1e-4)
    assert figures["sizes"] == {"90x40": 1, "90x50": 1, "90x60": 1}


def test_the_page_is_one_file_with_everything_in_it(planted_audit):
    html = report_html(planted_audit)
    assert not re.search(r"(src|href)=[\"'](?!data:)", html)
    assert "http" not in html.replace("http://www.w3.org", "")
    for finding in planted_audit.findings:
        assert f'class="card finding {finding.severity.word}' in html
    assert html.count('class="card finding') == len(planted_audit.findings)
    assert len(html) < 2_000_000


def test_the_budget_bounds_the_page(planted_audit):
    drawer = Drawer(planted_audit.sources.frames, planted_audit.ontology, budget=30_000)
    drawn = 0
    while drawer.draw([Panel(10 + drawn % 20, "x")]) is not None:
        drawn += 1
        assert drawn < 100
    # The last example may run over by its own size, and no more.
    assert -60_000 < drawer.budget <= 0
    assert drawn >= 2


def test_names_of_files_are_no_html(tmp_path):
    evil = "x<img src=1 onerror=alert(1)>`&"
    write_frame(tmp_path, "cc1", *scene(1))
    write_frame(tmp_path, evil, *scene(2))
    image_file(tmp_path, evil).write_bytes(b"broken")
    html = report_html(run_audit(AuditOptions(tmp_path, show_progress=False)))
    assert "<img src=1" not in html
    assert "x&lt;img src=1 onerror=alert(1)&gt;" in html


def test_code_in_texts_is_marked_up(clean_audit):
    finding = Finding("k", Severity.NOTE, "a `<b>` c", "1 ` 2", "`x` and `y`")
    html = report_html(replace(clean_audit, findings=[finding]))
    assert "a <code>&lt;b&gt;</code> c" in html
    assert "1 ` 2" in html
    assert "<code>x</code> and <code>y</code>" in html


def test_a_set_of_which_nothing_can_be_read_has_a_report_too(tmp_path):
    for k in range(2):
        write_frame(tmp_path, f"cc{k}", *scene(k))
        image_file(tmp_path, f"cc{k}").write_bytes(b"")
        mask_file(tmp_path, f"cc{k}").write_bytes(b"")
    audit = run_audit(AuditOptions(tmp_path, show_progress=False))
    assert {f.kind for f in audit.findings} == {"image_unreadable", "mask_unreadable"}
    assert "cannot be shown" in report_html(audit)
    assert json.loads(to_text(audit))["unlabelled_share"] is None


def test_a_set_without_one_pair_has_a_report_too(tmp_path):
    write_frame(tmp_path, "cc1", *scene(1))
    mask_file(tmp_path, "cc1").rename(mask_file(tmp_path, "cc2"))
    audit = run_audit(AuditOptions(tmp_path, show_progress=False))
    assert {f.kind for f in audit.findings} == {"image_without_mask", "mask_without_image"}
    assert "Do not train" in report_html(audit)


def test_the_verdict_says_what_to_do(clean_audit, planted_audit):
    assert verdict(clean_audit) == ("Sound: nothing was found", "good")
    assert verdict(planted_audit)[0].startswith("Do not train on this yet: ")
    one = replace(clean_audit, findings=[Finding("k", Severity.WARNING, "t")])
    assert verdict(one) == ("It can be trained on, but look at 1 warning first", "warning")
    assert verdict(replace(one, findings=[Finding("k", Severity.NOTE, "t")]))[1] == "good"


def test_the_matrix_of_leaks_counts_pictures(planted_audit):
    assert leak_matrix(planted_audit) == [{"parts": "train and val", "exact": 1, "copies": 1, "alike": 0}]


def test_masks_are_drawn_in_class_colours_and_what_is_outside_in_magenta():
    ontology = load_ontology("duality_desert")
    mask = np.array([[100, 10000, 0, 1234]], np.uint16)
    drawn = colorize(mask, ontology)
    assert drawn[0].tolist() == [[34, 98, 40], [128, 186, 232], [0, 0, 0], list(OUTSIDE_RGB)]


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32])
def test_masks_are_reduced_without_mixing_values(dtype):
    mask = np.zeros((1000, 700), dtype)
    mask[:, 350:] = 200
    small = take_nearest(mask, 100)
    assert small.shape == (100, 70)
    assert small.dtype == dtype
    assert (small[:, :35] == 0).all()
    assert (small[:, 35:] == 200).all()
    assert take_nearest(mask, 1000) is mask
    assert take_nearest(np.zeros((2, 4000, 3), dtype), 100).shape == (1, 100, 3)


def test_pictures_are_small_and_exact_where_they_must_be():
    image, _ = scene(1, 500, 900)
    assert len(jpeg(image[:225, :LONGEST])) < 60_000
    colors = np.zeros((50, 80, 3), np.uint8)
    colors[:, 40:] = (1, 2, 3)
    assert png(colors).startswith("data:image/png;base64,")
    assert len(png(colors)) < 400


def test_charts_are_svg_that_hides_nothing():
    rows = np.zeros((2, 24))
    rows[0, :12], rows[1, 12:] = 1, 0.5
    svg = height_stack(rows, ['A & "B"', "<C>"], [(1, 2, 3), (4, 5, 6)])
    assert svg.count("<polygon") == 2
    assert "A &amp; &quot;B&quot;" in svg
    assert "<C>" not in svg
    assert bars({"7": 3, "8": 1234}, "what").count("<rect") == 2


@pytest.mark.parametrize(
    ("share", "text"),
    [
        (0, "0 %"),
        (1, "100 %"),
        (1e-6, "< 0.01 %"),
        (0.0339, "3.39 %"),
        (0.5, "50.0 %"),
        (0.99999, "> 99.9 %"),
    ],
)
def test_shares_are_never_rounded_to_nothing_or_all(share, text):
    assert percent(share) == text
