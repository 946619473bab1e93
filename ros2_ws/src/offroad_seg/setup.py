# SPDX-License-Identifier: Apache-2.0
"""The ament_python package: the runtime and the node, without the trainer.

A laptop needs none of this: the pyproject.toml at the root of the repository installs everything with pip. launch/
and config/ here are links to the folders at the root, the only copies. They are links because colcon wants relative
paths, and for ``--symlink-install`` takes them from its build folder, where ``../../../config`` is some other folder.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from setuptools import find_packages, setup

NAME = "offroad_seg"
HERE = Path(__file__).resolve().parent  # resolved: `colcon build --symlink-install` runs a link to this file
SHARE = f"share/{NAME}"
sys.path.insert(0, str(HERE))
from native_build import kernels  # noqa: E402 – found by the line above


def version() -> str:
    """The version that the package gives itself."""
    text = (HERE / NAME / "__init__.py").read_text(encoding="utf-8")
    match = re.search(r'__version__ = "(.+)"', text)
    assert match is not None
    return match.group(1)


def data_files() -> list[tuple[str, list[str]]]:
    """Everything below launch/ and config/ by folder, but the trainer's recipes."""
    found: dict[str, list[str]] = {}
    for top in ("launch", "config"):
        for path in sorted((HERE / top).rglob("*")):
            place = path.relative_to(HERE)
            if path.is_file() and "__pycache__" not in place.parts and place.parts[1] != "train":
                found.setdefault(f"{SHARE}/{place.parent.as_posix()}", []).append(place.as_posix())
    return list(found.items())


setup(
    name=NAME,
    version=version(),
    description="Off-road semantic perception for ROS 2",
    license="Apache-2.0",
    packages=find_packages(include=[NAME, f"{NAME}.*"]),
    package_data={
        NAME: ["py.typed", "schema/*.json", "replay/templates/*", "engines/kernels/*", "native/*.[ch]"]
    },
    ext_modules=[kernels()],
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{NAME}"]),
        (SHARE, ["package.xml"]),
        *data_files(),
    ],
    python_requires=">=3.10",
    install_requires=["setuptools"],
    # `colcon test` takes pytest only where one of these says so: the second from setuptools 80 on, the first before.
    tests_require=["pytest"],
    extras_require={"test": ["pytest"]},
    zip_safe=False,
    entry_points={
        "console_scripts": [
            "perception_node = offroad_seg.ros.main:main",
            "offroad-seg = offroad_seg.cli.main:main",
        ],
        "offroad_seg.commands": [
            "bench = offroad_seg.cli.bench:COMMAND",
            "compare = offroad_seg.cli.compare:COMMAND",
            "compile = offroad_seg.cli.compile:COMMAND",
            "doctor = offroad_seg.cli.doctor:COMMAND",
            "inspect = offroad_seg.cli.inspect:COMMAND",
            "node = offroad_seg.cli.node:COMMAND",
            "replay = offroad_seg.cli.replay:COMMAND",
            "view = offroad_seg.cli.view:COMMAND",
        ],
    },
)
