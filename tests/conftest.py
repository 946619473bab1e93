# SPDX-License-Identifier: Apache-2.0
"""Shared fixtures, and the reasons for which a marked test is skipped."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import hypothesis
import pytest

# The same examples at every run: a test that fails has been broken by a change. HYPOTHESIS_PROFILE=explore looks for new ones,
# and what it finds is mended and kept as an @example. How long an example takes says nothing where other work has the cores.
UNTIMED = {"deadline": None, "suppress_health_check": [hypothesis.HealthCheck.too_slow]}
hypothesis.settings.register_profile("steady", derandomize=True, **UNTIMED)
hypothesis.settings.register_profile("explore", print_blob=True, **UNTIMED)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "steady"))

ROOT = Path(__file__).resolve().parents[1]
# Unit tests that are never run beside others: they speak over DDS, look at the clock or load every core.
ALONE = tuple(
    f"tests/unit/offroad_seg/{part}"
    for part in ("ros/", "bench/", "cli/test_bench.py", "compile/test_watch.py", "replay/test_live")
)
# Long files whose tests share nothing but what is made for one parameter.
BY_PARAMETER = {"tests/integration/test_recipes.py", "tests/integration/test_zoo_tensorrt_rtx.py"}


def data_folder() -> Path | None:
    """Where the real labelled images are, or None."""
    folder = Path(os.environ.get("OFFROAD_SEG_DATA", ROOT.parent / "shared" / "data"))
    return folder if (folder / "duality_sample").is_dir() else None


def has_gpu() -> bool:
    try:
        return subprocess.run(["nvidia-smi"], capture_output=True, timeout=10).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        file = item.path.relative_to(ROOT).as_posix()
        if file.startswith("tests/unit/") and not file.startswith(ALONE):
            item.add_marker("parallel")
    reasons = {
        "gpu": None if has_gpu() else "no NVIDIA GPU (nvidia-smi does not answer)",
        "ros_distro": None
        if os.environ.get("ROS_DISTRO")
        else "no ROS 2 distribution is sourced (ROS_DISTRO unset)",
        "shared_data": None if data_folder() else "the real images are not here (set OFFROAD_SEG_DATA)",
    }
    for item in items:
        for marker, reason in reasons.items():
            if reason and item.get_closest_marker(marker):
                item.add_marker(pytest.mark.skip(reason=reason))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """With ``pytest -n``, a file's tests stay in one process, for they share its fixtures; long files come first."""
    from xdist.scheduler import LoadScopeScheduling

    class ByFile(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file, _, test = nodeid.partition("::")
            return f"{file}[{test.partition('[')[2]}" if file in BY_PARAMETER else file

    config.option.loadscopereorder = False
    return ByFile(config, log)


@pytest.fixture(scope="session", autouse=True)
def _own_engine_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Keep engines that tests build out of the user's cache, in this process and its children."""
    os.environ["OFFROAD_SEG_CACHE"] = str(tmp_path_factory.mktemp("engine-cache"))


@pytest.fixture(scope="session")
def repo_root() -> Path:
    return ROOT


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real images. Use with ``@pytest.mark.shared_data``."""
    folder = data_folder()
    if folder is None:
        pytest.skip("the real images are not here (set OFFROAD_SEG_DATA)")
    return folder
