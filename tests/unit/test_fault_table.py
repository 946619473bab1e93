# SPDX-License-Identifier: Apache-2.0
"""docs/faults.md names tests that exist, and leaves out no rule, no topic and no parameter of the node."""

from __future__ import annotations

import ast
import re
from collections import Counter

NAMED = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")


def table(repo_root, title):
    text = (repo_root / "docs/faults.md").read_text(encoding="utf-8")
    part = text.split(f"## {title}\n", 1)[1].split("\n## ", 1)[0]
    rows = [line for line in part.splitlines() if line.startswith("| ")][1:]
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]


def test_every_test_that_the_table_names_exists(repo_root):
    named = NAMED.findall((repo_root / "docs/faults.md").read_text(encoding="utf-8"))
    assert len(named) > 80
    missing = []
    for file in sorted({file for file, _ in named}):
        tree = ast.parse((repo_root / file).read_text(encoding="utf-8"))
        there = Counter(node.name for node in tree.body if isinstance(node, ast.FunctionDef))
        missing += [f"{file}::{test}" for f, test in set(named) if f == file and there[test] != 1]
    assert missing == []


def test_every_fault_names_what_the_node_does_what_the_planner_sees_and_a_test(repo_root):
    rows = [row for row in table(repo_root, "From fault to planner") if not row[0].startswith("**")]
    assert len(rows) > 45
    assert [row[0] for row in rows if not (row[1] and row[2] and NAMED.search(row[3]))] == []


def test_every_rule_has_its_test(repo_root):
    rows = table(repo_root, "What the node promises")
    assert [row[0] for row in rows] == [str(number) for number in range(1, 16)]
    assert all(NAMED.search(row[2]) for row in rows)


def test_every_topic_of_the_nodes_page_has_its_test(repo_root):
    rows = table(repo_root, "Every topic")
    assert all(NAMED.search(row[1]) for row in rows)
    tested = set(re.findall(r"`([^`]+)`", " ".join(row[0] for row in rows)))
    page = (repo_root / "docs/node.md").read_text(encoding="utf-8")
    told = set()
    for title in ("Inputs", "Outputs"):
        part = page.split(f"## {title}\n", 1)[1].split("\n## ", 1)[0]
        for line in part.splitlines():
            if line.startswith("| `"):
                told |= set(re.findall(r"`([^`]+)`", line.split("|")[1]))
    assert {topic.replace("<image>", "image") for topic in told} <= tested


def test_every_parameter_has_its_test(repo_root):
    rows = table(repo_root, "Every parameter")
    assert all(NAMED.search(row[1]) for row in rows)
    tested = set(re.findall(r"`([^`]+)`", " ".join(row[0] for row in rows)))
    page = (repo_root / "docs/node.md").read_text(encoding="utf-8")
    part = page.split("<!-- parameters", 1)[1].split("<!-- end", 1)[0]
    told = {
        re.findall(r"`([^`]+)`", line.split("|")[1])[0]
        for line in part.splitlines()
        if line.startswith("| `")
    }
    assert len(told) > 35
    assert told == tested - {".yaw"}


def test_every_test_of_a_fault_is_in_the_table(repo_root):
    """So that a new fault is told, and an old row is not left behind."""
    text = (repo_root / "docs/faults.md").read_text(encoding="utf-8")
    names = [
        node.name
        for file in sorted((repo_root / "tests/faults").glob("test_node_*.py"))
        for node in ast.parse(file.read_text(encoding="utf-8")).body
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    ]
    assert [name for name in names if f"::{name}`" not in text] == []
