# SPDX-License-Identifier: Apache-2.0
"""An ONNX graph in memory: nodes, constants as arrays, and the type and shape of every tensor."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from offroad_seg.errors import EngineError

if TYPE_CHECKING:
    from numpy.typing import NDArray

EXPORT_AGAIN = "export the checkpoint again: offroad-seg export CHECKPOINT --height H --width W --out BUNDLE"
_OLDEST_OPSET = 13
_SMALL = 1024  # constants of no more elements may decide on shapes; larger ones are weights


class OnnxGraph:
    """An ONNX graph that can be changed.

    Args:
        data: The serialised model.

    Attributes:
        nodes: In an order in which they can run.
        constants: Initialisers and ``Constant`` nodes by name.
        types: Tensor → ONNX element type.
        shapes: Tensor → shape, where it is fixed.

    Raises:
        EngineError: The onnx package is missing, this is no ONNX model, it has branches or loops, or its operator set
            is older than 13.
    """

    def __init__(self, data: bytes) -> None:
        self.onnx: Any = _import_onnx()
        try:
            model = self.onnx.load_from_string(data)
            self.onnx.checker.check_model(model)
        except Exception as error:  # noqa: BLE001 (protobuf and the checker raise errors of their own)
            raise EngineError(
                f"this is no valid ONNX graph: {first_line(error)}", mend=EXPORT_AGAIN
            ) from None
        opset = next((o.version for o in model.opset_import if o.domain in ("", "ai.onnx")), 0)
        if opset < _OLDEST_OPSET:
            raise EngineError(
                f"the graph is of ONNX opset {opset}; {_OLDEST_OPSET} or newer is needed", mend=EXPORT_AGAIN
            )
        graph = model.graph
        self.constants: dict[str, NDArray[Any]] = {
            t.name: self.onnx.numpy_helper.to_array(t) for t in graph.initializer
        }
        self.nodes: list[Any] = []
        known = {"", "ai.onnx"} | {f.domain for f in model.functions}
        for node in graph.node:
            if node.domain not in known:
                raise EngineError(
                    f"{called(node)} is no operator of ONNX, but of '{node.domain}'",
                    mend="use a model without operators of its own",
                )
            if any(a.HasField("g") or a.graphs for a in node.attribute):
                raise EngineError(
                    f"the graph has a branch or a loop: {called(node)}",
                    mend="export a network without control flow",
                )
            if not self._lift_constant(node):
                copy = self.onnx.NodeProto()
                copy.CopyFrom(node)
                self.nodes.append(copy)
        del graph.node[:], graph.initializer[:], graph.value_info[:]
        self._shell: Any = model
        self.types: dict[str, int] = {}
        self.shapes: dict[str, tuple[int, ...]] = {}
        self.infer_types()

    @property
    def inputs(self) -> list[str]:
        """Names of what goes in, without constants."""
        return [v.name for v in self._shell.graph.input if v.name not in self.constants]

    @property
    def outputs(self) -> list[str]:
        """Names of what comes out."""
        return [v.name for v in self._shell.graph.output]

    @property
    def opsets(self) -> list[Any]:
        """Operator sets that the nodes belong to."""
        return list(self._shell.opset_import)

    @property
    def ir_version(self) -> int:
        """Version of the file format."""
        return int(self._shell.ir_version)

    def make(self, op: str, inputs: list[str], output: str, **attributes: Any) -> Any:
        """A node that is named after its output. It is not yet in the graph."""
        return self.onnx.helper.make_node(op, inputs, [output], name=f"{output}/{op}", **attributes)

    def add_output(self, name: str, dtype: int, shape: list[int]) -> None:
        """Make a tensor an output of the graph."""
        self._shell.graph.output.append(self.onnx.helper.make_tensor_value_info(name, dtype, shape))

    def consumers(self) -> dict[str, list[Any]]:
        """Tensor → the nodes that read it."""
        found: dict[str, list[Any]] = {}
        for node in self.nodes:
            for name in node.input:
                found.setdefault(name, []).append(node)
        return found

    def producers(self) -> dict[str, Any]:
        """Tensor → the node that makes it."""
        return {name: node for node in self.nodes for name in node.output if name}

    def ancestors(self, tensor: str) -> set[str]:
        """First outputs of all nodes that a tensor depends on."""
        made_by = self.producers()
        found: set[str] = set()
        waiting = [tensor]
        while waiting:
            node = made_by.get(waiting.pop())
            if node is not None and node.output[0] not in found:
                found.add(node.output[0])
                waiting.extend(node.input)
        return found

    def infer_types(self, *, strict: bool = False) -> None:
        """Work out the type and, where it is fixed, the shape of every tensor.

        Raises:
            EngineError: With ``strict``: an operator does not take the types that it is given.
        """
        helper = self.onnx.helper
        model = self.onnx.ModelProto()
        model.CopyFrom(self._shell)
        graph = model.graph
        graph.node.extend(self.nodes)
        declared = {v.name for v in graph.input}
        for name, array in self.constants.items():
            # Weights only say their type and shape here: copying them for each look would take long.
            if array.size <= _SMALL:
                graph.initializer.append(self.onnx.numpy_helper.from_array(np.ascontiguousarray(array), name))
            elif name not in declared:
                kind = helper.np_dtype_to_tensor_dtype(array.dtype)
                graph.input.append(helper.make_tensor_value_info(name, kind, array.shape))
        try:
            inferred = self.onnx.shape_inference.infer_shapes(
                model, check_type=strict, strict_mode=strict, data_prop=True
            ).graph
        except Exception as error:  # noqa: BLE001 (as above)
            raise EngineError(
                f"the types in the graph do not fit: {first_line(error)}", mend=EXPORT_AGAIN
            ) from None
        self.types = {n: helper.np_dtype_to_tensor_dtype(a.dtype) for n, a in self.constants.items()}
        self.shapes = {n: a.shape for n, a in self.constants.items()}
        for value in (*inferred.input, *inferred.value_info, *inferred.output):
            tensor = value.type.tensor_type
            self.types[value.name] = tensor.elem_type
            if tensor.HasField("shape") and all(d.HasField("dim_value") for d in tensor.shape.dim):
                self.shapes[value.name] = tuple(d.dim_value for d in tensor.shape.dim)

    def serialize(self) -> bytes:
        """The model as bytes, without constants that nothing reads."""
        used = {name for node in self.nodes for name in node.input} | set(self.outputs)
        self.constants = {name: array for name, array in self.constants.items() if name in used}
        model = self.onnx.ModelProto()
        model.CopyFrom(self._shell)
        model.graph.node.extend(self.nodes)
        model.graph.initializer.extend(
            self.onnx.numpy_helper.from_array(np.ascontiguousarray(a), n) for n, a in self.constants.items()
        )
        data: bytes = model.SerializeToString()
        return data

    def _lift_constant(self, node: Any) -> bool:
        """Turn a Constant node into a named constant, so that there is one kind."""
        value = next((a for a in node.attribute if a.name.startswith("value")), None)
        if node.op_type != "Constant" or value is None:
            return False
        content = self.onnx.helper.get_attribute_value(value)
        if value.name == "value":
            content = self.onnx.numpy_helper.to_array(content)
        else:
            content = np.array(content, np.float32 if value.name.startswith("value_float") else np.int64)
        self.constants[node.output[0]] = content
        return True


def called(node: Any) -> str:
    """A node as people find it: name and operator."""
    return f"node '{node.name or node.output[0]}' ({node.op_type})"


def first_line(error: Exception) -> str:
    """The first line of an error's text that says something."""
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)


def _import_onnx() -> Any:
    try:
        import onnx
        import onnx.shape_inference
    except ImportError as error:
        raise EngineError(
            f"types are written into the ONNX graph with the onnx package, which is missing: {error}",
            mend="pip install onnx",
        ) from None
    return onnx
