# SPDX-License-Identifier: Apache-2.0
"""The command line as a user meets it: in a process of its own."""

from __future__ import annotations

import subprocess
import sys

import pytest

from offroad_seg.cli.main import build_parser, find_commands, load_command, main

COMMANDS = ["compile", "demo", "doctor", "evaluate", "export", "node", "predict", "replay", "synth", "train"]
pytest.importorskip(
    "offroad_seg_train", reason="the trainer is not installed here: its commands are not there"
)


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "offroad_seg.cli.main", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


def test_every_command_is_found_and_loads():
    points = find_commands()
    assert sorted(points) == COMMANDS
    for name, point in points.items():
        command = load_command(point)
        assert command is not None
        assert command.name == name
        assert command.help


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself(name, capsys):
    with pytest.raises(SystemExit) as stop:
        main([name, "--help"])
    assert stop.value.code == 0
    text = capsys.readouterr().out
    assert name in text
    for action in build_parser(only=name)._subparsers._group_actions[0].choices[name]._actions:
        assert action.help, f"{name} {action.option_strings or action.dest} has no help"


def test_help_is_light():
    # A stack of torch, rclpy and Lightning takes seconds to import: help must not.
    code = (
        "import sys\nfrom offroad_seg.cli.main import build_parser\nbuild_parser().format_help()\n"
        "print(sorted({'torch', 'rclpy', 'lightning', 'onnxruntime', 'trimesh'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "[]", done.stdout + done.stderr


def test_bad_usage_exits_2():
    assert run("no-such-command").returncode == 2
    assert run().returncode == 2


def test_an_input_error_says_what_where_and_mend_and_exits_2(tmp_path):
    done = run("replay", str(tmp_path / "nowhere"), str(tmp_path / "no.mcap"), "--out", str(tmp_path / "out"))
    assert done.returncode == 2
    assert "error: there is no such bundle" in done.stderr
    assert "where:" in done.stderr
    assert "mend: offroad-seg export" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()


def test_version():
    done = run("--version")
    assert done.returncode == 0
    assert done.stdout.startswith("offroad-seg 0.")
