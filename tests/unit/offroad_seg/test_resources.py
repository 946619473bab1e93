# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest

from offroad_seg import resources
from offroad_seg.errors import InputError


def test_shipped_files_are_found(repo_root):
    assert resources.find("config/ontologies/duality_desert.yaml").is_file()


def test_the_override_comes_first(tmp_path, monkeypatch):
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "x.yaml").write_text("mine")
    monkeypatch.setenv("OFFROAD_SEG_SHARE", str(tmp_path))
    assert resources.find("config/x.yaml").read_text() == "mine"


def test_ament_prefixes_are_searched(tmp_path, monkeypatch):
    share = tmp_path / "share" / "offroad_seg"
    share.mkdir(parents=True)
    (share / "only_here.txt").write_text("x")
    monkeypatch.setenv("AMENT_PREFIX_PATH", f"{tmp_path / 'none'}:{tmp_path}")
    assert resources.find("only_here.txt") == share / "only_here.txt"


def test_a_missing_file_says_where_it_was_sought():
    with pytest.raises(InputError, match="share/offroad_seg"):
        resources.find("no/such/file")


def test_a_full_folder_is_refused_and_overwrite_empties_it(tmp_path):
    out = tmp_path / "out"
    resources.prepare_output(out, overwrite=False)
    (out / "old.txt").write_text("old")
    with pytest.raises(InputError, match="not empty"):
        resources.prepare_output(out, overwrite=False)
    assert (out / "old.txt").exists()
    resources.prepare_output(out, overwrite=True)
    assert list(out.iterdir()) == []


def test_a_repository_or_the_working_folder_is_never_emptied(tmp_path, monkeypatch):
    repository = tmp_path / "repo"
    (repository / ".git").mkdir(parents=True)
    with pytest.raises(InputError, match="will not be replaced"):
        resources.prepare_output(repository, overwrite=True)
    here = tmp_path / "here"
    here.mkdir()
    (here / "x").write_text("x")
    monkeypatch.chdir(here)
    with pytest.raises(InputError, match="will not be replaced"):
        resources.prepare_output(here, overwrite=True)


def test_a_file_in_the_way_is_refused(tmp_path):
    (tmp_path / "out").write_text("x")
    with pytest.raises(InputError, match="is a file"):
        resources.prepare_output(tmp_path / "out", overwrite=True)


def test_a_folder_is_replaced_whole_or_not_at_all(tmp_path):
    out = tmp_path / "out"
    with resources.replacing_folder(out, overwrite=False) as folder:
        (folder / "a").write_text("1")
    with pytest.raises(RuntimeError), resources.replacing_folder(out, overwrite=True) as folder:
        (folder / "a").write_text("2")
        raise RuntimeError
    assert (out / "a").read_text() == "1"
    with resources.replacing_folder(out, overwrite=True) as folder:
        (folder / "b").write_text("3")
    assert [p.name for p in out.iterdir()] == ["b"]
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path):
    path = tmp_path / "x.json"
    resources.write_text(path, "first")
    with pytest.raises(RuntimeError), resources.replacing_file(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert path.read_text() == "first"
    assert [p.name for p in tmp_path.iterdir()] == ["x.json"]


def test_a_folder_that_holds_its_own_source_is_never_replaced(tmp_path):
    data = tmp_path / "data" / "images"
    data.mkdir(parents=True)
    (tmp_path / "link").symlink_to(data)
    for out in (data, tmp_path / "data", tmp_path, tmp_path / "link", data / ".." / "images"):
        with pytest.raises(InputError, match="would replace their source") as caught:
            resources.keep_sources(out, None, str(data))
        assert str(data) in caught.value.where
    resources.keep_sources(data / "results", data)
    resources.keep_sources(tmp_path / "data2", data)
