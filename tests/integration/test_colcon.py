# SPDX-License-Identifier: Apache-2.0
"""The workspace builds with colcon, and what it installs works without the source tree."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

BESIDE_PYTHON = Path(sys.executable).parent / "colcon"
COLCON = str(BESIDE_PYTHON) if BESIDE_PYTHON.is_file() else shutil.which("colcon")
FIND = """
from pathlib import Path
import offroad_seg
from offroad_seg import resources
from offroad_seg.native.library import find
from offroad_seg.ontology import load_ontology
print(Path(offroad_seg.__file__).resolve())
print(resources.find("config/dds/fastdds_large_images.xml"))
print(resources.find("launch"))
print(load_ontology("duality_desert").name)
print(find()[1])
"""


def clean_environment() -> dict[str, str]:
    """The environment without what would lead to the source tree or to another workspace."""
    foreign = ("COLCON_", "AMENT_", "OFFROAD_SEG_", "PYTHONPATH", "FASTRTPS_", "FASTDDS_")
    environment = {key: value for key, value in os.environ.items() if not key.startswith(foreign)}
    return {**environment, "ROS_DOMAIN_ID": "106", "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST"}


def in_workspace(workspace: Path, command: str) -> list[str]:
    return ["bash", "-c", f". '{workspace}/install/setup.bash' && exec {command}"]


def build(repo_root: Path, folder: Path, *options: str) -> Path:
    """Build a copy of what the package is made of, as the docs tell it: ``cd ros2_ws && colcon build``."""
    if COLCON is None:
        pytest.skip("colcon is not installed (extra: rosidl, or a ROS 2 distribution)")
    repository = folder / "clone"
    ignore = shutil.ignore_patterns("build", "install", "log", "__pycache__", "*.egg-info")
    for part in ("config", "launch", "ros2_ws"):
        shutil.copytree(repo_root / part, repository / part, symlinks=True, ignore=ignore)
    workspace = repository / "ros2_ws"
    done = subprocess.run(
        [COLCON, "build", "--event-handlers", "console_direct+", *options],
        cwd=workspace,
        env=clean_environment(),
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Summary: 1 package finished" in done.stdout
    return workspace


@pytest.fixture(scope="module")
def workspace(repo_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A built workspace; the source that it was built from is gone."""
    workspace = build(repo_root, tmp_path_factory.mktemp("colcon"))
    for part in ("config", "launch", "ros2_ws/src", "ros2_ws/build"):
        shutil.rmtree(workspace.parent / part)
    return workspace


def installed_files(workspace: Path, part: str) -> set[str]:
    folder = workspace / "install/offroad_seg/share/offroad_seg" / part
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def source_files(repo_root: Path, part: str) -> set[str]:
    folder = repo_root / part
    files = (path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return {str(path.relative_to(folder)) for path in files}


def test_every_launch_and_configuration_file_is_installed(repo_root: Path, workspace: Path) -> None:
    share = workspace / "install/offroad_seg/share"

    # The recipes of the trainer are of no use to a vehicle; whether they are installed is not asked.
    wanted = {name for name in source_files(repo_root, "config") if not name.startswith("train/")}
    assert wanted
    assert wanted <= installed_files(workspace, "config")
    assert source_files(repo_root, "launch") == installed_files(workspace, "launch")
    assert (share / "offroad_seg/package.xml").is_file()
    assert (share / "ament_index/resource_index/packages/offroad_seg").is_file()


def test_files_beside_the_code_are_installed(repo_root: Path, workspace: Path) -> None:
    package = repo_root / "ros2_ws/src/offroad_seg/offroad_seg"
    (installed,) = (workspace / "install/offroad_seg/lib").glob("python3*/site-packages/offroad_seg")

    # Such as the report's templates and py.typed.
    beside = {
        p.relative_to(package)
        for p in package.rglob("*")
        if p.is_file() and p.suffix not in {".py", ".pyc", ".so"}
    }
    assert beside
    assert not [str(path) for path in sorted(beside) if not (installed / path).is_file()]


def test_installed_package_finds_its_files_in_share(workspace: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        in_workspace(workspace, f"'{sys.executable}' -c '{FIND}'"),
        cwd=tmp_path,
        env=clean_environment(),
        capture_output=True,
        text=True,
        timeout=150,
    )

    assert done.returncode == 0, done.stderr
    module, profile, launch, ontology, kernels = done.stdout.splitlines()
    install = workspace / "install/offroad_seg"
    assert Path(module).is_relative_to(install / "lib")
    assert Path(profile) == install / "share/offroad_seg/config/dds/fastdds_large_images.xml"
    assert Path(launch) == install / "share/offroad_seg/launch"
    assert ontology == "duality_desert"
    if shutil.which("cc") is not None:
        assert kernels.startswith("_kernels."), kernels


def test_installed_node_starts_and_ends_cleanly(workspace: Path, tmp_path: Path) -> None:
    pytest.importorskip("rclpy", reason="rclpy is not installed (extra: ros)")
    executable = workspace / "install/offroad_seg/lib/offroad_seg/perception_node"
    # It loads the Fast DDS profile from share before anything else, and refuses to start without it.
    process = subprocess.Popen(
        in_workspace(workspace, f"'{executable}' --ros-args -p autostart:=false"),
        cwd=tmp_path,
        env=clean_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    lines: list[str] = []
    try:
        for line in process.stdout:
            lines.append(line)
            if "waiting to be configured" in line:
                break
        process.send_signal(signal.SIGINT)
        lines.append(process.communicate(timeout=120)[0])
    finally:
        process.kill()
        process.wait(timeout=60)
    assert "waiting to be configured" in "".join(lines)
    assert process.returncode == 0, "".join(lines)


def test_colcon_test_runs_the_packages_own_tests(repo_root: Path, tmp_path: Path) -> None:
    workspace = build(repo_root, tmp_path)
    done = subprocess.run(
        [COLCON, "test", "--event-handlers", "console_direct+", "--return-code-on-test-failure"],
        cwd=workspace,
        env=clean_environment(),
        capture_output=True,
        text=True,
        timeout=250,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    told = subprocess.run(
        [COLCON, "test-result", "--all"], cwd=workspace, capture_output=True, text=True, timeout=150
    ).stdout
    found = re.search(r"Summary: (\d+) tests, 0 errors, 0 failures", told)
    assert found, told
    assert int(found[1]) >= 4, done.stdout


def test_symlink_install_leads_to_the_source_and_stays_in_its_folders(
    repo_root: Path, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "elsewhere"
    workspace = build(repo_root, tmp_path, "--symlink-install", "--build-base", str(elsewhere / "build"))

    source = workspace.parent / "config/dds/fastdds_large_images.xml"
    installed = workspace / "install/offroad_seg/share/offroad_seg/config/dds/fastdds_large_images.xml"
    source.write_text("<changed/>", encoding="utf-8")
    assert installed.read_text(encoding="utf-8") == "<changed/>"
    # colcon links, and removes, whatever a data file's path names from its build folder: `../../../config` would be
    # a folder beside the user's workspace.
    assert {path.name for path in tmp_path.iterdir()} == {"clone", "elsewhere"}
    assert [path.name for path in elsewhere.iterdir()] == ["build"]
