# SPDX-License-Identifier: Apache-2.0
"""The short form of the scripts that made the figures of docs/costmap.md: they run, and the documentation has their rows."""

from __future__ import annotations

import json
import re
import subprocess
import sys

import pytest

pytest.importorskip("embreex", reason="embreex is not installed")

pytestmark = pytest.mark.parallel


def run(repo_root, *command):
    done = subprocess.run(
        [sys.executable, *command], cwd=repo_root, capture_output=True, text=True, timeout=280, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("flat", [[], ["--flat"]])
def test_the_costmap_against_the_truth(repo_root, tmp_path, flat):
    out = tmp_path / "truth.json"
    words = [
        "--frames",
        "10",
        "--width",
        "160",
        "--height",
        "90",
        "--seed",
        "1",
        "--cache",
        str(tmp_path / "looks"),
    ]
    table = run(repo_root, "benchmarks/costmap_truth.py", *words, *flat, "--out", str(out))
    scores = json.loads(out.read_text())["scores"]
    assert all(name in table for name in scores)
    for name, numbers in scores.items():
        assert numbers["free_cells"] > 500, name
        assert all(0.0 <= numbers[key] <= 1.0 for key in numbers if not key.endswith("_cells"))
    assert scores["depth"]["free_precision"] > 0.99
    # The documentation speaks of every one of them.
    page = (repo_root / "docs/costmap.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (.*?) \|", page, re.MULTILINE)
    for words in ("without levelling", "without occlusion", "without fusion", "contact_slope"):
        assert any(words in row for row in rows), words
    for degrees in (1, 2, 3):
        for sign in ("+", "−"):
            assert sum(f"{sign}{degrees}°" in row for row in rows) >= 2, (sign, degrees)


@pytest.mark.shared_data
def test_depth_against_the_plane_on_real_frames(repo_root, shared_data, tmp_path):
    folder = str(shared_data / "orfd_sequence")
    table = run(repo_root, "benchmarks/real_depth.py", folder, "--frames", "1", "--out", str(tmp_path))
    (result,) = json.loads((tmp_path / "real_depth.json").read_text()).values()
    assert result["apart"]["6-9 m"]["median"] < 0.15
    assert result["free_by_plane_lethal_by_depth"] > 100
    assert len(list(tmp_path.glob("*.png"))) == 1
    assert "median, p90" in table
