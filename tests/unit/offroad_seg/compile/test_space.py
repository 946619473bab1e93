# SPDX-License-Identifier: Apache-2.0
"""A full disk is told as such, whatever the run time makes of it."""

from __future__ import annotations

import errno
import shutil
from typing import TYPE_CHECKING

import pytest

from offroad_seg.compile.space import full_disk, require_space
from offroad_seg.errors import EngineError, OffroadSegError

if TYPE_CHECKING:
    from pathlib import Path


def test_too_little_space_is_refused_before_anything_is_built(tmp_path: Path) -> None:
    require_space(tmp_path, 1)
    needed = shutil.disk_usage(tmp_path).free + (1 << 30)
    with pytest.raises(OffroadSegError, match="no space left: about .* MiB are needed") as caught:
        require_space(tmp_path, needed)
    assert caught.value.where == str(tmp_path)
    assert "--cache" in caught.value.mend


def test_errors_of_the_system_and_of_run_times(tmp_path: Path) -> None:
    assert full_disk(OSError(errno.ENOSPC, "No space left on device"), tmp_path, 1) is not None
    assert full_disk(OSError(errno.EFBIG, "File too large"), tmp_path, 1) is not None
    assert full_disk(OSError(errno.EACCES, "Permission denied"), tmp_path, 1) is None
    assert full_disk(EngineError("Protobuf serialization failed"), tmp_path, 1 << 10) is None
    # Only where the disk would not take the result, the run time's error was that.
    huge = shutil.disk_usage(tmp_path).total * 4
    assert full_disk(EngineError("Protobuf serialization failed"), tmp_path, huge) is not None
