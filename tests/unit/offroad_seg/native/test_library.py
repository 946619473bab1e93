# SPDX-License-Identifier: Apache-2.0
"""The compiled kernels: found, refused where they do not fit, and memory-safe."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from offroad_seg.native import library
from offroad_seg.native.library import (
    SWITCH,
    address,
    enabled,
    find,
    fingerprint,
    function,
    pointer,
    room,
    want,
)
from tests.helpers.native import kernels

FOLDER = Path(library.__file__).parent


@pytest.fixture
def fresh(monkeypatch):
    """Look for the library anew, and forget what was found."""
    before = want(True)
    find.cache_clear()
    yield monkeypatch
    monkeypatch.undo()
    find.cache_clear()
    want(before)


def test_kernels_are_there_where_a_compiler_is():
    """Without them everything works, slower; but an installation that lost them by mistake is found here."""
    if find()[0] is None and shutil.which("cc") is None:
        pytest.skip("no C compiler, and so no kernels")
    assert find()[0] is not None, find()[1]
    assert find()[1].startswith("_kernels.")


def test_the_switch_leaves_them_out():
    if find()[0] is None:
        pytest.skip(find()[1])
    asked = "from offroad_seg.native.library import function; print(function('overlay_rows', 'ppipppppii') is None)"
    for value, left_out in (("0", "True"), ("1", "False")):
        found = subprocess.run(
            [sys.executable, "-c", asked],
            env={**os.environ, SWITCH: value},
            capture_output=True,
            text=True,
            check=True,
        )
        assert found.stdout.strip() == left_out
    with kernels(False):
        assert not enabled()
        assert function("overlay_rows", "ppipppppii") is None
    with kernels(True):
        assert function("overlay_rows", "ppipppppii") is not None


def test_a_library_of_other_sources_is_refused(fresh, tmp_path):
    """A checkout whose sources changed after the installation: calling the old kernels would write anywhere."""
    if find()[0] is None:
        pytest.skip(find()[1])
    for path in FOLDER.iterdir():
        if path.suffix in (".c", ".h", ".so"):
            shutil.copy(path, tmp_path / path.name)
    fresh.setattr(library, "_FOLDER", tmp_path)
    find.cache_clear()
    assert find()[0] is not None
    with (tmp_path / "common.h").open("a") as file:
        file.write("/* changed */\n")
    find.cache_clear()
    assert find()[0] is None
    assert "other sources" in find()[1]
    assert not enabled()


def test_a_broken_library_is_said(fresh, tmp_path):
    from importlib.machinery import EXTENSION_SUFFIXES

    (tmp_path / f"_kernels{EXTENSION_SUFFIXES[0]}").write_bytes(b"\x7fELF and nothing behind")
    fresh.setattr(library, "_FOLDER", tmp_path)
    find.cache_clear()
    assert find()[0] is None
    assert "cannot be loaded" in find()[1]


def test_no_library_is_said(fresh, tmp_path):
    fresh.setattr(library, "_FOLDER", tmp_path)
    find.cache_clear()
    assert find()[0] is None
    assert "not compiled" in find()[1]


@pytest.mark.parametrize(
    "wrong",
    [np.zeros((4, 6), np.float64), np.zeros((4, 6), np.float32)[:, ::2], np.zeros((4, 5), np.float32)],
    ids=["type", "strides", "shape"],
)
def test_arrays_are_looked_at(wrong):
    assert pointer(np.zeros((4, 6), np.float32), np.float32, (4, 6)) > 0
    with pytest.raises(ValueError, match="a kernel wants float32"):
        pointer(wrong, np.float32, (4, 6))
    if wrong.flags.c_contiguous:
        # Once known for what it is, it is refused as before.
        pointer(wrong, wrong.dtype.type, wrong.shape)
        with pytest.raises(ValueError, match="a kernel wants float32"):
            pointer(wrong, np.float32, (4, 6))


def test_addresses_are_remembered_for_the_array_alone():
    """An array that lives where a dead one did has its own address."""
    for n in range(3000):
        array = np.zeros(n % 50 + 1, np.float32)
        assert pointer(array, np.float32) == pointer(array, np.float32) == array.ctypes.data
    kept = np.zeros(8, np.int64)
    assert pointer(kept[3:], np.int64) == kept.ctypes.data + 24


def test_the_build_writes_the_fingerprint_that_is_asked_for():
    build = FOLDER.parent.parent / "native_build.py"
    if not build.is_file():
        pytest.skip("installed without the build script")
    found = subprocess.run(
        [sys.executable, "-c", "import native_build; print(native_build.fingerprint())"],
        cwd=build.parent, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert found.stdout.strip() == fingerprint(FOLDER)


def compiled(to: Path, *flags: str) -> None:
    """The kernels' sources as one library, with some flags."""
    subprocess.run(
        [
            *(
                "gcc",
                "-std=c99",
                "-shared",
                "-fPIC",
                "-ffp-contract=off",
                "-fno-math-errno",
                "-fno-trapping-math",
            ),
            *(*flags, f'-DOFFROAD_SEG_SOURCES="{fingerprint(FOLDER)}"'),
            *(*map(str, sorted(FOLDER.glob("*.c"))), "-lm", "-o", str(to)),
        ],
        check=True,
    )


def check_twins(kernels_from: Path, **surroundings: str) -> None:
    """All tests that hold kernels against numpy, with those of another library."""
    found = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", str(Path(__file__).parent),
         "--deselect", f"{Path(__file__)}", "-k", "twin"],
        env={**os.environ, **surroundings, "OFFROAD_SEG_KERNELS": str(kernels_from)},
        cwd=Path(__file__).parents[4], capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert found.returncode == 0, found.stdout[-4000:] + found.stderr[-4000:]
    assert " passed" in found.stdout


@pytest.mark.slow
@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="AVX2 is x86's")
def test_a_processor_without_avx2_sees_the_same(tmp_path):
    """What is written for AVX2 by hand has a twin for all others, which no processor of today would run."""
    if shutil.which("gcc") is None:
        pytest.skip("no gcc")
    compiled(tmp_path / "plain.so", "-O2", "-DOFFROAD_SEG_NO_AVX2")
    symbols = subprocess.run(["nm", str(tmp_path / "plain.so")], capture_output=True, text=True, check=True)
    assert "fused_row" not in symbols.stdout
    check_twins(tmp_path / "plain.so")


@pytest.mark.slow
def test_kernels_stay_within_their_arrays(tmp_path):
    """All tests that hold kernels against numpy, with every access watched by the compiler's sanitizers."""
    compiler = shutil.which("gcc")
    if compiler is None:
        pytest.skip("no gcc")
    # The sanitizer looks for C++'s exceptions at the start, and OpenCV throws some: their library must be there by then.
    preloaded = [
        subprocess.run(
            [compiler, f"-print-file-name={name}"], capture_output=True, text=True, check=True
        ).stdout.strip()
        for name in ("libasan.so", "libstdc++.so.6")
    ]
    if not all(Path(name).is_file() for name in preloaded):
        pytest.skip(f"gcc has no address sanitizer here: {preloaded}")
    watched = tmp_path / "watched.so"
    compiled(watched, "-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
    # Arrays of numpy's come from malloc, which the sanitizer fences; detecting leaks would find Python's own.
    check_twins(
        watched,
        LD_PRELOAD=" ".join(preloaded),
        ASAN_OPTIONS="detect_leaks=0:abort_on_error=1",
        PYTHONMALLOC="malloc",
    )


def _read_only():
    array = np.zeros((3, 5), np.uint8)
    array.flags.writeable = False
    return array


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((3, 5), np.float32),
        np.zeros((6, 5), np.uint8)[2:],
        np.zeros((3, 9, 3), np.uint8)[:, 2:7],
        np.zeros((3, 5), np.uint8)[::-1],
        np.zeros((4, 2), [("x", "<f4"), ("label", "u1")]),
        np.zeros((0, 5), np.uint8),
        np.frombuffer(bytes(15), np.uint8),
        _read_only(),
    ],
    ids=["whole", "rows", "columns", "backwards", "points", "empty", "bytes", "read-only"],
)
def test_an_address_is_what_numpy_says(array):
    assert address(array) == array.ctypes.data


def test_room_is_kept_for_each_thread_and_size():
    mine, larger = room(1000), room(1001)
    assert room(1000) == mine != larger
    found = []
    thread = threading.Thread(target=lambda: found.append(room(1000)))
    thread.start()
    thread.join()
    assert found[0] != mine
    for size in range(1, 100):
        room(size)
    assert len(library._room.kept) <= library._MOST_ROOMS
