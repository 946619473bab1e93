# SPDX-License-Identifier: Apache-2.0
"""``--overwrite`` with the wrong folder: no command ever deletes what it reads."""

from __future__ import annotations

from pathlib import Path

import pytest

from offroad_seg.cli.main import main
from tests.helpers.checkpoints import write_checkpoint
from tests.helpers.datasets import write_duality

pytestmark = pytest.mark.parallel

SMALL = ["data.height=32", "data.width=48", "data.workers=0", "device=cpu", "model.width=8"]
# DATA is the data folder, MODEL a checkpoint beside it; the results would go to the folder around both, or to one.
COMMANDS = {
    "audit": ["audit", "DATA"],
    "evaluate": ["evaluate", "MODEL", "--data", "DATA"],
    "export": ["export", "MODEL", "--calibrate", "DATA"],
    "lr-find": ["lr-find", "--config", "tiny", "--data", "DATA", *SMALL],
    "predict": ["predict", "MODEL", "DATA/train/Color_Images"],
    "sweep": ["sweep", "--config", "tiny", "--data", "DATA", "--trials", "1", "loss.dice=0:1", *SMALL],
    "train": ["train", "--config", "tiny", "--data", "DATA", *SMALL],
    "compile": ["compile", "MODEL", "--images", "OTHER"],
    "compile, its images": ["compile", "OTHER", "--images", "DATA"],
    "compile, its calibration": ["compile", "OTHER", "--precision", "int8", "--calibration", "DATA"],
    "bench": ["bench", "OTHER", "--images", "DATA"],
    "replay": ["replay", "OTHER", "MODEL"],
    "replay, several": ["replay", "OTHER", "OTHER/a.mcap", "MODEL"],
    "replay, the bundle": ["replay", "DATA", "OTHER/a.mcap"],
    "replay, true masks": ["replay", "OTHER", "OTHER/a.mcap", "--truth", "DATA"],
    "compare": ["compare", "OTHER", "DATA"],
    "compare, the bag": ["compare", "BUNDLE", "BUNDLE", "--bag", "MODEL"],
    "train, by init_from": ["train", "--config", "tiny", "--data", "OTHER", "init_from=MODEL", *SMALL],
}


@pytest.mark.parametrize("words", COMMANDS.values(), ids=COMMANDS)
def test_results_never_replace_their_source(
    words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = tmp_path / "place"
    write_duality(place / "data")
    write_duality(tmp_path / "other")
    model = write_checkpoint(place / "best.ckpt")
    bundle = tmp_path / "bundle"
    bundle.mkdir()
    (bundle / "manifest.json").write_text("{}")
    places = {"DATA": place / "data", "OTHER": tmp_path / "other", "MODEL": model, "BUNDLE": bundle}
    names = {name: str(path) for name, path in places.items()}
    for name, path in names.items():
        words = [word.replace(name, path) for word in words]
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert main([*words, "--out", str(place), "--overwrite"]) == 2
    said = capsys.readouterr().err
    assert "the results would replace their source" in said
    assert "Traceback" not in said
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
