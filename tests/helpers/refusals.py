# SPDX-License-Identifier: Apache-2.0
"""A command that must be refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

from offroad_seg.cli.main import main

if TYPE_CHECKING:
    import pytest


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
