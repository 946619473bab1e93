# SPDX-License-Identifier: Apache-2.0
"""Each version of torch-tensorrt is given what it takes, and nothing that it would swallow."""

from __future__ import annotations

import pytest

from offroad_seg.compile.tensorrt_versions import conversion_arguments, release
from offroad_seg.errors import EngineError

# Keyword arguments of convert_exported_program_to_serialized_trt_engine, read in py/torch_tensorrt/dynamo/_compiler.py.
COMMON = {
    "inputs", "arg_inputs", "kwarg_inputs", "device", "disable_tf32", "assume_dynamic_shape_support", "sparse_weights",
    "engine_capability", "num_avg_timing_iters", "workspace_size", "dla_sram_size", "dla_local_dram_size",
    "dla_global_dram_size", "truncate_double", "require_full_compilation", "min_block_size", "torch_executed_ops",
    "pass_through_build_failures", "max_aux_streams", "version_compatible", "optimization_level", "use_python_runtime",
    "use_fast_partitioner", "enable_experimental_decompositions", "timing_cache_path", "use_fp32_acc",
    "refit_identical_engine_weights", "strip_engine_weights", "immutable_weights", "enable_weight_streaming",
    "tiling_optimization_level", "l2_limit_for_tiling", "offload_module_to_cpu",
}  # fmt: skip
CACHED = {
    "torch_executed_modules", "dryrun", "hardware_compatible", "lazy_engine_init", "cache_built_engines",
    "reuse_cached_engines", "engine_cache_dir", "engine_cache_size", "custom_engine_cache",
}  # fmt: skip
WEAK = {"enabled_precisions", "use_explicit_typing"}
ATTENTION = {"use_distributed_mode_trace", "decompose_attention", "attn_bias_is_causal"}
SIGNATURES = {
    "2.8.0": COMMON | WEAK | {"calibrator", "allow_shape_tensors"},
    "2.9.0": COMMON | WEAK | CACHED,
    "2.10.0": COMMON | WEAK | CACHED | {"use_distributed_mode_trace"},
    "2.11.0": COMMON | WEAK | CACHED | ATTENTION,
    "2.12.1": COMMON | WEAK | CACHED | ATTENTION
    | {"runtime_cache_path", "dynamic_shapes_kernel_specialization_strategy"},
    "2.13.0": COMMON | CACHED | ATTENTION,
    "2.14.0a0": COMMON | CACHED | ATTENTION | {"use_complex_decomposition", "disabled_constant_fold_exclusions",
    "lift_mutable_buffers", "arg_input_binding_names", "kwarg_input_binding_names", "output_binding_names"},
}  # fmt: skip


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
@pytest.mark.parametrize("version", SIGNATURES)
def test_arguments_are_those_of_the_version(version: str, precision: str) -> None:
    arguments = conversion_arguments(version, precision, "timing.cache")
    assert arguments.keys() <= SIGNATURES[version]
    # In all versions half precision comes from the program, never from this set.
    assert "enabled_precisions" not in arguments
    assert arguments.get("use_explicit_typing") is (
        True if "use_explicit_typing" in SIGNATURES[version] else None
    )
    assert arguments["disable_tf32"] is (precision == "fp32")
    assert arguments["timing_cache_path"] == "timing.cache"
    assert not any(arguments.get(name) for name in ("cache_built_engines", "reuse_cached_engines"))
    assert arguments.get("attn_bias_is_causal") in (None, False)


@pytest.mark.parametrize(
    ("version", "number"),
    [("2.8.0", (2, 8)), ("2.11.0+cu130", (2, 11)), ("2.14.0a0", (2, 14)), ("3.0", (3, 0))],
)
def test_release(version: str, number: tuple[int, int]) -> None:
    assert release(version) == number


@pytest.mark.parametrize("version", ["2.7.0", "1.4.0"])
def test_old_versions_are_refused(version: str) -> None:
    with pytest.raises(EngineError, match="too old") as caught:
        conversion_arguments(version, "fp16", "x")
    assert "--route onnx" in caught.value.mend


def test_what_is_no_version() -> None:
    with pytest.raises(EngineError, match="no version"):
        release("unknown")
