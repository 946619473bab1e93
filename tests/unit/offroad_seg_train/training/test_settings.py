# SPDX-License-Identifier: Apache-2.0
"""The list of settings in the docs is that of the dataclasses, word for word."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from offroad_seg_train.training.config import TrainConfig
from offroad_seg_train.training.recipe import load_recipe
from offroad_seg_train.training.settings import insert, sections, settings_of


def test_the_page_lists_every_setting_as_the_code_has_it(repo_root: Path) -> None:
    page = (repo_root / "docs" / "train.md").read_text(encoding="utf-8")
    assert insert(page) == page, "python -m offroad_seg_train.training.settings docs/train.md mends the page"


def test_every_setting_has_a_meaning_and_a_section() -> None:
    listed = [one for settings in sections().values() for one in settings]
    assert len(listed) == len(list(settings_of(TrainConfig))) > 90
    assert all(one.meaning for one in listed)
    assert "" in sections()
    assert {"data", "model", "loss", "optimizer", "schedule", "ema", "phases"} <= sections().keys()


def test_listed_defaults_are_those_of_an_empty_recipe(tmp_path: Path) -> None:
    (tmp_path / "empty.yaml").write_text("name: custom\n")
    words = [
        f"{one.key}={one.default}"
        for settings in sections().values()
        for one in settings
        if not one.key.startswith("phases.N")
    ]
    assert load_recipe(tmp_path / "empty.yaml", words) == TrainConfig()


def test_settings_that_the_page_uses_exist(repo_root: Path) -> None:
    page = (repo_root / "docs" / "train.md").read_text(encoding="utf-8")
    known = {one.key for settings in sections().values() for one in settings}
    prose, _, _ = page.partition("## All settings")
    used = set(re.findall(r"\b([a-z_]+(?:\.[a-z_0-9]+)*)=", prose)) - {"key"}
    assert used, "the page shows how settings are given"
    unknown = {key for key in used if re.sub(r"^phases\.\d+", "phases.N", key) not in known}
    assert not unknown


def test_a_page_without_marks_is_refused() -> None:
    with pytest.raises(ValueError, match="marks|has no"):
        insert("# Nothing here\n")
