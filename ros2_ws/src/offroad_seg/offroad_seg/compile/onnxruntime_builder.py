# SPDX-License-Identifier: Apache-2.0
"""ONNX Runtime's graph, optimised beforehand for this machine's CPU, in fp32 or int8.

Loading then skips the optimisation. The weights are laid out for this CPU's vector width, so the result is as bound to
the machine as a TensorRT engine is to its GPU, and goes through the same steps.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from offroad_seg.compile.builder import Built, Plan
from offroad_seg.compile.onnxruntime_int8 import missing_package, quantize
from offroad_seg.engines.cpu import describe_cpu
from offroad_seg.engines.onnxruntime import MODEL, NAME, OnnxRuntimeEngine
from offroad_seg.errors import EngineError, InputError

if TYPE_CHECKING:
    from pathlib import Path

    from offroad_seg.bundle import Bundle
    from offroad_seg.compile.builder import BuildTools

_ERRORS_ONLY = 3
_PRECISIONS = ("fp32", "int8")


class OnnxRuntimeBuilder:
    """``Builder`` for the ``onnxruntime`` back end on a CPU."""

    name = NAME

    def plan(self, bundle: Bundle, precision: str) -> Plan:
        """See ``Builder.plan``.

        Raises:
            InputError: In fp16.
            EngineError: ONNX Runtime, or what quantises its graphs, is not installed.
        """
        if precision not in _PRECISIONS:
            raise InputError(
                f"ONNX Runtime on a CPU is built in {' or '.join(_PRECISIONS)}, not {precision}",
                where=str(bundle.path),
                mend="--precision fp32",
            )
        if reason := OnnxRuntimeEngine.unavailable():
            raise EngineError("ONNX Runtime is not installed", mend=reason)
        if precision == "int8" and (mend := missing_package()):
            raise EngineError("int8 needs a package that is not installed", mend=mend)
        import onnxruntime as ort

        bundle.file(MODEL)
        cpu = describe_cpu()
        return Plan(
            backend=NAME,
            precision=precision,
            device=f"CPU {cpu['model']} [{cpu['machine']} {' '.join(cpu['features'])}]",
            versions={NAME: ort.__version__},
            notes=("it will be refused by another ONNX Runtime or another kind of CPU",),
            bound_to={"machine": cpu["machine"], "features": " ".join(cpu["features"])},
        )

    def build(self, bundle: Bundle, plan: Plan, folder: Path, tools: BuildTools) -> Built:
        """See ``Builder.build``.

        Raises:
            EngineError: ONNX Runtime refused the graph.
        """
        import onnxruntime as ort

        source, target = bundle.file(MODEL), folder / MODEL
        if plan.precision == "int8":
            source = folder / "int8.onnx"
            features = describe_cpu()["features"]
            quantize(bundle.file(MODEL), source, tools.calibration, tools.report, cpu_features=features)
        tools.report("optimising the graph")
        options = ort.SessionOptions()
        options.log_severity_level = _ERRORS_ONLY
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
        options.optimized_model_filepath = str(target)
        try:
            ort.InferenceSession(str(source), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # noqa: BLE001 (ONNX Runtime's exceptions share no base but this)
            raise EngineError(
                f"ONNX Runtime {plan.versions[NAME]} cannot optimise the graph: {str(error).splitlines()[0]}",
                where=str(bundle.path),
                mend="export the checkpoint again",
            ) from None
        return Built(files={MODEL: target}, source={"compiled_on": describe_cpu()})
