# SPDX-License-Identifier: Apache-2.0
"""Opening a plan: does it fit this machine, what does it take and give."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from offroad_seg.bundle import compile_command
from offroad_seg.engines.base import INPUT, output_names
from offroad_seg.errors import BundleError

if TYPE_CHECKING:
    from types import ModuleType

    from offroad_seg.bundle import Bundle
    from offroad_seg.engines.trt_log import LogBook

PLAN = "model.plan"
LOGIT_SUM = "logit_sum"
_MEAN = "mean_confidence"


@dataclass(frozen=True)
class PlanTensor:
    """One input or output of a plan.

    Attributes:
        name: In the plan.
        shape: Fixed.
        dtype: numpy's.
    """

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    @property
    def nbytes(self) -> int:
        """Bytes that it takes."""
        return int(np.prod(self.shape, dtype=np.int64)) * self.dtype.itemsize


def check_version(bundle: Bundle, package: str, version: str) -> None:
    """Refuse a plan of another version of the run time.

    Raises:
        BundleError: With the command that mends it.
    """
    built_with = bundle.manifest.versions.get(package)
    if built_with != version:
        raise BundleError(
            f"the engine was built by {package} {built_with}; this machine has {version}",
            where=str(bundle.path),
            mend=compile_command(bundle),
        )


def check_gpu(bundle: Bundle, name: str, compute_capability: str) -> None:
    """Refuse a plan that was built on another GPU. A plan that is bound to none (TensorRT-RTX) fits all.

    Raises:
        BundleError: With the command that mends it.
    """
    built_on = bundle.manifest.gpu
    if built_on is None:
        return
    found = {"name": name, "compute_capability": compute_capability}
    if any(built_on.get(key) != value for key, value in found.items()):
        raise BundleError(
            f"the engine was built for {_described(built_on)}; this is {_described(found)}",
            where=str(bundle.path),
            mend=compile_command(bundle),
        )


def deserialize(runtime: Any, bundle: Bundle, book: LogBook, *, called: str) -> Any:
    """The engine in a bundle's plan.

    Raises:
        BundleError: The run time refuses it: truncated, of another version, or for another GPU.
    """
    path = bundle.file(PLAN)
    data = path.read_bytes()
    engine = runtime.deserialize_cuda_engine(data)
    if engine is None:
        raise BundleError(
            f"{called} refuses the plan ({len(data) / 1e6:.1f} MB): {book.cause()}",
            where=str(path),
            mend=compile_command(bundle),
        )
    return engine


def read_tensors(trt: ModuleType, engine: Any, bundle: Bundle) -> dict[str, PlanTensor]:
    """The plan's inputs and outputs by the names of the graph contract.

    torch-tensorrt names them itself (``output0`` …); then they are told by their order, and bytes come as whole numbers
    in half precision.

    Raises:
        BundleError: They are not what the manifest promises.
    """
    module: Any = trt
    inputs: list[PlanTensor] = []
    tensors: list[PlanTensor] = []
    for i in range(engine.num_io_tensors):
        name = engine.get_tensor_name(i)
        kind = np.dtype(module.nptype(engine.get_tensor_dtype(name)))
        tensor = PlanTensor(name, tuple(engine.get_tensor_shape(name)), kind)
        is_input = engine.get_tensor_mode(name) == module.TensorIOMode.INPUT
        (inputs if is_input else tensors).append(tensor)
    promised = (*output_names(bundle.manifest), LOGIT_SUM)
    by_name = {t.name: t for t in tensors}
    if set(by_name) == {f"output{i}" for i in range(len(promised))}:
        by_name = {name: by_name[f"output{i}"] for i, name in enumerate(promised)}
    found = {INPUT: inputs[0], **by_name} if len(inputs) == 1 else by_name
    faults = _faults(found, promised, (1, bundle.manifest.input_height, bundle.manifest.input_width))
    if faults or len(inputs) != 1:
        listed = ", ".join(f"{t.name} {t.dtype} {list(t.shape)}" for t in (*inputs, *tensors))
        raise BundleError(
            f"the plan is not what the manifest says ({'; '.join(faults) or 'one input is promised'}): {listed}",
            where=str(bundle.path / PLAN),
            mend=compile_command(bundle),
        )
    return found


def _faults(
    found: dict[str, PlanTensor], promised: tuple[str, ...], shape: tuple[int, int, int]
) -> list[str]:
    faults = [f"{name} is missing" for name in (INPUT, *promised) if name not in found]
    faults += [f"{name} is not promised" for name in found if name not in (INPUT, *promised)]
    kinds: tuple[str, ...]
    wanted: tuple[int, ...]
    for name, tensor in found.items():
        if name == INPUT:
            kinds, wanted = ("uint8",), (*shape, 3)
        elif name in (_MEAN, LOGIT_SUM):
            kinds, wanted = ("float32",), shape[:1]
        else:
            kinds, wanted = ("uint8", "float16"), shape
        if tensor.dtype.name not in kinds or tensor.shape != wanted:
            faults.append(f"{name} should be {' or '.join(kinds)} {list(wanted)}")
    return faults


def _described(gpu: dict[str, Any]) -> str:
    return f"{gpu.get('name')} (compute capability {gpu.get('compute_capability')})"
