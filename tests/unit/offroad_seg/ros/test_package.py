# SPDX-License-Identifier: Apache-2.0
"""The ament package says the same as pyproject.toml."""

from __future__ import annotations

import re
from xml.etree import ElementTree as ET

import offroad_seg

PACKAGE = "ros2_ws/src/offroad_seg"


def test_versions_agree(repo_root):
    manifest = ET.parse(repo_root / PACKAGE / "package.xml").getroot()
    assert manifest.findtext("version") == offroad_seg.__version__
    assert manifest.findtext("name") == "offroad_seg"
    assert f'version = "{offroad_seg.__version__}"' in (repo_root / "pyproject.toml").read_text()


def test_runtime_commands_agree(repo_root):
    def runtime_commands(text):
        return set(re.findall(r'(\w+) = "?(offroad_seg\.cli\.\w+:COMMAND)', text))

    ours = runtime_commands((repo_root / PACKAGE / "setup.py").read_text())
    assert len(ours) >= 4
    assert ours == runtime_commands((repo_root / "pyproject.toml").read_text())
