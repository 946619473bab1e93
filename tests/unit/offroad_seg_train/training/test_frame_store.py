# SPDX-License-Identifier: Apache-2.0
"""Decoded frames are kept whole or not at all, and never outlive the files that they come from."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from offroad_seg.errors import DataError, InputError
from offroad_seg.image import Letterbox
from offroad_seg_train.data.dataset import build_dataset
from offroad_seg_train.training import frame_store
from offroad_seg_train.training import frames as frames_module
from offroad_seg_train.training.frame_store import (
    DiskStore,
    MemoryStore,
    default_folder,
    open_store,
    write_store,
)
from offroad_seg_train.training.frames import Frames

BOX = Letterbox(24, 40)


def pictures(n: int = 5) -> list[tuple[np.ndarray, np.ndarray]]:
    """Frames of different sizes."""
    rng = np.random.default_rng(0)
    sizes = [(8 + i, 20 - i) for i in range(n)]
    return [(rng.integers(0, 256, (*s, 3), np.uint8), rng.integers(0, 9, s).astype(np.uint8)) for s in sizes]


def same(store: MemoryStore | DiskStore, expected: list) -> bool:
    return len(store) == len(expected) and all(
        np.array_equal(store[i][0], image) and np.array_equal(store[i][1], labels)
        for i, (image, labels) in enumerate(expected)
    )


def test_both_stores_give_back_what_they_got(tmp_path: Path) -> None:
    memory = MemoryStore()
    for image, labels in pictures():
        memory.append(image, labels)
    disk = write_store(tmp_path / "name-state", iter(pictures()), 5)
    assert same(memory, pictures())
    assert same(disk, pictures())
    assert memory.nbytes == disk.nbytes == sum(labels.size * 4 for _, labels in pictures())
    assert same(pickle.loads(pickle.dumps(disk)), pictures())
    assert len(pickle.dumps(disk)) < 1000
    assert sorted(p.name for p in (tmp_path / "name-state").iterdir()) == ["frames.bin", "index.json"]


def test_a_large_frame_has_a_block_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frame_store, "_CHUNK", 1000)
    memory = MemoryStore()
    for image, labels in pictures():
        memory.append(image, labels)
    assert same(memory, pictures())


def test_an_interrupted_writing_leaves_nothing(tmp_path: Path) -> None:
    def breaks():
        yield from pictures(2)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_store(tmp_path / "name-state", breaks(), 5)
    assert [p.name for p in tmp_path.iterdir() if not p.name.endswith(".lock")] == []
    assert open_store(tmp_path / "name-state") is None


@pytest.mark.parametrize("damage", ["cut", "index", "format", "gone"])
def test_a_damaged_store_is_made_again(tmp_path: Path, damage: str, caplog: pytest.LogCaptureFixture) -> None:
    folder = write_store(tmp_path / "name-state", pictures(), 5).folder
    if damage == "cut":
        os.truncate(folder / "frames.bin", 100)
    elif damage == "index":
        (folder / "index.json").write_text("{")
    elif damage == "format":
        (folder / "index.json").write_text(
            (folder / "index.json").read_text().replace('"format": 1', '"format": 0')
        )
    else:
        (folder / "frames.bin").unlink()
    assert open_store(folder) is None
    assert "made again" in caplog.text
    assert same(write_store(folder, pictures(), 5), pictures())


def test_a_full_disk_is_said_before_it_is_filled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frame_store.shutil, "disk_usage", lambda _: SimpleNamespace(free=1000))
    with pytest.raises(DataError, match="GiB are free"):
        write_store(tmp_path / "name-state", pictures(), 10**9)
    assert not (tmp_path / "name-state").exists()


def test_a_disk_that_fills_up_meanwhile_is_named(tmp_path: Path) -> None:
    def breaks():
        yield from pictures(2)
        raise OSError(28, "No space left on device")

    with pytest.raises(DataError, match="the disk is full") as error:
        write_store(tmp_path / "name-state", breaks(), 5)
    assert "cache_dir" in error.value.mend
    assert not (tmp_path / "name-state").exists()


def write_slowly(folder: Path, made: multiprocessing.Queue[int]) -> None:
    def slow():
        for i, frame in enumerate(pictures()):
            made.put(i)
            yield frame

    write_store(folder, slow(), 5)


def test_of_two_processes_one_writes_and_the_other_takes_it(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    made = context.Queue()
    both = [context.Process(target=write_slowly, args=(tmp_path / "name-state", made)) for _ in range(2)]
    for process in both:
        process.start()
    for process in both:
        process.join(60)
        assert process.exitcode == 0
    assert sorted(made.get(timeout=5) for _ in range(5)) == [0, 1, 2, 3, 4]
    assert made.empty()
    assert same(DiskStore(tmp_path / "name-state"), pictures())


@pytest.fixture
def duality(frames: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four labelled pictures of 80×48 that may be changed."""
    root = tmp_path_factory.mktemp("copy")
    for folder in ("Color_Images", "Segmentation"):
        (root / folder).mkdir()
        for path in sorted((frames / folder).iterdir())[:4]:
            shutil.copy(path, root / folder)
    return root


def kept(data: Path, folder: Path, **changes: object) -> Frames:
    dataset = build_dataset("duality", data, None, changes.pop("box", BOX))
    arguments = {"cache": "disk", "cache_dir": folder, "show": False, **changes}
    return Frames(dataset, dataset.letterbox, 1.0, **arguments)


def stores(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir() if p.is_dir())


def test_a_later_run_reads_the_store_and_gets_the_same_pixels(
    duality: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = kept(duality, tmp_path / "cache")
    decoded = kept(duality, tmp_path / "cache", cache="none")
    assert not decoded.cached
    assert all(
        np.array_equal(a, b) for i in range(len(first)) for a, b in zip(first[i], decoded[i], strict=True)
    )
    monkeypatch.setattr(Frames, "_read", lambda *_: pytest.fail("decoded again"))
    again = kept(duality, tmp_path / "cache")
    assert again.cached
    assert again.nbytes == first.nbytes > 0
    assert np.array_equal(again[1][0], first[1][0])
    assert not again[1][0].flags.writeable


def test_other_settings_have_stores_of_their_own(duality: Path, tmp_path: Path) -> None:
    kept(duality, tmp_path)
    kept(duality, tmp_path, source_scale=0.0)
    kept(duality, tmp_path, box=Letterbox(32, 40))
    assert len(stores(tmp_path)) == 3


def test_a_changed_file_makes_a_new_store_and_removes_the_old_one(duality: Path, tmp_path: Path) -> None:
    old = kept(duality, tmp_path)[0][0].copy()
    (before,) = stores(tmp_path)
    image = sorted((duality / "Color_Images").iterdir())[0]
    other = sorted((duality / "Color_Images").iterdir())[1]
    image.write_bytes(other.read_bytes())
    new = kept(duality, tmp_path)[0][0]
    (after,) = stores(tmp_path)
    assert before != after
    assert before.split("-")[0] == after.split("-")[0]
    assert not np.array_equal(old, new)


def test_memory_that_is_not_there_is_refused(duality: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = build_dataset("duality", duality, None, BOX)
    assert Frames(dataset, BOX, 0.0, cache="memory", show=False).cached
    monkeypatch.setattr(frames_module, "_all_memory", lambda: 1000.0)
    with pytest.raises(InputError, match="of memory") as error:
        Frames(dataset, BOX, 0.0, cache="memory", show=False)
    assert "disk" in error.value.mend
    with pytest.raises(InputError, match="no cache 'ram'"):
        Frames(dataset, BOX, 0.0, cache="ram")


def test_the_user_s_cache_folder_is_where_the_system_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert default_folder() == Path("/somewhere/offroad_seg/frames")
