# SPDX-License-Identifier: Apache-2.0
"""Which bags a fleet has, and what of it is done."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offroad_seg.errors import BagError, InputError
from offroad_seg.replay.fleet import InProcess, jobs_of, prepare, run_all

_PART = st.text("ab._", min_size=1, max_size=3).filter(lambda t: set(t) != {"."})


def test_a_bag_has_its_own_name_and_as_much_of_its_path_as_is_needed(tmp_path):
    bags = [Path("/x/2024/run.mcap"), Path("/x/2025/run.mcap"), Path("/x/2025/rosbag2_folder.d")]
    jobs = jobs_of(bags, tmp_path)
    assert {j.name: j.bag for j in jobs} == {
        "2024_run": bags[0], "2025_run": bags[1], "2025_rosbag2_folder.d": bags[2],
    }  # fmt: skip
    assert [j.name for j in jobs_of(bags[1:], tmp_path)] == ["rosbag2_folder.d", "run"]
    assert jobs[0].out == tmp_path / "bags" / jobs[0].name


@given(st.lists(st.lists(_PART, min_size=1, max_size=3), min_size=1, max_size=5))
def test_no_two_bags_share_a_folder(paths):
    bags = [Path("/", *parts).with_name(parts[-1] + ".mcap") for parts in paths]
    if len(set(bags)) < len(bags):
        with pytest.raises(InputError, match="twice"):
            jobs_of(bags, Path("/out"))
        return
    jobs = jobs_of(bags, Path("/out"))
    assert len({j.out for j in jobs}) == len(bags)
    assert all(j.out.parent == Path("/out/bags") for j in jobs)
    assert {j.bag for j in jobs} == {b.resolve() for b in bags}


def test_errors_are_outcomes_and_what_is_done_is_not_done_again(tmp_path):
    asked = []

    def work(bag, out):
        asked.append(bag.stem)
        if bag.stem == "bad":
            raise BagError("it is broken", where=str(bag), mend="none")
        if bag.stem == "full":
            raise OSError(28, "No space left on device")

    jobs = jobs_of([Path(f"/x/{n}.mcap") for n in ("bad", "done", "fine", "full")], tmp_path)
    done = next(j for j in jobs if j.name == "done")
    done.out.mkdir(parents=True)
    (done.out / "metrics.json").touch()
    outcomes = {o.name: o for o in run_all(jobs, InProcess(work))}
    assert asked == ["bad", "fine", "full"]
    assert outcomes["done"].kept
    assert "it is broken; where: /x/bad.mcap" in outcomes["bad"].error
    assert "No space left" in outcomes["full"].error
    assert outcomes["fine"].error == ""


def test_an_error_of_the_program_is_not_hidden(tmp_path):
    def work(bag, out):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        list(run_all(jobs_of([Path("/x/a.mcap")], tmp_path), InProcess(work)))


def test_going_on_needs_the_same_command(tmp_path):
    out = tmp_path / "out"
    prepare(out, {"bundle": "1", "bags": {"a": "/a"}}, resume=False, overwrite=False)
    (out / "bags").mkdir()
    prepare(out, {"bundle": "1", "bags": {"a": "/a"}}, resume=True, overwrite=False)
    assert (out / "bags").is_dir()
    with pytest.raises(InputError, match="another bundle"):
        prepare(out, {"bundle": "2", "bags": {"a": "/a"}}, resume=True, overwrite=False)
    with pytest.raises(InputError, match="not empty"):
        prepare(out, {"bundle": "1", "bags": {"a": "/a"}}, resume=False, overwrite=False)
    (out / "fleet.json").write_text("{")
    with pytest.raises(InputError, match="another"):
        prepare(out, {"bundle": "1", "bags": {"a": "/a"}}, resume=True, overwrite=False)
    prepare(out, {"bundle": "2", "bags": {"a": "/a"}}, resume=False, overwrite=True)
    assert not (out / "bags").exists()
