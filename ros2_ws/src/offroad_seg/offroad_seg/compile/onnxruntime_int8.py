# SPDX-License-Identifier: Apache-2.0
"""Int8 by ONNX Runtime's static quantisation: the convolutions' weights and inputs, in QDQ form.

Ranges come from pictures (least and greatest value of every tensor). Weights have a scale for each output channel.
Everything but convolutions stays fp32: quantising additions and resizings too was slower and less exact.
"""

from __future__ import annotations

import logging
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from offroad_seg.engines.base import INPUT
from offroad_seg.errors import EngineError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

_OPERATORS = ("Conv", "ConvTranspose")
_VNNI = ("avx512_vnni", "avx_vnni", "asimddp")


def missing_package() -> str:
    """What has to be installed to quantise; empty where nothing is missing."""
    return "" if find_spec("onnx") else "pip install onnx"


def quantize(
    model: Path,
    target: Path,
    calibration: Sequence[NDArray[np.uint8]],
    report: Callable[[str], None],
    *,
    cpu_features: Sequence[str] = (),
    symmetric: bool = False,
) -> None:
    """Write an int8 graph in QDQ form, with the inputs and outputs of the fp32 one.

    Args:
        model: The fp32 graph.
        target: The file to write.
        calibration: Letterboxed pictures, uint8 (H, W, 3).
        report: Takes what is being done.
        cpu_features: The CPU's instruction sets. Without VNNI or its like, the products of uint8 and int8 overflow
            16 bits, so weights get 7 bits.
        symmetric: Signed inputs with their zero at 0 and no quantised bias, which TensorRT asks for; a CPU is slower
            with it.

    Raises:
        EngineError: ONNX Runtime cannot quantise the graph.
    """
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    prepared = target.with_name("prepared.onnx")
    options: dict[str, Any] = {}
    if symmetric:
        options = {"ActivationSymmetric": True, "WeightSymmetric": True, "QuantizeBias": False}
    try:
        with _quiet():
            report("preparing the graph for int8")
            quant_pre_process(str(model), str(prepared), skip_symbolic_shape=True)
            quantize_static(
                str(prepared),
                str(target),
                _Reader(calibration, report),
                quant_format=QuantFormat.QDQ,
                op_types_to_quantize=list(_OPERATORS),
                per_channel=True,
                reduce_range=bool(cpu_features) and not set(_VNNI) & set(cpu_features),
                activation_type=QuantType.QInt8 if symmetric else QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                extra_options=options,
            )
    except OSError:
        raise
    except Exception as error:
        text = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise EngineError(
            f"ONNX Runtime cannot quantise the graph: {text}", where=str(model), mend="--precision fp32"
        ) from error
    finally:
        prepared.unlink(missing_ok=True)


class _Reader:
    """Hands the pictures to ONNX Runtime, one after the other."""

    def __init__(self, images: Sequence[NDArray[np.uint8]], report: Callable[[str], None]) -> None:
        self._images, self._report = images, report
        self._next = 0

    def get_next(self) -> dict[str, NDArray[np.uint8]] | None:
        """The next input of the graph; None at the end."""
        if self._next == len(self._images):
            self._report("quantising")
            return None
        self._next += 1
        self._report(f"ranges from picture {self._next} of {len(self._images)}")
        return {INPUT: self._images[self._next - 1][None]}


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep ONNX Runtime's advice, which is for those who call it, out of the user's terminal."""
    logger = logging.getLogger()
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)
