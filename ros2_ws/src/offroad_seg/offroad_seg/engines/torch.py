# SPDX-License-Identifier: Apache-2.0
"""PyTorch runs the bundle's exported program. Nothing is unpickled: archives that hold a pickle are refused."""

from __future__ import annotations

import json
import warnings
import zipfile
from typing import TYPE_CHECKING, Any

import numpy as np

from offroad_seg.engines.base import EngineInfo, EngineOutput, check_input
from offroad_seg.errors import BundleError, EngineError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from offroad_seg.bundle import Bundle

NAME = "torch"
MODEL = "model.pt2"


class TorchEngine:
    """``InferenceEngine`` over ``torch.export``.

    Args:
        bundle: A verified bundle with ``model.pt2``.
        device: ``cpu``, ``cuda`` or ``auto``.
        threads: Threads inside one operator, for this whole process; 0 leaves torch's own setting.

    Raises:
        BundleError: The archive holds a pickle or is damaged.
        EngineError: torch cannot load the program, or has no such device.
    """

    name = NAME

    def __init__(self, bundle: Bundle, *, device: str = "auto", threads: int = 0) -> None:
        import torch
        from torch.export.passes import move_to_device_pass

        path = bundle.file(MODEL)
        check_no_pickle(path)
        if device == "auto":
            device = "cuda" if torch.cuda.is_available() else "cpu"
        if device == "cuda" and not torch.cuda.is_available():
            raise EngineError(
                "torch finds no CUDA device", mend="use device cpu; nvidia-smi shows the driver"
            )
        if threads:
            torch.set_num_threads(threads)
        try:
            with warnings.catch_warnings():
                # torch says that the archive's bytes are read-only, which they may be.
                warnings.filterwarnings("ignore", message="The given buffer is not writable")
                program = torch.export.load(path)
            module = move_to_device_pass(program, device).module()
        except Exception as error:  # noqa: BLE001 (torch.export raises whatever its parts raise)
            text = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise EngineError(
                f"torch {torch.__version__} cannot load the program: {text}",
                where=str(path),
                mend="export the checkpoint again with this torch, or install the one that the manifest names "
                f"({bundle.manifest.versions.get(NAME, 'unknown')})",
            ) from None
        self._torch: Any = torch
        self._module: Any = module
        self._device = device
        self._shape = (1, bundle.manifest.input_height, bundle.manifest.input_width, 3)
        self.info = EngineInfo(
            backend=self.name,
            version=str(torch.__version__),
            device=torch.cuda.get_device_name() if device == "cuda" else "cpu",
            precision=bundle.manifest.precision,
            threads=threads,
        )

    @staticmethod
    def unavailable() -> str:
        """Why this back end cannot run here; empty where it can."""
        try:
            import torch.export  # noqa: F401
        except (ImportError, OSError) as error:  # OSError: a CUDA library of the build is missing
            return f"{error}; pip install torch"
        return ""

    def infer(self, image_BHWC: NDArray[np.uint8]) -> EngineOutput:
        """See ``InferenceEngine.infer``.

        Raises:
            EngineError: The pixels do not fit, the engine is closed, or torch failed.
        """
        if self._module is None:
            raise EngineError("the engine is closed", mend="load it again")
        pixels = check_input(image_BHWC, self._shape)
        if not pixels.flags.writeable:
            pixels = pixels.copy()  # torch warns of arrays that it must not write to
        try:
            with self._torch.inference_mode():
                image = self._torch.from_numpy(pixels).to(self._device)
                labels, confidence, mean, *ood = self._module(image)
        except (RuntimeError, ValueError) as error:
            text = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise EngineError(f"torch failed: {text}") from None
        return EngineOutput(
            labels.contiguous().cpu().numpy(),
            confidence.contiguous().cpu().numpy(),
            mean.cpu().numpy(),
            ood[0].contiguous().cpu().numpy() if ood else None,
        )

    def close(self) -> None:
        """Free the program and, on a GPU, the memory that torch keeps for it."""
        if self._module is not None and self._device == "cuda":
            self._module = None
            self._torch.cuda.empty_cache()
        self._module = None


class CompiledTorchEngine(TorchEngine):
    """The same program, compiled by ``torch.compile`` when it is loaded; that takes a minute, and a C++ compiler.

    Args:
        bundle: A verified bundle with ``model.pt2``.
        device: ``cpu``, ``cuda`` or ``auto``.
        threads: As ``TorchEngine``.

    Raises:
        BundleError: The archive holds a pickle or is damaged.
        EngineError: torch cannot load or compile the program, or has no such device.
    """

    name = "torch-compiled"

    def __init__(self, bundle: Bundle, *, device: str = "auto", threads: int = 0) -> None:
        super().__init__(bundle, device=device, threads=threads)
        # On a GPU launched as CUDA graphs: the launches of small kernels would take longer than they do.
        mode = "reduce-overhead" if self._device == "cuda" else "default"
        self._module = self._torch.compile(self._module, mode=mode, dynamic=False)
        try:
            self.infer(np.zeros(self._shape, np.uint8))
        except EngineError:
            raise
        except Exception as error:  # noqa: BLE001 (compilers raise whatever their parts raise)
            text = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise EngineError(
                f"torch {self._torch.__version__} cannot compile the program: {text}",
                where=str(bundle.path),
                mend="install a C++ compiler (g++), or use backend torch",
            ) from None


def check_no_pickle(path: Path) -> None:
    """Refuse an exported program that ``torch.export.load`` would unpickle any part of.

    ``torch.export.save`` pickles the example inputs, tensor subclasses and custom objects; ``export`` writes programs
    without these. Everything else in the archive is JSON and raw tensor bytes.

    Raises:
        BundleError: The archive is damaged or holds a pickle.
    """
    mend = "offroad-seg export CHECKPOINT --height H --width W --out BUNDLE"
    try:
        with zipfile.ZipFile(path) as archive:
            for entry in archive.infolist():
                # The archive's own top folder comes first.
                inner = entry.filename.partition("/")[2]
                if _is_pickle(archive, entry, inner):
                    raise BundleError(f"the program holds a pickle ({inner})", where=str(path), mend=mend)
    except (zipfile.BadZipFile, OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise BundleError(f"the program's archive is damaged: {error}", where=str(path), mend=mend) from None


def _is_pickle(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, inner: str) -> bool:
    if inner.startswith("data/sample_inputs/"):
        return entry.file_size > 0
    if inner.endswith((".pt", ".pkl", ".pickle")) or "/custom_obj" in inner:
        return True
    if inner.startswith("data/") and inner.endswith(".json"):
        config = json.loads(archive.read(entry))["config"]
        return any(item.get("use_pickle", True) for item in config.values())
    return False
