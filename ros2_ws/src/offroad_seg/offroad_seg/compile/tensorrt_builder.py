# SPDX-License-Identifier: Apache-2.0
"""TensorRT: a plan for the GPU of this machine, from the bundle's exported program or from its ONNX graph.

Two routes lead to the same kind of plan, and both write float16 into the graph, so that the engine is strongly typed:

- ``torch-tensorrt``, where it is installed: from ``model.pt2``;
- ``onnx``, with TensorRT and the onnx package alone, as a JetPack has them: from ``model.onnx``.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from offroad_seg.compile.builder import Built, Plan
from offroad_seg.compile.onnx_typed import check_precision, typed_graph
from offroad_seg.compile.tensorrt_dynamo import convert_program
from offroad_seg.compile.tensorrt_dynamo import versions as dynamo_versions
from offroad_seg.compile.trt_build import build_plan, inspected, timing_cache_file
from offroad_seg.engines.base import output_names
from offroad_seg.engines.cuda import Gpu
from offroad_seg.engines.tensorrt import NAME, import_error
from offroad_seg.engines.trt_plan import PLAN
from offroad_seg.engines.trt_precision import assert_precision
from offroad_seg.errors import EngineError, GpuMemoryError, InputError

if TYPE_CHECKING:
    from pathlib import Path

    from offroad_seg.bundle import Bundle
    from offroad_seg.compile.builder import BuildTools

MODEL = "model.onnx"
PROGRAM = "model.pt2"
AUTO, DYNAMO, ONNX = "auto", "torch-tensorrt", "onnx"
ROUTES = (AUTO, DYNAMO, ONNX)
_LOG = logging.getLogger(__name__)


class TensorRtBuilder:
    """``Builder`` for the ``tensorrt`` back end.

    Args:
        route: ``torch-tensorrt``, ``onnx``, or ``auto``: the first where it can be had, and where it fails the second.
    """

    name = NAME

    def __init__(self, route: str = AUTO) -> None:
        if route not in ROUTES:
            raise InputError(
                f"there is no route '{route}'", where="--route", mend=f"one of: {', '.join(ROUTES)}"
            )
        self._route = route

    def plan(self, bundle: Bundle, precision: str) -> Plan:
        """See ``Builder.plan``.

        Raises:
            InputError: Neither fp16 nor fp32.
            EngineError: TensorRT or, where it was asked for, torch-tensorrt is not installed; or there is no GPU.
        """
        check_precision(precision, NAME)
        if reason := import_error():
            raise EngineError("TensorRT is not installed", mend=reason)
        import tensorrt

        gpu = Gpu()
        described = gpu.describe()
        gpu.close()
        route, versions = self._choose(bundle)
        fallback = (
            f"; where that fails, by the {ONNX} route" if (self._route, route) == (AUTO, DYNAMO) else ""
        )
        return Plan(
            backend=NAME,
            precision=precision,
            device=f"{described['name']} (compute capability {described['compute_capability']})",
            versions={NAME: tensorrt.__version__, **versions},
            notes=(
                f"built by the {route} route{fallback}",
                "it will be refused by another GPU and by another version of TensorRT",
            ),
            bound_to={**described, "route": self._route},
        )

    def build(self, bundle: Bundle, plan: Plan, folder: Path, tools: BuildTools) -> Built:
        """See ``Builder.build``.

        Raises:
            EngineError: An operator is not supported, or the engine is not of the precision that was asked for.
            GpuMemoryError: The GPU has no room.
        """
        gpu = Gpu()
        try:
            route, _ = self._choose(bundle)
            timing_cache = timing_cache_file(gpu.name, plan.versions[NAME])
            record: dict[str, Any] = {}
            target = folder / PLAN
            if route == DYNAMO:
                try:
                    record = self._from_program(bundle, plan, target, timing_cache, tools, gpu)
                except GpuMemoryError:
                    raise
                except EngineError as error:
                    if self._route != AUTO or tools.cancelled():
                        raise
                    _LOG.warning("%s; built from the ONNX graph instead", error.what)
                    record = {"passed_over": {DYNAMO: error.what}}
            if not target.is_file():
                record |= self._from_onnx(bundle, plan, target, timing_cache, tools, gpu)
            return Built(files={PLAN: target}, source={"engine": record}, gpu=gpu.describe())
        finally:
            gpu.close()

    def _choose(self, bundle: Bundle) -> tuple[str, dict[str, str]]:
        """The route that is tried first, and the versions of what it needs beside TensorRT."""
        if self._route == ONNX:
            bundle.file(MODEL)
            return ONNX, {}
        if self._route == DYNAMO:
            bundle.file(PROGRAM)
            return DYNAMO, dynamo_versions()
        if PROGRAM in bundle.manifest.files:
            try:
                return DYNAMO, dynamo_versions()
            except EngineError as error:
                _LOG.debug("%s", error.what)
        bundle.file(MODEL)
        return ONNX, {}

    def _from_program(
        self, bundle: Bundle, plan: Plan, target: Path, timing_cache: Path, tools: BuildTools, gpu: Gpu
    ) -> dict[str, Any]:
        import tensorrt

        made = convert_program(
            bundle.file(PROGRAM), plan.precision, timing_cache, tools, free_memory=gpu.driver.memory
        )
        if tools.cancelled():
            raise KeyboardInterrupt
        proof = assert_precision(
            plan.precision,
            plan_bytes=len(made.plan),
            weight_count=made.weight_count,
            weights_bytes=made.weights_bytes,
            layers=made.layers or inspected(tensorrt, made.plan),
            where=str(bundle.path),
        )
        target.write_bytes(made.plan)
        return {"route": DYNAMO, "precision": proof.to_dict()}

    def _from_onnx(
        self, bundle: Bundle, plan: Plan, target: Path, timing_cache: Path, tools: BuildTools, gpu: Gpu
    ) -> dict[str, Any]:
        import tensorrt

        manifest = bundle.manifest
        graph = typed_graph(bundle.file(MODEL).read_bytes(), plan.precision, output_names(manifest))
        built = build_plan(
            tensorrt,
            graph,
            (1, manifest.input_height, manifest.input_width, 3),
            tools,
            called=f"TensorRT {plan.versions[NAME]}",
            where=str(bundle.path),
            timing_cache=timing_cache,
            free_memory=gpu.driver.memory,
            inspect=True,
        )
        target.write_bytes(built.plan)
        return {"route": ONNX, "kept_fp32": list(graph.kept_fp32), "precision": built.proof.to_dict()}
