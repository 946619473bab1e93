# SPDX-License-Identifier: Apache-2.0
"""The ctypes declarations of the CUDA driver are those of NVIDIA's own cuda.h, for CUDA 12 and 13.

The headers come with the wheels of torch and triton; g++ reads them, and no GPU is needed.
"""

from __future__ import annotations

import ctypes
import re
import shutil
import subprocess
from ctypes import c_char_p, c_int, c_uint, c_uint64, c_void_p
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from offroad_seg.engines import cuda, cuda_driver

CONSTANTS = {
    "CUDA_SUCCESS": 0,
    "CUDA_ERROR_OUT_OF_MEMORY": cuda_driver._OUT_OF_MEMORY,
    "CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR": cuda._MAJOR,
    "CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR": cuda._MINOR,
    "CU_DEVICE_ATTRIBUTE_INTEGRATED": cuda._INTEGRATED,
    "CU_STREAM_NON_BLOCKING": cuda._NON_BLOCKING,
    "CU_STREAM_CAPTURE_MODE_THREAD_LOCAL": cuda._CAPTURE_THREAD,
}
_POINTERS = {
    c_void_p: "to pointer",
    c_int: "to int",
    c_uint64: "to wide",
    c_char_p: "to text",
}
KINDS: dict[Any, str] = {
    c_int: "int",
    c_uint: "unsigned",
    c_uint64: "wide",  # and c_size_t, which is the same type
    c_void_p: "pointer",
    c_char_p: "text",
    **{ctypes.POINTER(inner): kind for inner, kind in _POINTERS.items()},
}


def headers() -> list[Path]:
    """Folders with a ``cuda.h``."""
    found = []
    for package, inside in (("nvidia", "cu*/include"), ("triton", "backends/nvidia/include")):
        spec = find_spec(package)
        for root in (spec.submodule_search_locations or []) if spec else []:
            found += [folder for folder in sorted(Path(root).glob(inside)) if (folder / "cuda.h").is_file()]
    return found


def what_the_header_says(include: Path, folder: Path) -> list[str]:
    program = folder / "said"
    source = Path(__file__).resolve().parents[3] / "helpers" / "cuda_headers.cpp"
    functions = " ".join(f"F({name})" for name in cuda_driver._CALLS)
    constants = " ".join(f"C({name})" for name in CONSTANTS)
    command = ["g++", "-std=c++17", f"-I{include}", f"-DFUNCTIONS={functions}", f"-DCONSTANTS={constants}"]
    subprocess.run([*command, source, "-o", program], check=True)
    return subprocess.run([program], capture_output=True, text=True, check=True).stdout.splitlines()


@pytest.mark.parametrize("include", headers() or [None], ids=str)
def test_functions_and_constants_are_those_of_the_header(include: Path | None, tmp_path: Path) -> None:
    if include is None or shutil.which("g++") is None:
        pytest.skip("no cuda.h (torch and triton bring it), or no g++")
    said = what_the_header_says(include, tmp_path)
    found = dict(line.split(" = ") for line in said if " = " in line)
    assert int(found.pop("CUDA_VERSION")) >= 12000
    assert found == {name: str(value) for name, value in CONSTANTS.items()}
    calls = dict(re.fullmatch(r"(\w+)\((.*)\) int", line).groups() for line in said if ")" in line)  # type: ignore[union-attr]
    ours = {name: ", ".join(KINDS[kind] for kind in kinds) for name, kinds in cuda_driver._CALLS.items()}
    # The image of a module is bytes of any kind, of which a text is one; a status is an int.
    assert calls.pop("cuModuleLoadData") == "to pointer, pointer"
    assert ours.pop("cuModuleLoadData") == "to pointer, text"
    assert calls == ours


def test_fake_driver_has_every_function(driver: ctypes.CDLL) -> None:
    cuda_driver.declare(driver)
