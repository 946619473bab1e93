# SPDX-License-Identifier: Apache-2.0
"""The doctor on this machine as it is, and with libraries that are broken or not there."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from offroad_seg.cli.doctor import as_json, as_text, works
from offroad_seg.cli.doctor_checks import BROKEN, MISSING, NOTE, OK, Check, commands, machine, packages
from offroad_seg.cli.doctor_probes import PROBES, probe


def test_this_machine_s_runtime_is_found_with_its_versions():
    import numpy as np

    found = {c.name: c for c in packages()}
    assert found["numpy"].state == OK
    assert found["numpy"].detail == np.__version__
    assert {c.name for c in machine()} >= {"Python", "system", "NVIDIA GPU"}
    assert "replay" in {c.name: c for c in commands()}["found"].detail


def test_onnxruntime_really_runs_a_network():
    answer = probe("onnxruntime")
    assert "error" not in answer, answer
    assert "CPUExecutionProvider" in answer["providers"]


def test_an_unknown_probe_answers_with_an_error_and_not_with_a_trace():
    assert "error" in probe("nothing_of_the_kind")


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("raise ImportError('libcudart.so.13: cannot open shared object file')", "libcudart.so.13"),
        ("import os; os._exit(139)", "status 139"),
        ("__version__ = '0.0'", "error"),
    ],
)
def test_a_broken_library_is_named_and_the_doctor_lives(tmp_path, monkeypatch, code, words):
    """A real child process whose onnxruntime is broken in one way or another."""
    (tmp_path / "onnxruntime.py").write_text(code)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    answer = probe("onnxruntime")
    assert "error" in answer
    assert words in str(answer)


def test_the_command_gives_json_and_status_0(tmp_path):
    # Without torch and rclpy, as on a small machine: only what is looked for differs, and it is quick.
    (tmp_path / "sitecustomize.py").write_text(
        "import importlib.util as util\nfound = util.find_spec\n"
        "util.find_spec = lambda name, package=None: None if name in ('torch', 'rclpy') else found(name, package)\n"
    )
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}
    command = [sys.executable, "-m", "offroad_seg.cli.main", "doctor", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=250, env=environment)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    states = {(c["section"], c["name"]): c for c in told["checks"]}
    assert states["Engines", "torch"]["state"] == MISSING
    assert "pip install" in states["Engines", "torch"]["mend"]
    assert states["ROS 2", "rclpy"]["state"] == MISSING
    assert states["Engines", "onnxruntime"]["state"] == OK
    assert told["works"] == {"replay": True, "node": False, "train": False}


def checks(**states: str) -> list[Check]:
    places = {
        "numpy": "Runtime", "rosbags": "Replay", "onnxruntime": "Engines", "torch": "Engines", "rclpy": "ROS 2",
        "messages": "ROS 2", "images over DDS": "ROS 2", "trainer": "Commands",
    }  # fmt: skip
    given = dict.fromkeys(places, OK) | {name.replace("_", " "): state for name, state in states.items()}
    return [
        Check(places[name], name, state, f"about {name}", f"mend {name}") for name, state in given.items()
    ]


@pytest.mark.parametrize(
    ("states", "expected"),
    [
        ({}, {"replay": True, "node": True, "train": True}),
        ({"numpy": MISSING}, {"replay": False, "node": False, "train": True}),
        ({"rosbags": MISSING}, {"replay": False, "node": True, "train": True}),
        ({"onnxruntime": BROKEN}, {"replay": True, "node": True, "train": True}),
        ({"onnxruntime": BROKEN, "torch": MISSING}, {"replay": False, "node": False, "train": False}),
        ({"messages": MISSING}, {"replay": True, "node": False, "train": True}),
        ({"images_over_DDS": BROKEN}, {"replay": True, "node": False, "train": True}),
        ({"trainer": NOTE}, {"replay": True, "node": True, "train": False}),
    ],
)
def test_what_works_follows_from_what_is_there(states, expected):
    assert works(checks(**states)) == expected


def test_the_table_shows_every_finding_with_its_mend():
    found = checks(rclpy=MISSING)
    text = as_text(found, color=False)
    for check in found:
        assert check.detail in text
        assert f"→ {check.mend}" in text
    assert "✗ rclpy" in text
    assert "\033" not in text
    assert "\033[31m✗" in as_text(found, color=True)
    assert json.loads(as_json(found))["checks"][0]["name"] == "numpy"


@pytest.mark.slow
@pytest.mark.parametrize("name", [n for n in PROBES if n != "onnxruntime"])
def test_the_other_probes_work_where_their_library_is(name):
    pytest.importorskip({"torch": "torch", "ros": "rclpy"}[name])
    answer = probe(name)
    assert "error" not in answer, answer
    if name == "ros":
        assert answer["arrived"] >= answer["sent"] // 2
