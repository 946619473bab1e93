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
from importlib import resources as packages
from pathlib import Path

KERNELS = Path("ros2_ws/src/offroad_seg/offroad_seg/engines/kernels")
ARCHITECTURE = "compute_75"
# PTX of this version is read by every driver since CUDA 11; the kernels use nothing newer.
PTX_VERSION = "7.0"
# Turing, Ampere, Orin, Ada, Hopper, Blackwell.
TARGETS = ("sm_75", "sm_80", "sm_86", "sm_87", "sm_89", "sm_90", "sm_100", "sm_120")


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


def ptxas() -> str | None:
    """NVIDIA's assembler, which triton brings."""
    found = shutil.which("ptxas")
    if found:
        return found
    try:
        file = packages.files("triton") / "backends" / "nvidia" / "bin" / "ptxas"
    except ModuleNotFoundError:
        return None
    return str(file) if file.is_file() else None


def assemble(ptx: Path, target: str, out: Path) -> subprocess.CompletedProcess[str]:
    """Translate PTX to machine code of a GPU."""
    tool = ptxas()
    assert tool is not None
    return subprocess.run([tool, f"-arch={target}", str(ptx), "-o", str(out)], capture_output=True, text=True)


if __name__ == "__main__":
    (KERNELS / "image.ptx").write_text(compile_ptx((KERNELS / "image.cu").read_text()))
    sys.stdout.write(f"{KERNELS / 'image.ptx'}\n")
