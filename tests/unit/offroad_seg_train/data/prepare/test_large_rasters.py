# SPDX-License-Identifier: Apache-2.0
"""Orthophotos: one large raster is decoded at a time, images by the rows of a tile, and the tiles are the same."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from offroad_seg.compile.images import read_image
from offroad_seg.ontology import load_ontology
from offroad_seg_train.data import checks, reading, threads
from offroad_seg_train.data.prepare import PrepareOptions, prepare, writing
from offroad_seg_train.data.tiff import TiffSource
from offroad_seg_train.data.tiling import Tile, assemble

POTSDAM = load_ontology("potsdam")
TILES = ("2_10", "2_11", "6_7", "2_13")
MEMORY_MB = 130
"""For one raster of 12 MB while it is decoded: its file, the picture, its colours and ids, and strips of working memory."""


def write_rasters(root: Path, side: int, compression: str | None = "tiff_lzw") -> None:
    """Orthophotos in the contest's layout: large patches, so that they are soon written."""
    colors = np.array([c.palette[0] for c in POTSDAM.classes], np.uint8)
    for number, tile in enumerate(TILES):
        small = np.random.default_rng(number).integers(0, len(colors), (8, 8))
        ids = np.kron(small, np.ones((-(-side // 8), -(-side // 8)), int))[:side, : side - 7]
        for folder, kind, picture in (
            ("2_Ortho_RGB", "RGB", colors[ids] // 2 + 40),
            ("5_Labels_all", "label", colors[ids]),
        ):
            path = root / folder / f"top_potsdam_{tile}_{kind}.tif"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(picture).save(path, compression=compression)


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many masks are being decoded at once, at every moment that one is; four threads, whatever the machine."""
    seen: list[int] = []
    now, lock, real = [0], threading.Lock(), reading.read_mask

    def read_mask(path: Path, *, colors: bool = False) -> np.ndarray:
        with lock:
            now[0] += 1
            seen.append(now[0])
        time.sleep(0.05)
        try:
            return real(path, colors=colors)
        finally:
            with lock:
                now[0] -= 1

    monkeypatch.setattr(threads.os, "cpu_count", lambda: 4)
    for module in (checks, writing):
        monkeypatch.setattr(module, "read_mask", read_mask)
    return seen


@pytest.mark.parametrize(("large", "most"), [(1000, 1), (1 << 30, 4)])
def test_large_masks_are_decoded_one_at_a_time_and_small_ones_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, watched: list[int], large: int, most: int
) -> None:
    monkeypatch.setattr(reading, "LARGE_PIXELS", large)
    write_rasters(tmp_path / "data", 160)
    prepare(PrepareOptions([tmp_path / "data"], tmp_path / "out", tile=(64, 64)), show=False)
    assert len(watched) == 2 * len(TILES)
    assert max(watched) == 1 if most == 1 else max(watched) > 1


def test_images_are_read_by_the_rows_of_a_tile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    windows: list[int] = []
    real = TiffSource.read

    def read(self: TiffSource, top: int, bottom: int, left: int, right: int) -> np.ndarray:
        windows.append((bottom - top) * (right - left))
        return real(self, top, bottom, left, right)

    monkeypatch.setattr(TiffSource, "read", read)
    write_rasters(tmp_path / "data", 160)
    prepare(PrepareOptions([tmp_path / "data"], tmp_path / "out", tile=(64, 48), overlap=8), show=False)
    assert windows
    assert max(windows) == 64 * 48


@pytest.mark.parametrize("compression", [None, "tiff_lzw", "packbits"])
def test_the_tiles_make_the_raster_again(tmp_path: Path, compression: str | None) -> None:
    write_rasters(tmp_path / "data", 150, compression)
    prepare(PrepareOptions([tmp_path / "data"], tmp_path / "out", tile=(64, 64), overlap=10), show=False)
    for source in sorted((tmp_path / "data" / "2_Ortho_RGB").iterdir()):
        name = source.stem.removesuffix("_RGB")
        tiles = [
            (Tile(int(p.stem[1:6]), int(p.stem[8:13]), 64, 64), read_image(p))
            for p in sorted((tmp_path / "out").glob(f"*/images/**/{name}*/*.png"))
        ]
        assert np.array_equal(assemble(tiles, (150, 143)), read_image(source))


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc/self/status")
def test_memory_does_not_grow_with_the_number_of_threads(tmp_path: Path) -> None:
    write_rasters(tmp_path / "data", 2000, None)
    write_rasters(tmp_path / "small", 100)
    code = f"""
import os, re, sys
os.cpu_count = lambda: 4
from pathlib import Path
from offroad_seg_train.data import reading
from offroad_seg_train.data.prepare import PrepareOptions, prepare
reading.LARGE_PIXELS = int(sys.argv[1])
# Not getrusage: its peak is inherited from the process that started this one.
peak = lambda: int(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]) / 1024
prepare(PrepareOptions([Path({str(tmp_path / "small")!r})], Path(sys.argv[2] + "s"), tile=(64, 64)), show=False)
base = peak()
prepare(PrepareOptions([Path({str(tmp_path / "data")!r})], Path(sys.argv[2]), tile=(500, 500)), show=False)
print(peak() - base)
"""
    # One arena: what the allocator keeps for each thread is not what prepare holds.
    grown = []
    for number, large in enumerate((1 << 20, 1 << 30)):
        done = subprocess.run(
            [sys.executable, "-c", code, str(large), str(tmp_path / f"out{number}")],
            capture_output=True, text=True, env=os.environ | {"MALLOC_ARENA_MAX": "1"}, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        grown.append(float(done.stdout.split()[-1]))
    assert grown[0] < MEMORY_MB
    assert grown[0] < 0.6 * grown[1]


def test_a_file_that_is_no_picture_is_not_large(tmp_path: Path) -> None:
    path = tmp_path / "x.tif"
    path.write_bytes(b"II*\0nonsense")
    assert not reading.is_large(path)
    assert not reading.is_large(tmp_path / "missing.png")
