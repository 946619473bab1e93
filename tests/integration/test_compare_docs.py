# SPDX-License-Identifier: Apache-2.0
"""The commands of ``docs/compare.md``, ``docs/fleet.md`` and ``docs/replay.md``, run word for word."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from offroad_seg.cli.main import main
from offroad_seg.ontology import load_ontology
from tests.helpers.bags import write_bag
from tests.helpers.bundles import make_color_bundle
from tests.helpers.camera_bags import write_two_cameras

pytestmark = pytest.mark.parallel

# What each command ends with where that is not 0: the old engine of this test is the better one.
EXPECTED = {"per_class.Rocks.iou drop>5% certain": 1, "miou drop>1%": 1}


def commands(page):
    blocks = re.findall(r"^```(\w*)\n(.*?)^```$", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    return [line for language, block in blocks if not language for line in block.splitlines()]


def globbed(pattern):
    return sorted(str(path) for path in Path().glob(pattern))


@pytest.fixture
def folder(tmp_path, monkeypatch):
    ontology = load_ontology("duality_desert")
    size = {"height": 60, "width": 96}
    make_color_bundle(tmp_path / "bundles" / "old", ontology, 60, 96)
    make_color_bundle(tmp_path / "bundles" / "new", ontology, 60, 96, mistaken={"Rocks": (0, 0, 0)})
    for bag in ("drive", "bags/one", "bags/two"):
        write_bag(tmp_path / f"{bag}.mcap", ontology, frames=12, noise=20, **size)
    for name, made in (("BUNDLE", "old"), ("OTHER_BUNDLE", "new")):
        (tmp_path / name).symlink_to(tmp_path / "bundles" / made)
    write_two_cameras(tmp_path / "drive", ontology, frames=4, **size)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("name", ["compare", "fleet", "replay"])
def test_every_command_runs(folder, repo_root, name, capsys):
    if name == "fleet":
        pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    lines = commands(repo_root / "docs" / f"{name}.md")
    assert len(lines) >= 3
    for line in lines:
        program, *words = shlex.split(line)
        assert program == "offroad-seg"
        # test_fleet starts a cluster, test_replay_via_ros a node, test_replay_resume breaks a replay off.
        if (
            words[0] == "synth"
            or {"--ray-address", "--via-ros"} & {*words}
            or (name, words[-1]) == ("replay", "--resume")
        ):
            continue
        words = [w for word in words for w in (globbed(word) if "*" in word else [word])]
        expected = next((status for text, status in EXPECTED.items() if text in line), 0)
        assert main(words) == expected, (line, capsys.readouterr())
