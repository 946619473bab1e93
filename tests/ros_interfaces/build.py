# SPDX-License-Identifier: Apache-2.0
"""Build the message packages that the rclpy wheels lack, for this virtual environment.

    .venv/bin/python tests/ros_interfaces/build.py [--force]

They get a prefix of their own, ``<venv>/ros_interfaces``, which goes away or is replaced as a whole. Two entries in
site-packages make it known: a ``.pth`` file for Python, and a link named ``ros_*.libs``, because that is the pattern by which
the start-up file of the ROS wheels finds folders for ``LD_LIBRARY_PATH``. No file of a wheel is changed.

What came of it is written to ``<venv>/ros_interfaces.json``, where the tests read why they must skip or fail. Exit code: 0 built,
up to date, or cannot be built on this machine (the reason is printed); 1 a build that should have worked did not.
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import importlib
import importlib.metadata
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, TextIO

SOURCES = Path(__file__).resolve().parent
# Package → its messages. None of them needs another.
PACKAGES = {
    "tf2_msgs": ("TFMessage",),
    "vision_msgs": ("VisionClass", "LabelInfo"),
    "nav2_msgs": ("CostmapMetaData", "Costmap"),
    "bond": ("Status",),
}
MINIMUM_CMAKE = (3, 22)
NAME = "ros_interfaces"
PREFIX = Path(sys.prefix) / NAME
STATUS = Path(sys.prefix) / f"{NAME}.json"
LOG = Path(sys.prefix) / f"{NAME}.log"


@dataclass(frozen=True)
class Status:
    """What the last run came to; ``fingerprint`` says of which sources, Python and wheels."""

    state: Literal["built", "skipped", "failed"]
    reason: str
    fingerprint: str


class BuildError(Exception):
    """A command that should have worked did not; its output is in the log."""


def read_status() -> Status | None:
    """What the last run in this environment came to, or None if there was none."""
    try:
        return Status(**json.loads(STATUS.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def write_status(status: Status) -> Status:
    """Keep ``status``, whole or not at all, and hand it back. Outside a virtual environment nothing is written."""
    if sys.prefix == sys.base_prefix:
        return status
    temporary = STATUS.with_suffix(".tmp")
    temporary.write_text(json.dumps(asdict(status), indent=2) + "\n", encoding="utf-8")
    temporary.replace(STATUS)
    return status


def fingerprint() -> str:
    """A hash of everything that the result depends on: sources, Python, numpy and the ROS wheels."""
    digest = hashlib.sha256(f"{sys.version}\n{sys.prefix}\n".encode())
    for path in sorted(SOURCES.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            digest.update(f"{path.relative_to(SOURCES)}\n".encode() + path.read_bytes())
    wheels = {
        f"{wheel.metadata['Name']}=={wheel.version}"
        for wheel in importlib.metadata.distributions(path=[sysconfig.get_paths()["purelib"]])
        if re.match(r"ros[-_]|numpy$", wheel.metadata["Name"] or "")
    }
    digest.update("\n".join(sorted(wheels)).encode())
    return digest.hexdigest()


def obstacle() -> str | None:
    """Why the packages cannot or need not be built here, or None if they can."""
    if distribution := os.environ.get("ROS_DISTRO"):
        return f"ROS 2 {distribution} is sourced: its own packages are used"
    if sys.prefix == sys.base_prefix:
        return f"{sys.executable} is not in a virtual environment"
    if importlib.util.find_spec("ros_wheels_bootstrapper") is None:
        return "the rclpy wheels are not installed here (extra: ros; there are none for this kind of machine but x86-64)"
    if importlib.util.find_spec("rosidl_generator_py") is None or not _shared("ament_cmake_ros"):
        return "the wheels that generate messages are not installed here (extra: rosidl)"
    missing = [tool for tool in ("gcc", "g++", "cmake") if not shutil.which(tool)]
    if not shutil.which("make") and not shutil.which("ninja"):
        missing.append("make or ninja")
    if missing:
        return f"not found: {', '.join(missing)} (on Debian or Ubuntu: apt-get install g++ cmake make)"
    if (version := cmake_version()) < MINIMUM_CMAKE:
        return f"cmake is {'.'.join(map(str, version))}; 3.22 or later is needed"
    if not (Path(sysconfig.get_paths()["include"]) / "Python.h").is_file():
        return (
            f"the headers of Python are not installed (Python.h; on Debian or Ubuntu: python{_python()}-dev)"
        )
    return None


def cmake_version() -> tuple[int, ...]:
    """Major and minor version of the cmake on PATH; (0,) if it does not say."""
    text = subprocess.run(["cmake", "--version"], capture_output=True, text=True, check=False).stdout
    found = re.search(r"(\d+)\.(\d+)", text)
    return tuple(int(part) for part in found.groups()) if found else (0,)


def build(keep: str) -> None:
    """Build all packages into a new prefix, check them, and put it in the place of the old one.

    Args:
        keep: The fingerprint; written into the prefix, so that a prefix that was moved here is not taken for ours.

    Raises:
        BuildError: A command failed, or what was built cannot be imported.
    """
    site = Path(sysconfig.get_paths()["purelib"])
    with (
        tempfile.TemporaryDirectory(prefix=f".{NAME}.", dir=sys.prefix) as staging,
        tempfile.TemporaryDirectory(prefix="offroad-seg-interfaces-") as scratch,
        LOG.open("w", encoding="utf-8") as log,
    ):
        prefix = Path(staging) / "prefix"
        for package in PACKAGES:
            _build_package(package, Path(scratch) / package, prefix, log)
        (prefix / "fingerprint").write_text(keep, encoding="utf-8")
        _unlink(site)
        shutil.rmtree(PREFIX, ignore_errors=True)
        prefix.rename(PREFIX)
        _link(site)
        try:
            _run([sys.executable, "-c", _check_script()], log)
        except BuildError:
            _unlink(site)
            raise


def _build_package(package: str, folder: Path, prefix: Path, log: TextIO) -> None:
    """Configure, compile and install one interface package."""
    includes = f"{sysconfig.get_paths()['include']};{importlib.import_module('numpy').get_include()}"
    options = {
        "CMAKE_INSTALL_PREFIX": str(PREFIX),
        "CMAKE_INSTALL_LIBDIR": "lib",
        "CMAKE_BUILD_TYPE": "Release",
        "BUILD_TESTING": "OFF",
        "Python3_EXECUTABLE": sys.executable,
        "Python3_FIND_VIRTUALENV": "ONLY",
        "CMAKE_PROJECT_INCLUDE": str(SOURCES / "wheel_paths.cmake"),
        "OFFROAD_SEG_PYTHON_INCLUDES": includes,
    }
    generator = [] if shutil.which("make") else ["-G", "Ninja"]
    defines = [f"-D{key}={value}" for key, value in options.items()]
    jobs = str(min(os.cpu_count() or 1, 8))
    _run(["cmake", "-S", str(SOURCES / package), "-B", str(folder), *generator, *defines], log)
    _run(["cmake", "--build", str(folder), "--parallel", jobs], log)
    _run(["cmake", "--install", str(folder), "--prefix", str(prefix)], log)


def _run(command: list[str], log: TextIO) -> None:
    """Run a command with its output in the log, in an environment that names this prefix only."""
    environment = {key: value for key, value in os.environ.items() if key not in {"PYTHONPATH", "PYTHONHOME"}}
    # The wheels' start-up file sets these in this process; children that run Python set them anew, and the system's cmake
    # and compiler must not load the wheels' libraries.
    environment.pop("_ROS_WHEELS_BOOTSTRAP_COMPLETE", None)
    foreign = [
        folder
        for folder in environment.pop("LD_LIBRARY_PATH", "").split(os.pathsep)
        if folder and not Path(folder).is_relative_to(sys.prefix)
    ]
    if foreign:
        environment["LD_LIBRARY_PATH"] = os.pathsep.join(foreign)
    environment.update(
        AMENT_PREFIX_PATH=sys.prefix,
        CMAKE_PREFIX_PATH=sys.prefix,
        VIRTUAL_ENV=sys.prefix,
        CC="gcc",
        CXX="g++",
    )
    log.write(f"$ {' '.join(command)}\n")
    log.flush()
    done = subprocess.run(command, stdout=log, stderr=subprocess.STDOUT, env=environment, check=False)
    if done.returncode != 0:
        raise BuildError(f"{command[0]} ended with {done.returncode}")


def _check_script() -> str:
    """Python that loads every message with its type support, which is where a missing library shows."""
    lines = [
        f"from {package}.msg import {message}; {message}.__class__.__import_type_support__(); "
        f"assert {message}.__class__._TYPE_SUPPORT is not None, '{package}/{message} has no type support'"
        for package, messages in PACKAGES.items()
        for message in messages
    ]
    return "\n".join(lines)


def _entries(site: Path) -> tuple[Path, Path]:
    """The two entries of site-packages that make the prefix known."""
    return site / "offroad_seg_ros_interfaces.pth", site / "ros_offroad_seg_interfaces.libs"


def _link(site: Path) -> None:
    modules, libraries = _entries(site)
    packages = PREFIX / "lib" / f"python{_python()}" / "site-packages"
    modules.write_text(f"{os.path.relpath(packages, site)}\n", encoding="utf-8")
    libraries.symlink_to(os.path.relpath(PREFIX / "lib", site), target_is_directory=True)


def _unlink(site: Path) -> None:
    for entry in _entries(site):
        entry.unlink(missing_ok=True)


def _shared(package: str) -> bool:
    return (Path(sys.prefix) / "share" / package / "cmake").is_dir()


def _python() -> str:
    return f"{sys.version_info.major}.{sys.version_info.minor}"


def _is_current(wanted: str) -> bool:
    stamp = PREFIX / "fingerprint"
    linked = all(entry.exists() for entry in _entries(Path(sysconfig.get_paths()["purelib"])))
    return linked and stamp.is_file() and stamp.read_text(encoding="utf-8") == wanted


def update(*, force: bool = False) -> Status:
    """Build what is missing or out of date, and say what came of it."""
    wanted = fingerprint()
    reason = obstacle()
    if reason and not _is_current(wanted):
        return write_status(Status("skipped", reason, wanted))
    with (Path(sys.prefix) / f".{NAME}.lock").open("w") as lock:
        # Two runs of make in one folder build once: the second finds it done.
        fcntl.flock(lock, fcntl.LOCK_EX)
        if _is_current(wanted) and (reason or not force):
            return write_status(Status("built", "up to date", wanted))
        started = time.monotonic()
        try:
            build(wanted)
        except BuildError as error:
            return write_status(Status("failed", f"{error}; see {LOG}", wanted))
        return write_status(Status("built", f"in {time.monotonic() - started:.0f} s", wanted))


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--force", action="store_true", help="build even if what is there is up to date")
    arguments = parser.parse_args()
    status = update(force=arguments.force)
    print(f"ROS interfaces ({', '.join(PACKAGES)}): {status.state}, {status.reason}", flush=True)
    if status.state == "failed":
        print(
            "".join(LOG.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True)[-30:]),
            file=sys.stderr,
        )
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
