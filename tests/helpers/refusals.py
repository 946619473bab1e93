# SPDX-License-Identifier: Apache-2.0
"""A command that must be refused, and the small bundles that it is given; tests/integration/conftest.py hands them out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from offroad_seg.cli.main import main
from offroad_seg.compile.compiler import CompileOptions, compile_bundle
from offroad_seg.ontology import load_ontology
from tests.helpers.bundles import make_color_bundle

if TYPE_CHECKING:
    from pathlib import Path

    from offroad_seg.bundle import Bundle

DESERT = load_ontology("duality_desert")
HEIGHT, WIDTH = 18, 32


class Refused:
    """Runs a command that must be refused; returns what it said."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def __call__(self, *words: object, status: int = 2) -> str:
        self._capsys.readouterr()
        assert main([str(w) for w in words]) == status
        said = self._capsys.readouterr().err
        assert "error: " in said
        assert "Traceback" not in said
        return said


@pytest.fixture
def portable(tmp_path: Path) -> Bundle:
    return make_color_bundle(tmp_path / "portable", DESERT, HEIGHT, WIDTH)


@pytest.fixture
def engine(tmp_path: Path, portable: Bundle) -> Bundle:
    return compile_bundle(portable, tmp_path / "engine", CompileOptions("onnxruntime"))


@pytest.fixture
def refused(capsys: pytest.CaptureFixture[str]) -> Refused:
    return Refused(capsys)
