# SPDX-License-Identifier: Apache-2.0
"""The GPU kernels on machines without a GPU: compiled to PTX, assembled for each architecture, run on the CPU.

After a change of ``kernels/image.cu`` make its PTX anew, with the NVRTC that torch brings:

    python -m tests.helpers.kernels
"""

from __future__ import annotations

import ctypes
import re
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

KERNELS = Path("ros2_ws/src/offroad_seg/offroad_seg/engines/kernels")
ARCHITECTURE = "compute_75"
# PTX of this version is read by every driver since CUDA 11; the kernels use nothing newer.
PTX_VERSION = "7.0"
# Turing, Ampere (A100, desktop, Orin), Ada, Hopper, Blackwell (B200, B300, Thor, desktop, DGX Spark).
TARGETS = (
    "sm_75",
    "sm_80",
    "sm_86",
    "sm_87",
    "sm_89",
    "sm_90",
    "sm_100",
    "sm_103",
    "sm_110",
    "sm_120",
    "sm_121",
)


def nvrtc() -> ctypes.CDLL | None:
    """NVIDIA's run-time compiler; it needs no GPU."""
    try:
        import nvidia
    except ImportError:
        return None
    for root in nvidia.__path__:
        for file in sorted(Path(root).rglob("libnvrtc.so*")):
            if "alt" not in file.name:
                for builtins in file.parent.glob("libnvrtc-builtins.so*"):
                    if "alt" not in builtins.name:
                        ctypes.CDLL(str(builtins), mode=ctypes.RTLD_GLOBAL)
                return ctypes.CDLL(str(file))
    return None


def compile_ptx(source: str) -> str:
    """PTX of a kernel source, with the version that old drivers read."""
    library = nvrtc()
    assert library is not None
    program = ctypes.c_void_p()

    def check(status: int) -> None:
        if status:
            size = ctypes.c_size_t()
            library.nvrtcGetProgramLogSize(program, ctypes.byref(size))
            log = ctypes.create_string_buffer(size.value)
            library.nvrtcGetProgramLog(program, log)
            raise RuntimeError(log.value.decode())

    check(library.nvrtcCreateProgram(ctypes.byref(program), source.encode(), b"image.cu", 0, None, None))
    options = (ctypes.c_char_p * 1)(f"--gpu-architecture={ARCHITECTURE}".encode())
    check(library.nvrtcCompileProgram(program, 1, options))
    size = ctypes.c_size_t()
    check(library.nvrtcGetPTXSize(program, ctypes.byref(size)))
    text = ctypes.create_string_buffer(size.value)
    check(library.nvrtcGetPTX(program, text))
    ptx = text.value.decode()
    body = "\n".join(line for line in ptx.splitlines() if not line.startswith("//")).strip()
    return (
        "// SPDX-License-Identifier: Apache-2.0\n// Made from image.cu: python -m tests.helpers.kernels\n"
        + re.sub(r"^\.version .*$", f".version {PTX_VERSION}", body + "\n", flags=re.MULTILINE)
    )


def assemblers() -> list[str]:
    """NVIDIA's assemblers, which torch and triton bring; each knows other GPUs."""
    found = [shutil.which("ptxas")]
    for package, inside in (("torch", "bin"), ("triton", "backends/nvidia/bin")):
        spec = find_spec(package)
        for root in (spec.submodule_search_locations or []) if spec else []:
            found += [str(file) for file in sorted((Path(root) / inside).glob("ptxas*"))]
    return [tool for tool in found if tool is not None]


def assemble(ptx: Path, target: str, out: Path) -> tuple[bool, str]:
    """Translate PTX to machine code of a GPU.

    Returns:
        Whether one of the assemblers did, and what they said.
    """
    said = ""
    for tool in assemblers():
        command = [tool, f"-arch={target}", str(ptx), "-o", str(out)]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode == 0:
            return True, said
        said += f"{tool}: {done.stderr}"
    return False, said


if __name__ == "__main__":
    (KERNELS / "image.ptx").write_text(compile_ptx((KERNELS / "image.cu").read_text()))
    sys.stdout.write(f"{KERNELS / 'image.ptx'}\n")
