# SPDX-License-Identifier: Apache-2.0
"""What ``doctor`` looks at: each check says what it found and, where something is missing, what mends it."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

from offroad_seg.cli.doctor_probes import probe
from offroad_seg.cli.main import find_commands
from offroad_seg.native.library import find as find_kernels

_INTERFACES = "make interfaces (in the source tree; needs g++ and cmake)"
OK, MISSING, BROKEN, NOTE = "ok", "missing", "broken", "note"

_RUNTIME = (
    ("numpy", "numpy"),
    ("opencv", "opencv-python-headless"),
    ("scipy", "scipy"),
    ("PyYAML", "PyYAML"),
    ("tqdm", "tqdm"),
)
_REPLAY = ("rosbags", "rosbags-image", "mcap", "Jinja2")
_TENSORRT = ("tensorrt", "tensorrt_rtx", "torch_tensorrt")
_MESSAGES = ("sensor_msgs", "nav_msgs", "diagnostic_msgs", "lifecycle_msgs", "rosgraph_msgs")
_OPTIONAL_MESSAGES = {
    "tf2_msgs": "/tf is not read: give camera_mount.* and an odometry topic",
    "vision_msgs": "label_info is not published",
    "nav2_msgs": "costmap_raw is not published",
    "bond": "no bond to Nav2's lifecycle manager",
}
_TRAINER = "offroad-seg[train]"
_SHM = Path("/dev/shm")  # noqa: S108 – where Fast DDS keeps its segments
_SHM_NEED = 256 * 2**20
_MAY_BE_LOST = 2  # of 20: the first ones may go out before the reader is ready


@dataclass(frozen=True)
class Check:
    """One line of the table.

    Attributes:
        section: Heading.
        name: What was looked at.
        state: ``ok``, ``missing``, ``broken`` or ``note``.
        detail: What was found.
        mend: The command, or the hint, that mends it.
    """

    section: str
    name: str
    state: str
    detail: str
    mend: str = ""


def all_checks() -> list[Check]:
    """Look at everything; takes some seconds, most of them for torch."""
    return [*machine(), *packages(), *engines(), *ros(), *commands()]


def machine() -> list[Check]:
    """Python, system, GPU."""
    python = sys.version_info
    fits = (3, 10) <= python[:2] <= (3, 12)
    gpu, driver = _gpu()
    return [
        Check(
            "Machine",
            "Python",
            OK if fits else BROKEN,
            f"{platform.python_version()} in {sys.prefix}",
            "" if fits else "use Python 3.10, 3.11 or 3.12",
        ),
        Check("Machine", "system", OK, f"{_distribution()}, {platform.machine()}, {os.cpu_count()} CPUs"),
        Check(
            "Machine", "NVIDIA GPU", OK if gpu else NOTE, gpu or f"none ({driver}): engines run on the CPU"
        ),
    ]


def packages() -> list[Check]:
    """What the runtime and replay import."""
    checks = [
        _package("Runtime", name, distribution, "pip install offroad-seg") for name, distribution in _RUNTIME
    ]
    found, told = find_kernels()
    mend = "" if found else "apt install build-essential, and install the package again"
    checks.append(Check("Runtime", "compiled kernels", OK if found else NOTE, told, mend))
    checks += [_package("Replay", name, name, "pip install 'offroad-seg[replay]'") for name in _REPLAY]
    return checks


def engines() -> list[Check]:
    """Which back ends work: each runs a tiny network."""
    checks = []
    mends = {"onnxruntime": "pip install onnxruntime", "torch": "pip install 'offroad-seg[train]'"}
    for name, mend in mends.items():
        if find_spec(name) is None:
            checks.append(Check("Engines", name, MISSING, "not installed", mend))
            continue
        answer = probe(name)
        told = [f"{key} {answer[key]}" for key in ("device", "providers", "cuda", "gpu") if answer.get(key)]
        detail = ", ".join([str(answer.get("version", "")), *told])
        if "error" in answer:
            checks.append(Check("Engines", name, BROKEN, answer["error"], f"install it again: {mend}"))
        else:
            checks.append(Check("Engines", name, OK, f"{detail}; a tiny network ran"))
    for name in _TENSORRT:
        found = _version(name)
        if found:
            checks.append(Check("Engines", name, NOTE, f"{found} is installed; nothing was tried with it"))
    return checks


def ros() -> list[Check]:
    """rclpy, messages, and images over DDS."""
    section = "ROS 2"
    distribution = os.environ.get("ROS_DISTRO", "")
    install = "source /opt/ros/DISTRO/setup.bash, or pip install 'offroad-seg[ros]' (x86-64)"
    if find_spec("rclpy") is None:
        return [
            Check(
                section, "rclpy", MISSING, "not installed: replay works offline, the node does not", install
            )
        ]
    source = f"distribution {distribution}" if distribution else "from wheels"
    checks = [Check(section, "rclpy", OK, f"{_version('ros-rclpy', 'rclpy') or 'found'} ({source})")]
    missing = [name for name in _MESSAGES if find_spec(name) is None]
    hint = f"apt install {' '.join(_debian(m, distribution) for m in missing)}" if distribution else install
    checks.append(
        Check(section, "messages", MISSING, f"without {', '.join(missing)}", hint)
        if missing
        else Check(section, "messages", OK, ", ".join(_MESSAGES))
    )
    for name, effect in _OPTIONAL_MESSAGES.items():
        if find_spec(name) is None:
            mend = f"apt install {_debian(name, distribution)}" if distribution else _INTERFACES
            checks.append(Check(section, name, NOTE, f"not installed: {effect}", mend))
        else:
            checks.append(Check(section, name, OK, "found"))
    return [*checks, *(_dds() if not missing else [])]


def commands() -> list[Check]:
    """Whether the trainer is here, and what the command line offers."""
    section, names = "Commands", find_commands()
    checks = [Check(section, "found", OK, " ".join(sorted(names)))]
    trainer = "train" in names
    mend = f"pip install '{_TRAINER}' from the source tree, on the machine that trains; a vehicle needs none of it"
    lacking = [name for name in ("torch", "lightning", "timm") if find_spec(name) is None]
    if trainer and not lacking:
        checks.append(Check(section, "trainer", OK, "installed"))
    else:
        detail = f"without {', '.join(lacking)}" if trainer else "not installed"
        checks.append(Check(section, "trainer", NOTE, detail, mend))
    return checks


def _dds() -> list[Check]:
    section, answer = "ROS 2", probe("ros")
    checks = []
    if "error" in answer:
        mend = "check that the loopback interface is up, and that no other RMW_IMPLEMENTATION is set"
        checks.append(Check(section, "images over DDS", BROKEN, answer["error"], mend))
    else:
        lost = answer["sent"] - answer["arrived"]
        detail = f"{answer['arrived']} of {answer['sent']} images of 1280×720 arrived at 30 Hz"
        if answer["median_ms"] is not None:
            detail += f", median {answer['median_ms']:.1f} ms, {answer['rmw']}"
        good = lost <= _MAY_BE_LOST
        mend = "" if good else "unset FASTRTPS_DEFAULT_PROFILES_FILE, so that the profile below is used"
        checks.append(Check(section, "images over DDS", OK if good else BROKEN, detail, mend))
        checks.append(Check(section, "DDS profile", OK, str(answer["profile"])))
    if _SHM.is_dir():
        free = shutil.disk_usage(_SHM).free
        enough = free >= _SHM_NEED
        mend = "" if enough else "docker run --shm-size=1g, or remount /dev/shm larger"
        text = f"{free / 2**20:.0f} MiB free in {_SHM}"
        checks.append(Check(section, "shared memory", OK if enough else BROKEN, text, mend))
        left = [f for f in _SHM.glob("fastrtps_*") if _is_large(f)]
        if len(left) > 20:
            size = sum(f.stat().st_size for f in left) / 2**20
            text = f"{len(left)} Fast DDS segments, {size:.0f} MiB; killed processes leave theirs behind"
            checks.append(
                Check(section, "old segments", NOTE, text, "with no node running: rm /dev/shm/fastrtps_*")
            )
    return checks


def _package(section: str, name: str, distribution: str, mend: str) -> Check:
    found = _version(distribution, "opencv-python" if name == "opencv" else distribution)
    if not found and name == "opencv" and find_spec("cv2") is not None:
        found = "the system's"  # Debian's python3-opencv has no metadata
    if not found:
        return Check(section, name, MISSING, "not installed", mend)
    if name == "opencv" and found.split(".")[0].isdigit() and int(found.split(".")[0]) >= 5:
        return Check(
            section, name, BROKEN, f"{found}: its constants changed", "pip install 'opencv-python-headless<5'"
        )
    return Check(section, name, OK, found)


def _version(*distributions: str) -> str:
    for name in distributions:
        try:
            return version(name)
        except PackageNotFoundError:  # noqa: PERF203
            continue
    return ""


def _gpu() -> tuple[str, str]:
    """Name, capability and driver, or an empty text and why."""
    query = [
        "nvidia-smi",
        "--query-gpu=name,compute_cap,driver_version,memory.total",
        "--format=csv,noheader",
    ]
    try:
        done = subprocess.run(query, capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return "", "no nvidia-smi"
    return (
        ("; ".join(done.stdout.strip().splitlines()), "")
        if done.returncode == 0
        else ("", "nvidia-smi fails")
    )


def _distribution() -> str:
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME", platform.platform())
    except OSError:
        return platform.platform()


def _debian(package: str, distribution: str) -> str:
    return f"ros-{distribution}-{package.replace('_', '-')}"


def _is_large(file: Path) -> bool:
    try:
        return file.stat().st_size > 2**16
    except OSError:
        return False
