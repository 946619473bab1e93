# SPDX-License-Identifier: Apache-2.0
"""The fake CUDA driver, compiled once, and a GPU over it for each test."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from offroad_seg.engines.cuda import Gpu
from tests.helpers.fake_gpu import build_driver
from tests.helpers.plans import make_bundle

if TYPE_CHECKING:
    import ctypes
    from collections.abc import Iterator
    from pathlib import Path

    from offroad_seg.bundle import Bundle


@pytest.fixture(scope="session")
def built_driver(repo_root: Path, tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    return build_driver(repo_root, tmp_path_factory.mktemp("fake_cuda"))


@pytest.fixture
def driver(built_driver: ctypes.CDLL) -> Iterator[ctypes.CDLL]:
    """A driver on whose GPU nothing is left when the test has ended."""
    built_driver.fake_reset(1 << 30)
    before = (built_driver.fake_used(), built_driver.fake_live())
    yield built_driver
    assert (built_driver.fake_used(), built_driver.fake_live()) == before, "something was not freed"
    assert built_driver.fake_freed_too_early() == 0, "memory was freed while a stream was still to use it"
    assert not built_driver.fake_has_context(), "a context that was given back is still current"


@pytest.fixture
def gpu(driver: ctypes.CDLL) -> Iterator[Gpu]:
    found = Gpu(library=driver)
    yield found
    found.close()


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    """A bundle whose plan the fake TensorRT runs."""
    return make_bundle(tmp_path)
