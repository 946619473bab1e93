# SPDX-License-Identifier: Apache-2.0
"""What differs between versions of torch-tensorrt, in one place.

Read in the sources of v2.8.0, v2.9.0, v2.10.0, v2.11.0, v2.12.1, v2.13.0, 2.14.0a0 (in ``py/torch_tensorrt/dynamo/``:
``_compiler.py``, ``_defaults.py``, ``conversion/_TRTInterpreter.py``, ``conversion/aten_ops_converters.py``):

- 2.8, 2.9: weakly typed unless ``use_explicit_typing`` is given, which is off by default. ``enabled_precisions`` alone
  makes a weakly typed engine, in which TensorRT may choose float32. 2.8 has no engine cache.
- 2.10 to 2.12: ``use_explicit_typing`` is on by default, and refuses an ``enabled_precisions`` other than float32.
- 2.13 and newer (TensorRT 11): all networks are strongly typed and both arguments are gone. ``**kwargs`` swallows them
  without a word: an engine that was asked for in half precision by ``enabled_precisions`` comes out in float32.
- all: no converter casts to uint8, and of a uint8 input TensorRT takes nothing but a cast; inputs keep their name,
  outputs are called ``output0``, ``output1`` …; the timing cache lies in the temporary folder unless told otherwise, is
  written in place, and ends the conversion where it is damaged.
- 2.11 and newer: a bias of attention is taken for causal unless told otherwise.
- all: a number or a constant of fewer axes is repeated over the whole tensor that it meets, and the repetition is kept
  as a weight; ``avg_pool2d`` that rounds up has no converter; attention is decomposed by device, not always into what
  has one (``torch_rewrite``).
- all: layers keep their names only, so that a plan cannot tell its types (``tensorrt_dynamo``).
- 2.8 to 2.12: an operator that cannot be converted ends in an ``UnboundLocalError``; why stands only in the log.
"""

from __future__ import annotations

import re
from typing import Any

from offroad_seg.errors import EngineError

OLDEST = (2, 8)
_ENGINE_CACHE_SINCE = (2, 9)
_CAUSAL_BIAS_SINCE = (2, 11)
_STRONG_ONLY_SINCE = (2, 13)


def release(version: str) -> tuple[int, int]:
    """Major and minor of a version such as ``2.8.0+cu126`` or ``2.14.0a0``.

    Raises:
        EngineError: It is no version.
    """
    found = re.match(r"(\d+)\.(\d+)", version)
    if found is None:
        raise EngineError(f"'{version}' is no version of torch-tensorrt", mend="pip install torch-tensorrt")
    return int(found.group(1)), int(found.group(2))


def conversion_arguments(version: str, precision: str, timing_cache: str) -> dict[str, Any]:
    """Keyword arguments for ``convert_exported_program_to_serialized_trt_engine``.

    Args:
        version: Of torch-tensorrt.
        precision: ``fp16`` or ``fp32``; the program has its types already.
        timing_cache: File for the timings of kernels.

    Raises:
        EngineError: The version is too old.
    """
    number = release(version)
    if number < OLDEST:
        raise EngineError(
            f"torch-tensorrt {version} is too old; {OLDEST[0]}.{OLDEST[1]} is the oldest that is known to do",
            mend="install the torch-tensorrt that fits this TensorRT, or --route onnx",
        )
    arguments: dict[str, Any] = {
        "disable_tf32": precision == "fp32",  # 10 bits of mantissa are not fp32
        "truncate_double": True,
        "immutable_weights": True,
        "pass_through_build_failures": True,
        "timing_cache_path": timing_cache,
    }
    if number >= _ENGINE_CACHE_SINCE:
        # Its key holds neither the GPU nor TensorRT's version.
        arguments |= {"cache_built_engines": False, "reuse_cached_engines": False}
    if number >= _CAUSAL_BIAS_SINCE:
        arguments["attn_bias_is_causal"] = False  # an image has no order in time
    if number < _STRONG_ONLY_SINCE:
        arguments["use_explicit_typing"] = True
    return arguments
