# SPDX-License-Identifier: Apache-2.0
"""The command line as a user meets it: in a process of its own."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec

import pytest

from offroad_seg.cli.main import build_parser, find_commands, load_command, main

RUNTIME = {"bench", "compare", "compile", "doctor", "inspect", "node", "replay", "view"}
TRAINER = {
    "audit", "demo", "evaluate", "export", "lr-find", "predict", "prepare", "sweep", "synth", "train",
}  # fmt: skip
# On a vehicle the trainer is not installed, and its commands are simply not there.
COMMANDS = sorted(RUNTIME | TRAINER if find_spec("lightning") else RUNTIME)


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "offroad_seg.cli.main", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=150)


def test_what_is_installed_is_found(tmp_path):
    # Elsewhere than in the repository, whose own metadata would be found too.
    code = "from offroad_seg.cli.main import find_commands; print(*sorted(find_commands()))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, timeout=150
    )
    assert done.stdout.split() == COMMANDS, done.stderr


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_loads(name):
    command = load_command(find_commands()[name])
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
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=150)
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
