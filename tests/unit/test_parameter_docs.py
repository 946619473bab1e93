# SPDX-License-Identifier: Apache-2.0
"""docs/node.md and config/perception.yaml say of the parameters what the code says."""

from __future__ import annotations

import importlib.util
import subprocess
import sys

import pytest


@pytest.fixture(scope="module")
def generator(repo_root):
    spec = importlib.util.spec_from_file_location("generate", repo_root / "docs/generate_parameters.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_table_and_parameter_file_are_those_of_the_code(repo_root):
    command = [sys.executable, "docs/generate_parameters.py", "--check"]
    done = subprocess.run(command, cwd=repo_root, capture_output=True, text=True, timeout=150)
    assert done.returncode == 0, done.stderr


def test_a_changed_line_is_found_and_written_anew(generator, repo_root):
    text = (repo_root / "docs/node.md").read_text(encoding="utf-8")
    row = "| `max_age` • | 0.5 |"
    assert row in text
    changed = text.replace(row, "| `max_age` • | 0.7 |")
    assert generator.page(changed) == text != changed


def test_what_stands_around_the_table_is_left(generator):
    text = f"before\n{generator.BEGIN}\nold\n{generator.END}\nafter\n"
    page = generator.page(text)
    assert page.startswith("before\n")
    assert page.endswith(f"{generator.END}\nafter\n")
    assert "\nold\n" not in page


def test_a_page_without_a_place_for_it_is_refused(generator):
    with pytest.raises(SystemExit, match=r"docs/node\.md"):
        generator.page("nothing here")


def test_every_parameter_has_its_row_with_bounds_and_default(generator):
    rows = {line.split("`")[1]: line for line in generator.table().splitlines() if line.startswith("| `")}
    assert set(generator.RULES) <= set(rows)
    assert "| 0.05 to 3600 |" in rows["stall_timeout"]
    assert "| `raw`, `compressed` |" in rows["image_transport"]
    assert "•" in rows["max_age"]
    assert "•" not in rows["stall_timeout"]
    assert "| not given |" in rows["camera_mount.z"]
