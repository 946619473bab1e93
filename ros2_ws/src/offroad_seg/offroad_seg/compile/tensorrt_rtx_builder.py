# SPDX-License-Identifier: Apache-2.0
"""TensorRT for RTX: from the bundle's ONNX graph, on any machine, with or without a GPU.

Its kernels are compiled for the GPU at hand when the engine is loaded, so a plan is bound to the version of the run
time and not to one GPU. That makes it the check of the whole path which any machine can run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from offroad_seg.compile.builder import Built, Plan
from offroad_seg.compile.onnx_typed import check_precision, typed_graph
from offroad_seg.compile.trt_build import build_plan
from offroad_seg.engines.base import output_names
from offroad_seg.engines.tensorrt_rtx import NAME, import_error
from offroad_seg.engines.trt_plan import PLAN
from offroad_seg.errors import EngineError

if TYPE_CHECKING:
    from pathlib import Path

    from offroad_seg.bundle import Bundle
    from offroad_seg.compile.builder import BuildTools

MODEL = "model.onnx"


class TensorRtRtxBuilder:
    """``Builder`` for the ``tensorrt-rtx`` back end."""

    name = NAME

    def plan(self, bundle: Bundle, precision: str) -> Plan:
        """See ``Builder.plan``.

        Raises:
            InputError: Neither fp16 nor fp32.
            EngineError: TensorRT-RTX is not installed.
        """
        check_precision(precision, NAME)
        if reason := import_error():
            raise EngineError("TensorRT for RTX is not installed", mend=reason)
        import tensorrt_rtx

        bundle.file(MODEL)
        return Plan(
            backend=NAME,
            precision=precision,
            device="any GPU that TensorRT for RTX supports; its kernels are compiled when the engine is loaded",
            versions={NAME: tensorrt_rtx.__version__},
            notes=("it will be refused by another version of TensorRT for RTX",),
        )

    def build(self, bundle: Bundle, plan: Plan, folder: Path, tools: BuildTools) -> Built:
        """See ``Builder.build``.

        Raises:
            EngineError: The graph cannot be written in this precision, an operator is not supported, or the engine is
                not of the precision that was asked for.
        """
        import tensorrt_rtx

        manifest = bundle.manifest
        graph = typed_graph(bundle.file(MODEL).read_bytes(), plan.precision, output_names(manifest))
        built = build_plan(
            tensorrt_rtx,
            graph,
            (1, manifest.input_height, manifest.input_width, 3),
            tools,
            called=f"TensorRT for RTX {plan.versions[NAME]}",
            where=str(bundle.path),
        )
        target = folder / PLAN
        target.write_bytes(built.plan)
        record = {"route": "onnx", "kept_fp32": list(graph.kept_fp32), "precision": built.proof.to_dict()}
        return Built(files={PLAN: target}, source={"engine": record})
