# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from offroad_seg_train.audit.finding import Drop, Finding, Severity
from offroad_seg_train.audit.fix_list import fix_list, read_fix_list, to_drop


def finding(*drops):
    return Finding("k", Severity.ERROR, "t", drops=drops)


def test_each_file_stands_once_with_all_reasons():
    both = (Path("a/1.png"), Path("b/1.png"))
    found = [finding(Drop(both, "broken"), Drop(both, "broken")), finding(Drop(both, "a leak"))]
    text = fix_list(found)
    assert read_fix_list(text) == ["a/1.png", "b/1.png"]
    assert "# broken; a leak\na/1.png\nb/1.png\n" in text
    assert to_drop(found) == 1


def test_what_a_person_must_look_at_stands_in_comments_only():
    found = [finding(Drop((Path("a"),), "odd", sure=False), Drop((Path("b"),), "odd", sure=False))]
    found.append(finding(Drop((Path("b"),), "broken")))
    text = fix_list(found)
    assert read_fix_list(text) == ["b"]
    assert "# look at: odd\n# a\n" in text
    assert "# b\n" not in text
    assert "1 to drop, 1 to look at" in text


@pytest.mark.parametrize("name", ["#1.png", "a\nb.png", "a\rb.png"])
def test_names_that_do_not_fit_a_line_are_never_taken_for_others(name):
    text = fix_list([finding(Drop((Path(name),), "why\nnot"))])
    assert read_fix_list(text) == []
    assert all(line.startswith("#") or not line for line in text.splitlines())


def test_nothing_to_drop_is_a_list_too():
    assert read_fix_list(fix_list([])) == []


@pytest.mark.skipif(shutil.which("tar") is None, reason="no tar here")
def test_the_command_in_its_head_takes_the_files_away_and_back(tmp_path):
    names = ["d/a b.png", "e/a b.png", "-rf.png", "d/keep.png", "d/ü'$(x).png"]
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    dropped = [n for n in names if "keep" not in n]
    text = fix_list([finding(*(Drop((Path(n),), "why") for n in dropped))])
    (tmp_path / "drop.txt").write_text(text)
    lines = [line[1:].strip() for line in text.splitlines() if line.startswith("#")]
    (away,) = [line for line in lines if line.startswith("grep")]
    (back,) = [line.partition(":")[2].strip() for line in lines if line.startswith("To bring them back")]
    subprocess.run(away.replace("THIS_FILE", "drop.txt"), shell=True, cwd=tmp_path, check=True)
    left = sorted(str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*.png"))
    assert left == ["d/keep.png"]
    subprocess.run(back, shell=True, cwd=tmp_path, check=True)
    assert all((tmp_path / name).read_text() == name for name in names)
