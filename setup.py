# SPDX-License-Identifier: Apache-2.0
"""Only what pyproject.toml cannot say yet: the C kernels of the runtime."""

from __future__ import annotations

import sys
from pathlib import Path

from setuptools import setup

PACKAGE = "ros2_ws/src/offroad_seg/"
sys.path.insert(0, str(Path(__file__).resolve().parent / PACKAGE))
from native_build import kernels  # noqa: E402 – found by the line above

setup(ext_modules=[kernels(PACKAGE)])
