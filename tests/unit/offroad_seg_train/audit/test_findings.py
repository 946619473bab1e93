# SPDX-License-Identifier: Apache-2.0
"""Each planted fault is found where it was planted, and nothing else is said."""

from __future__ import annotations

import shutil
import subprocess
import sys

import numpy as np
import pytest

from offroad_seg_train.audit.audit import AuditOptions, run_audit
from offroad_seg_train.audit.duplicate_checks import VAL_FRACTION
from offroad_seg_train.audit.finding import Severity
from offroad_seg_train.audit.fix_list import fix_list, read_fix_list
from offroad_seg_train.audit.label_checks import disagreement
from tests.helpers import planted

EXPECTED = {
    "mask_eight_bit": (Severity.ERROR, ["train/Segmentation/cc0000004.png"]),
    "value_outside": (Severity.ERROR, ["train/Segmentation/cc0000002.png"]),
    "image_unreadable": (
        Severity.ERROR,
        ["train/Color_Images/cc0000000.png", "val/Color_Images/cc0000000.png"],
    ),
    "mask_unreadable": (Severity.ERROR, ["train/Segmentation/cc0000001.png"]),
    "size_mismatch": (Severity.ERROR, ["train/Segmentation/cc0000003.png"]),
    "image_without_mask": (Severity.ERROR, ["train/Color_Images/cc0000007.png"]),
    "mask_without_image": (Severity.ERROR, ["train/Segmentation/cc0000006.png"]),
    "leak_exact": (Severity.ERROR, ["train/Color_Images/zz0000004.png"]),
    "leak_copy": (Severity.ERROR, ["train/Color_Images/zz0000005.jpg"]),
    "label_conflict": (
        Severity.ERROR,
        [f"train/Segmentation/{n}.png" for n in ("yy0000017", "yy0000033", "zz0000006")],
    ),
    "mask_without_label": (Severity.WARNING, ["train/Segmentation/cc0000005.png"]),
    "mask_reused": (Severity.WARNING, ["train/Segmentation/cc0000014.png"]),
    "duplicate_exact": (
        Severity.WARNING,
        [
            f"train/Color_Images/{n}.png"
            for n in ("yy0000017", "yy0000033", "zz0000001", "zz0000002", "zz0000006")
        ],
    ),
    "duplicate_copy": (Severity.WARNING, ["train/Color_Images/zz0000003.jpg"]),
    "image_blank": (Severity.WARNING, ["train/Color_Images/cc0000008.png"]),
    "anomaly_repeated": (
        Severity.WARNING,
        [f"train/Color_Images/yy{k:07d}.png" for k in (0, 17, 33)],
    ),
    "image_format_differs": (
        Severity.NOTE,
        ["train/Color_Images/zz0000003.jpg", "train/Color_Images/zz0000005.jpg"],
    ),
}


def by_kind(audit):
    found = {f.kind: f for f in audit.findings}
    assert len(found) == len(audit.findings)
    return found


def test_a_clean_set_has_no_finding_at_all(clean_audit):
    assert clean_audit.findings == []
    assert clean_audit.worst is None


def test_every_planted_fault_is_found_and_nothing_else(planted_audit, planted_folder):
    found = {
        f.kind: (f.severity, sorted(n.path.relative_to(planted_folder).as_posix() for n in f.files))
        for f in planted_audit.findings
    }
    assert found == EXPECTED


def test_findings_come_the_worst_first(planted_audit):
    severities = [f.severity for f in planted_audit.findings]
    assert severities == sorted(severities, reverse=True)


def test_what_is_outside_is_named_with_pixels_and_files(planted_audit):
    finding = by_kind(planted_audit)["value_outside"]
    assert finding.figures["values"] == [{"value": "1234", "pixels": 36, "files": ["train/cc0000002"]}]
    assert "1234 (36 pixels in 1 file)" in finding.text


def test_leaks_name_the_side_that_is_kept(planted_audit):
    found = by_kind(planted_audit)
    assert found["leak_exact"].figures["groups"] == [["val/cc0000003", "train/zz0000004"]]
    assert found["leak_copy"].figures["pairs"][0]["names"] == ["val/cc0000004", "train/zz0000005"] or (
        found["leak_copy"].figures["pairs"][0]["names"] == ["train/zz0000005", "val/cc0000004"]
    )


def test_the_fix_list_mends_what_can_be_mended_by_leaving_out(planted_audit, planted_folder, tmp_path):
    names = read_fix_list(fix_list(planted_audit.findings))
    left = tmp_path / "left"
    shutil.copytree(planted_folder, left)
    for name in names:
        (left / name.removeprefix(f"{planted_folder}/")).unlink()
    audit = run_audit(AuditOptions(left, show_progress=False))
    # What remains is what only a person can decide: which of two masks is right.
    assert set(by_kind(audit)) == {"label_conflict", "mask_reused", "duplicate_exact"}
    assert [f.figures["groups"] for f in audit.findings if f.kind == "duplicate_exact"] == [
        [["train/cc0000012", "train/zz0000006"]]
    ]
    # Of pictures that were there more than once, one is left.
    assert planted.image_file(left / "train", "cc0000010").exists()
    assert planted.image_file(left / "val", "cc0000003").exists()


def test_a_copy_is_kept_where_the_original_is_broken(tmp_path):
    planted.write_clean(tmp_path, train=24, val=0)
    train = tmp_path / "train"
    planted.copy_frame(train, "cc0000002", train, "zz0000001")
    planted.cut(planted.mask_file(train, "cc0000002"))
    audit = run_audit(AuditOptions(tmp_path, show_progress=False))
    dropped = {name.rpartition("/")[2] for name in read_fix_list(fix_list(audit.findings))}
    assert dropped == {"cc0000002.png"}


def test_neighbouring_frames_are_a_note_within_a_part_and_a_warning_across(tmp_path):
    wide, mask = planted.scene(7, 72, 400)
    for k in range(3):  # a slow drive: each frame is shifted a little
        cut = np.s_[:, 2 * k : 2 * k + 128]
        planted.write_frame(tmp_path / "train", f"mt{k:07d}", wide[cut], mask[cut])
    planted.write_clean(tmp_path, train=12, val=12)
    found = by_kind(run_audit(AuditOptions(tmp_path, show_progress=False)))
    assert {kind: f.severity for kind, f in found.items()} == {"alike": Severity.NOTE}
    for kind in ("Color_Images", "Segmentation"):
        (tmp_path / "train" / kind / "mt0000001.png").rename(tmp_path / "val" / kind / "mt0000001.png")
    found = by_kind(run_audit(AuditOptions(tmp_path, show_progress=False)))
    assert found["leak_alike"].severity == Severity.WARNING
    assert found["leak_alike"].drops == ()


def test_the_audit_needs_no_pytorch_and_knows_what_train_holds_out():
    from offroad_seg_train.training.data_config import DataConfig

    assert DataConfig().val_fraction == VAL_FRACTION
    code = "import sys, offroad_seg_train.audit.audit, offroad_seg_train.audit.report; print('torch' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True
    )
    assert done.stdout.strip() == "False"


def test_few_of_another_kind_are_a_note_and_a_mixed_set_is_none(tmp_path):
    planted.write_clean(tmp_path, train=24, val=0)
    train = tmp_path / "train"
    image, mask = planted.scene(4)
    grey = np.repeat(image.mean(axis=2, keepdims=True).astype(np.uint8), 3, axis=2)
    planted.write_frame(train, "cc0000004", grey, mask)
    planted.write_frame(train, "cc0000005", *planted.scene(5, 80, 140))
    found = by_kind(run_audit(AuditOptions(tmp_path, show_progress=False)))
    assert {kind: f.files[0].path.stem for kind, f in found.items() if "differs" in kind} == {
        "image_grey_differs": "cc0000004",
        "image_size_differs": "cc0000005",
    }
    for k in range(6, 16):
        planted.write_frame(train, f"cc{k:07d}", *planted.scene(k, 80, 140))
    found = by_kind(run_audit(AuditOptions(tmp_path, show_progress=False)))
    assert "image_size_differs" not in found


def test_a_frame_that_ended_early_is_found(tmp_path):
    planted.write_clean(tmp_path, train=24, val=0)
    image, mask = planted.scene(4)
    image[50:] = 128
    planted.write_frame(tmp_path / "train", "cc0000004", image, mask)
    found = by_kind(run_audit(AuditOptions(tmp_path, show_progress=False)))
    assert [n.path.name for n in found["image_cut_short"].files] == ["cc0000004.png"]


def test_a_wrong_ontology_is_not_blamed_on_every_single_file(tmp_path):
    """Where all masks hold values outside, the fix list must not empty the data set."""
    planted.write_clean(tmp_path, train=12, val=0)
    table = tmp_path / "short.yaml"
    table.write_text(
        "name: short\nclasses:\n"
        "- {name: Ground, color: [1, 2, 3], raw: [7100, 300, 550, 600], cost: 5}\n"
        "- {name: Sky, color: [4, 5, 6], raw: [10000], cost: unknown}\n"
    )
    audit = run_audit(AuditOptions(tmp_path, ontology=str(table), show_progress=False))
    finding = by_kind(audit)["value_outside"]
    assert len(finding.files) == 12
    assert finding.drops == ()
    assert "duality_desert" in finding.mend
    assert {v["value"] for v in finding.figures["values"]} == {"100", "200", "500", "700", "800"}


def test_one_side_of_the_split_that_lacks_a_class(tmp_path):
    planted.write_clean(tmp_path, train=12, val=12)
    for k in range(12):
        planted.change_mask(
            tmp_path / "train",
            f"cc{k:07d}",
            lambda mask: np.where(mask == planted.FLOWERS, np.uint16(planted.GRASS), mask),
        )
        planted.change_mask(
            tmp_path / "val",
            f"cc{k:07d}",
            lambda mask: np.where(mask == planted.LOGS, np.uint16(planted.GRASS), mask),
        )
    found = by_kind(run_audit(AuditOptions(tmp_path, show_progress=False)))
    assert found["class_never_trained"].figures == {"classes": ["Flowers"]}
    assert found["class_never_trained"].severity == Severity.WARNING
    assert found["class_never_tested"].figures == {"classes": ["Logs"]}


def test_one_mad_file_does_not_stop_the_audit(tmp_path, monkeypatch):
    from offroad_seg_train.audit import probe

    planted.write_clean(tmp_path, train=4, val=0)
    real = probe.probe_image

    def explode(path):
        if path.stem == "cc0000001":
            raise RecursionError("a decoder went mad")
        return real(path)

    monkeypatch.setattr(probe, "probe_image", explode)
    audit = run_audit(AuditOptions(tmp_path, show_progress=False))
    finding = by_kind(audit)["image_unreadable"]
    assert [(n.path.stem, n.detail) for n in finding.files] == [
        ("cc0000001", "RecursionError: a decoder went mad")
    ]
    assert audit.tally.masks == 4


def test_the_number_of_workers_changes_nothing(clean_folder, clean_audit):
    other = run_audit(AuditOptions(clean_folder, workers=3, show_progress=False))
    assert [r.image.digest for r in other.records] == [r.image.digest for r in clean_audit.records]
    assert other.tally.pixels == clean_audit.tally.pixels


@pytest.mark.parametrize(("shift", "expected"), [(0, 0.0), (1, 0.5)])
def test_disagreement_is_a_share_of_the_pixels(shift, expected):
    first = np.zeros((4, 6), np.uint8)
    second = first.copy()
    second[:2] = shift
    assert disagreement(first, second) == expected
    assert disagreement(first, np.repeat(second, 2, axis=1)) == expected
