# SPDX-License-Identifier: Apache-2.0
"""The container: its file by the rules that matter, its scripts for real as far as a machine without Docker goes."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

dockerfile_parse = pytest.importorskip("dockerfile_parse", reason="dockerfile-parse is not installed")

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = sorted((ROOT / "docker").glob("*.sh"))
TARGETS = ("desktop", "jetson")


@pytest.fixture(scope="module")
def stages():
    """Stage name → its instructions, in order, as (word, value)."""
    path = ROOT / "Dockerfile"
    parser = dockerfile_parse.DockerfileParser(path=str(path), fileobj=None)
    found: dict[str, list[tuple[str, str]]] = {"": []}
    name = ""
    for step in parser.structure:
        word, value = step["instruction"], step["value"]
        if word == "COMMENT":
            continue
        if word == "FROM":
            name = value.split()[-1]
        found.setdefault(name, []).append((word, value))
    return found


def values(steps, word):
    return [value for instruction, value in steps if instruction == word]


def packages(script: str) -> set[str]:
    """What a script installs by apt."""
    text = (ROOT / "docker" / script).read_text().replace("\\\n", " ")
    lists = re.findall(r"apt-get install -y --no-install-recommends (.*)", text)
    return {word for line in lists for word in line.split()}


@pytest.mark.parametrize("target", TARGETS)
def test_both_targets_drop_root_tell_their_health_and_hand_over_to_the_entry_point(stages, target):
    steps = stages[target]
    assert values(steps, "USER")[-1] == "offroad"
    assert "node" in values(steps, "HEALTHCHECK")[0]
    assert "--state" in values(steps, "HEALTHCHECK")[0]
    assert values(steps, "ENTRYPOINT") == ['["/usr/local/bin/entrypoint.sh"]']
    assert values(steps, "CMD")[0].startswith('["ros2", "launch", "offroad_seg"')
    words = [word for word, _ in steps]
    assert words.index("USER") > max(i for i, word in enumerate(words) if word in ("RUN", "COPY"))


def test_the_targets_differ_only_in_the_image_below_them(stages):
    desktop, jetson = (stages[name] for name in TARGETS)
    assert desktop[1:] == jetson[1:]
    assert desktop[0] != jetson[0]


def test_every_image_is_named_by_a_stage_or_with_a_tag_that_stays(stages):
    arguments = dict(value.split("=", 1) for value in values(stages[""], "ARG"))
    for name, steps in stages.items():
        for value in values(steps, "FROM"):
            image = re.sub(r"\$\{(\w+)\}", lambda m: arguments[m[1]], value.split()[0])
            assert image in stages or re.search(r":[\w.-]*\d|:\w+-ros-core$", image), f"{name}: {image}"
            assert not image.endswith(":latest")


def test_what_is_copied_is_there(stages):
    for steps in stages.values():
        for value in values(steps, "COPY"):
            words = value.split()
            if words[0].startswith("--from="):
                assert words[0][len("--from=") :] in stages
            else:
                for source in words[:-1]:
                    assert (ROOT / source).exists(), source


def test_no_package_list_is_left_in_a_layer_and_nothing_is_recommended(stages):
    runs = [value for steps in stages.values() for value in values(steps, "RUN")]
    scripts = [path.read_text() for path in SCRIPTS]
    for text in [*runs, *scripts]:
        joined = re.sub(r"\s+", " ", text.replace("\\\n", " "))
        if "apt-get install" in joined:
            assert "apt-get update" in joined
            assert "--no-install-recommends" in joined
            assert "rm -rf /var/lib/apt/lists/*" in joined


def test_the_container_installs_what_the_package_names():
    keys = {e.text for e in ET.parse(ROOT / "ros2_ws/src/offroad_seg/package.xml").iter("exec_depend")}
    wanted = {
        key if key.startswith("python3-") else f'ros-"${{distro}}"-{key.replace("_", "-")}' for key in keys
    }
    assert wanted <= packages("install_vehicle.sh")


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_scripts_are_whole_and_can_be_run(script):
    subprocess.run(["bash", "-n", script], check=True)
    assert os.access(script, os.X_OK)
    assert "set -e" in script.read_text()


def test_packages_of_the_distribution_exist():
    """Debian and Ubuntu name these alike; ROS's and NVIDIA's packages need their own sources."""
    if not Path("/var/lib/apt/lists").is_dir() or not any(Path("/var/lib/apt/lists").glob("*Packages*")):
        pytest.skip("this machine has no lists of Debian packages")
    names = sorted(n for n in packages("install_vehicle.sh") if n.startswith("python3-"))
    shown = subprocess.run(["apt-cache", "madison", *names], capture_output=True, text=True, check=True)
    assert {line.split("|")[0].strip() for line in shown.stdout.splitlines()} == set(names)


@pytest.mark.parametrize("python", ["3.10", "3.12"])
@pytest.mark.parametrize("machine", ["x86_64-manylinux_2_28", "aarch64-manylinux_2_28"])
def test_the_pins_have_wheels_for_both_distributions_and_machines(python, machine, tmp_path):
    uv = Path(sys.executable).with_name("uv")
    if not uv.exists():
        pytest.skip("uv is not installed beside this Python")
    command = [
        uv,
        "pip",
        "compile",
        "--quiet",
        "--no-deps",
        "--only-binary",
        ":all:",
        "--python-version",
        python,
    ]
    done = subprocess.run(
        [*command, "--python-platform", machine, ROOT / "requirements/vehicle.txt"],
        capture_output=True,
        text=True,
    )
    if done.returncode and "No solution" not in done.stderr:
        pytest.skip(f"no package index can be asked here: {done.stderr.strip()[:200]}")
    assert done.returncode == 0, done.stderr
    # One of each: to run a portable bundle, and to compile one for TensorRT.
    for package in ("onnxruntime", "onnx", "protobuf"):
        assert len(re.findall(rf"^{package}==", done.stdout, re.M)) == 1


def entry_point(*command: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": os.environ["PATH"], **variables}
    return subprocess.run(
        [ROOT / "docker/entrypoint.sh", *command], env=environment, capture_output=True, text=True
    )


def test_the_entry_point_names_the_distribution_that_is_missing():
    done = entry_point("true", ROS_DISTRO="lunar")
    assert done.returncode == 2
    assert "/opt/ros/lunar/setup.bash" in done.stderr


def test_the_entry_point_sources_both_and_becomes_the_command(tmp_path):
    for name, line in (("ros", "SOURCED=ros"), ("node", 'SOURCED="$SOURCED node"')):
        (tmp_path / name).mkdir()
        (tmp_path / name / "setup.bash").write_text(f"export {line}\n")
    folders = {"ROS_PREFIX": str(tmp_path / "ros"), "OFFROAD_SEG_PREFIX": str(tmp_path / "node")}
    done = entry_point("bash", "-c", "echo $SOURCED; exit 7", **folders)
    assert done.stdout.strip() == "ros node"
    assert done.returncode == 7  # it became the command: its status, and signals, are the container's
