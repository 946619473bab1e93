# SPDX-License-Identifier: Apache-2.0
"""What TensorRT says of an engine is read, and an engine that is not what was asked for is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest

from offroad_seg.engines.trt_layers import LayerTypes, read_layers
from offroad_seg.engines.trt_log import LogBook
from offroad_seg.engines.trt_precision import assert_precision
from offroad_seg.errors import EngineError

# As TensorRT for RTX 1.7 prints them while it builds.
LINES = """Layers:
Name: __myl_CastTran_myl0_0, LayerType: kgen, Inputs: [ { Name: image, Dimensions: [1,126,224,3], Strides: [84672,672,3,1], StrideOrder: [3,2,1,0], Datatype: UInt8, Format: (Linear) Row major linear format }], Constants: [ { Name: c0, Dimensions: [1,3,1,1], Strides: [3,1,3,3], StrideOrder: [3,0,2,1], Datatype: Float, Format: (NHWC) Channel major format }], Outputs: [ { Name: relu.1_2_myl0, Dimensions: [1,3,126,224], Strides: [84672,1,672,3], StrideOrder: [3,0,2,1], Datatype: Half, Format: (NHWC) Channel major format }], TacticName: __myl_Cast_0x2e, StreamId: 0, Metadata: [ONNX Layer: node_mul]
Name: node_Conv_286_myl0_1, LayerType: correlation, Inputs: [ { Name: relu.1_2_myl0, Dimensions: [1,3,126,224], Datatype: Half, Format: (NHWC) Channel major format }], Constants: [ { Name: w, Dimensions: [16,3,3,3], Datatype: Half, Format: (NHWC) Channel major format }, { Name: b, Dimensions: [1,16,1,1], Datatype: Half, Format: (NHWC) Channel major format }], Outputs: [ { Name: relu_1, Dimensions: [1,16,63,112], Datatype: Half, Format: (NHWC) Channel major format }], TacticName: __myelin_CASK_STUB, StreamId: 0, Metadata: [ONNX Layer: node_Conv_286]
Name: signal_1, LayerType: signal, Inputs: [], Constants: [], Outputs: [], TacticName: , StreamId: 0, Metadata:
"""
TENSOR = {"Name": "x", "Location": "Device", "Dimensions": [1, 16, 63, 112]}
JSON_10: dict[str, Any] = {
    "Layers": [
        {
            "Name": "conv",
            "LayerType": "CaskConvolution",
            "Inputs": [{**TENSOR, "Format/Datatype": "Channel major FP16 format where channel % 8 == 0"}],
            "Outputs": [{**TENSOR, "Format/Datatype": "Channel major FP16 format where channel % 8 == 0"}],
            "Weights": {"Type": "Half", "Count": 432},
            "Bias": {"Type": "Half", "Count": 16},
        },
        "a layer of which nothing is told",
    ],
    "Bindings": ["image", "labels"],
}


def with_type(name: str) -> str:
    """As TensorRT 11 tells: format and type apart."""
    layer = {"LayerType": "gemm", "Outputs": [{**TENSOR, "Format": "Row major", "Datatype": name}],
             "Constants": [{"Name": "w", "Dimensions": [8, 4], "Datatype": name}]}  # fmt: skip
    return json.dumps({"Layers": [layer], "I/O Tensors": []})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (LINES, LayerTypes(3, {"float": 3, "half": 448}, {"half": 1})),
        (LINES.replace("Datatype", "DataType"), LayerTypes(3, {"float": 3, "half": 448}, {"half": 1})),
        (json.dumps(JSON_10), LayerTypes(1, {"half": 448}, {"half": 1})),
        (with_type("Float"), LayerTypes(1, {"float": 32}, {"float": 1})),
        (with_type("BFloat16"), LayerTypes(1, {"other": 32}, {"other": 1})),
        ("", LayerTypes(0, {}, {})),
        ("{not json", LayerTypes(0, {}, {})),
        ('{"Layers": ["conv1", "conv2"]}', LayerTypes(0, {}, {})),
    ],
)
def test_types_are_read(text: str, expected: LayerTypes) -> None:
    assert read_layers(text) == expected


COUNT = 10_000_000
HALF_LAYERS = LayerTypes(50, {"half": COUNT, "float": 300}, {"half": 60, "float": 1})
FLOAT_LAYERS = LayerTypes(50, {"float": COUNT}, {"float": 61})


@pytest.mark.parametrize(
    "said",
    [
        {"plan_bytes": 2 * COUNT + (3 << 20)},
        {"plan_bytes": 2 * COUNT, "weights_bytes": 2 * COUNT + 4000},
        {"plan_bytes": 2 * COUNT, "layers": HALF_LAYERS},
        # Some tactics keep their weights in a larger form.
        {"plan_bytes": 5 * COUNT, "weights_bytes": 4 * COUNT, "layers": HALF_LAYERS},
    ],
)
def test_fp16_is_believed_when_it_is_shown(said: dict[str, Any]) -> None:
    proof = assert_precision("fp16", weight_count=COUNT, **said)
    assert proof.precision == "fp16"
    assert proof.told_by
    json.dumps(proof.to_dict())


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"plan_bytes": 4 * COUNT}, r"plan takes 40\.0 MB; fp16 would take about 20\.0 MB, fp32 40\.0 MB"),
        ({"plan_bytes": 1, "weights_bytes": 4 * COUNT}, r"weights take 40\.0 MB"),
        ({"plan_bytes": 1, "layers": FLOAT_LAYERS}, "0% of the numbers in its weights are half"),
        (
            {"plan_bytes": 1, "layers": LayerTypes(9, {}, {"half": 3, "float": 6})},
            "33% of its convolutions and matrix products give half: 3 half, 6 float",
        ),
    ],
)
def test_silent_fp32_is_refused(said: dict[str, Any], message: str) -> None:
    with pytest.raises(EngineError, match=f"the engine is not fp16: .*{message}"):
        assert_precision("fp16", weight_count=COUNT, **said)


def test_fp32_that_became_something_else_is_refused() -> None:
    assert_precision(
        "fp32", weight_count=COUNT, plan_bytes=4 * COUNT, weights_bytes=4 * COUNT, layers=FLOAT_LAYERS
    )
    with pytest.raises(EngineError, match="not fp32"):
        assert_precision("fp32", weight_count=COUNT, plan_bytes=2 * COUNT)


def test_size_of_a_small_plan_tells_nothing() -> None:
    """It is mostly code: what the network's types say must do."""
    assert assert_precision("fp16", weight_count=50_000, plan_bytes=2_000_000).told_by == (
        "types of the network",
    )


def book_of(*errors: str) -> LogBook:
    book = LogBook()
    for text in errors:
        book.take(text, error=True)
    return book


def test_cause_is_told_without_paths_of_the_vendor() -> None:
    book = book_of(
        "",
        "IRuntime::deserializeCudaEngine: Error Code 1: Serialization (Serialization assertion magicTagRead == kPLAN "
        "failed. Magic tag does not match In deserialize at /_src/runtime/dispatch/blob.cpp:42)",
        "second",
    )
    assert book.cause().startswith("IRuntime::deserializeCudaEngine: Error Code 1: Serialization")
    assert "/_src/" not in book.cause()
    assert LogBook().cause() == "no reason was given"


@pytest.mark.parametrize(
    ("text", "asked"),
    [
        ("Error Code 2: OutOfMemory (Requested size was 1073741824 bytes.)", 1 << 30),
        ("Requested amount of GPU memory (2097152 bytes) could not be allocated.", 2 << 20),
        ("Error Code 2: OutOfMemory (no further information)", None),
        ("CUDA error: out of memory", None),
    ],
)
def test_memory_that_ran_out_is_noticed(text: str, asked: int | None) -> None:
    book = book_of(text)
    assert book.out_of_memory
    assert book.bytes_asked == asked
    assert not book_of("Error Code 4: API Usage Error").out_of_memory


def test_what_the_builder_counted_is_kept() -> None:
    book = LogBook()
    book.take("Total Weights Memory: 65179776 bytes", error=False)
    book.take(LINES, error=False)
    assert book.weights_bytes == 65179776
    assert read_layers(book.layers).heavy == {"half": 1}
    assert book.errors == []
