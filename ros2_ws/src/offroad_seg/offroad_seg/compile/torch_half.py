# SPDX-License-Identifier: Apache-2.0
"""Float16 written into an exported program, operator by operator: what torch-tensorrt builds from.

The rules are those of ``onnx_half``; the graph is torch's. Weights become float16, casts stand in the graph, norms are
folded in float64, and what torch-tensorrt cannot do at the border is left out: it has no cast to uint8, so bytes come
out as whole numbers in half precision; and TensorRT may reckon as if there were no NaN, so the sum of the logits comes
out beside.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import torch
from torch import fx, nn

from offroad_seg.compile.torch_graph import (
    attribute,
    clean,
    drop_unused,
    fold_batch_norms,
    fold_constants,
    op_name,
    set_attribute,
)
from offroad_seg.compile.torch_rewrite import cast_image_first, plain_operators, same_rank
from offroad_seg.errors import EngineError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor
    from torch.export import ExportedProgram

_EXPORT_AGAIN = "offroad-seg export CHECKPOINT --height H --width W --out BUNDLE"
_HEAVY = frozenset(
    {"conv2d", "convolution", "conv_transpose2d", "linear", "matmul", "mm", "bmm", "addmm", "baddbmm"}
    | {"scaled_dot_product_attention", "einsum"}
)
# Their intermediate values pass 65504 although their results do not.
_SUMS = frozenset(
    {"mean", "sum", "var", "std", "var_mean", "norm", "prod", "cumsum", "adaptive_avg_pool2d", "pow"}
    | {"layer_norm", "native_layer_norm", "group_norm", "native_group_norm", "instance_norm"}
)
# Through these a magnitude that float16 cannot hold goes on to the next node.
_CARRIERS = frozenset(
    {
        "relu",
        "abs",
        "neg",
        "sqrt",
        "clamp",
        "clamp_min",
        "maximum",
        "minimum",
        "add",
        "sub",
        "cat",
        "slice",
        "where",
    }
    | {
        "view",
        "reshape",
        "permute",
        "transpose",
        "squeeze",
        "unsqueeze",
        "expand",
        "upsample_bilinear2d",
        "alias",
    }
    | {"max_pool2d", "avg_pool2d", "contiguous", "clone"}
)
_HALF_MAX = torch.finfo(torch.float16).max
_HALF_TINY = torch.finfo(torch.float16).smallest_normal * 2.0**-11  # half the smallest subnormal


def half_program(program: ExportedProgram, precision: str) -> ExportedProgram:
    """The program of a bundle as torch-tensorrt takes it.

    Args:
        program: Takes one image, uint8 or float32, by pixels or by planes (a bundle's: uint8 [1, H, W, 3]); gives
            labels, confidence, mean confidence, and perhaps ood.
        precision: ``fp16``, or ``fp32`` for the same graph without float16 inside.

    Returns:
        A program with the same input. It gives labels, confidence and ood as whole numbers in float16, the mean
        confidence, and the sum of all logits, in float32.

    Raises:
        EngineError: The program is not what the graph contract says.
    """
    module = program.module()
    assert isinstance(module, fx.GraphModule)
    clean(module)
    cast_image_first(module)
    fold_constants(module)
    fold_batch_norms(module)
    logits = _find_logits(module)
    _bare_outputs(module, logits)
    plain_operators(module)
    same_rank(module)
    drop_unused(module)
    chosen = _choose(module, logits) if precision == "fp16" else set()
    if precision == "fp16" and not chosen:
        raise EngineError("there is nothing to compute in fp16 in the program", mend="--precision fp32")
    retyped = _Retyped(module, chosen)
    example = next(n for n in module.graph.nodes if n.op == "placeholder").meta["val"]
    image = torch.zeros(tuple(example.shape), dtype=example.dtype)
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        exported = torch.export.export(retyped, (image,), strict=False)
    _require(exported, precision)
    return exported


def heavy_types(program: ExportedProgram) -> dict[str, torch.dtype]:
    """Each convolution and matrix product of a program → the type of its result."""
    return {
        node.name: node.meta["val"].dtype
        for node in program.graph.nodes
        if op_name(node) in _HEAVY and hasattr(node.meta.get("val"), "dtype")
    }


def weight_count(program: ExportedProgram) -> int:
    """Floating-point numbers in the weights of a program."""
    tensors = (*program.state_dict.values(), *program.constants.values())
    return sum(t.numel() for t in tensors if isinstance(t, torch.Tensor) and t.is_floating_point())


class _Retyped(nn.Module):  # type: ignore[misc]
    """Runs a graph node by node and casts what goes into each. Traced, the casts stand in the graph."""

    def __init__(self, module: fx.GraphModule, chosen: set[str]) -> None:
        super().__init__()
        self.inner = module
        self.chosen = chosen
        self.training = False
        for name in _constants_of(module, chosen):
            value = attribute(module, name)
            if value.is_floating_point():
                set_attribute(module, name, value.to(torch.float16))

    def forward(self, image_BHWC: Tensor) -> Any:
        return _Caster(self.inner, self.chosen).run(image_BHWC)


class _Caster(fx.Interpreter):  # type: ignore[misc]
    def __init__(self, module: fx.GraphModule, chosen: set[str]) -> None:
        super().__init__(module, garbage_collect_values=False)
        self._chosen = chosen

    def run_node(self, n: fx.Node) -> Any:
        if n.op != "call_function":
            return super().run_node(n)
        args, kwargs = self.fetch_args_kwargs_from_env(n)
        half = n.name in self._chosen
        source, wanted = (torch.float32, torch.float16) if half else (torch.float16, torch.float32)

        def cast(value: Any) -> Any:
            if isinstance(value, torch.Tensor) and value.dtype == source:
                return value.to(wanted)
            return value

        args, kwargs = fx.node.map_aggregate((args, kwargs), cast)
        if half:  # what a node names itself
            args, kwargs = fx.node.map_aggregate(
                (args, kwargs), lambda v: torch.float16 if v is torch.float32 else v
            )
        return self.call_function(n.target, args, kwargs)


def _find_logits(module: fx.GraphModule) -> fx.Node:
    """The tensor whose largest channel is the label.

    Raises:
        EngineError: The labels do not come from an argmax.
    """
    node = _outputs(module)[0]
    while isinstance(node, fx.Node) and op_name(node) in ("to", "_to_copy", "alias", "squeeze"):
        node = node.all_input_nodes[0]
    if op_name(node) != "argmax":
        raise EngineError(
            "the labels of the program do not come from an argmax over logits", mend=_EXPORT_AGAIN
        )
    return node.all_input_nodes[0]


def _bare_outputs(module: fx.GraphModule, logits: fx.Node) -> None:
    """Outputs in types that torch-tensorrt has; the sum of the logits last."""
    graph = module.graph
    output = next(n for n in graph.nodes if n.op == "output")
    found = []
    with graph.inserting_before(output):
        for node in _outputs(module):
            if op_name(node) == "where":  # mean confidence, or NaN: the host looks at the sum of the logits
                node = node.args[1]
            if op_name(node) == "to" and node.args[1] is torch.uint8:
                whole = graph.call_function(torch.ops.aten.to.dtype, (node.args[0], torch.float32))
                node = graph.call_function(torch.ops.aten.to.dtype, (whole, torch.float16))
            found.append(node)
        axes = list(range(1, logits.meta["val"].dim()))
        found.append(graph.call_function(torch.ops.aten.sum.dim_IntList, (logits, axes)))
    output.args = (tuple(found),)
    graph.eliminate_dead_code()
    # What came out was described for the outputs that were there before.
    graph.set_codegen(fx.graph.CodeGen())
    graph.lint()
    module.recompile()


def _choose(module: fx.GraphModule, logits: fx.Node) -> set[str]:
    """Nodes that compute in float16: from the first convolution to the logits, but for sums."""
    inside: set[fx.Node] = set()
    waiting = [logits]
    while waiting:
        node = waiting.pop()
        if node not in inside:
            inside.add(node)
            waiting.extend(node.all_input_nodes)
    behind_first: set[fx.Node] = set()
    out_of_range: set[fx.Node] = set()
    chosen = set()
    for node in module.graph.nodes:
        if node not in inside or node.op != "call_function":
            continue
        sources = node.all_input_nodes
        if op_name(node) not in _HEAVY and not any(n in behind_first for n in sources):
            continue
        behind_first.add(node)
        reads_out_of_range = any(n in out_of_range for n in sources)
        if _unfit(module, node) or (reads_out_of_range and op_name(node) in _CARRIERS):
            out_of_range.add(node)
        elif op_name(node) not in _SUMS and not reads_out_of_range:
            chosen.add(node.name)
    return chosen


def _unfit(module: fx.GraphModule, node: fx.Node) -> bool:
    """Whether a constant of the node cannot be held in float16."""
    for source in node.all_input_nodes:
        if source.op == "get_attr":
            value = attribute(module, str(source.target))
            largest = float(value.abs().max()) if value.is_floating_point() and value.numel() else 0.0
            # A weight that becomes 0 changes nothing; an epsilon that does divides by it.
            if largest > _HALF_MAX or (value.numel() == 1 and 0.0 < largest < _HALF_TINY):
                return True
    numbers = [a for a in node.args if isinstance(a, float)]
    return any(abs(v) > _HALF_MAX or 0.0 < abs(v) < _HALF_TINY for v in numbers)


def _constants_of(module: fx.GraphModule, chosen: set[str]) -> Iterator[str]:
    """Names of constants that only nodes in float16 read."""
    for node in module.graph.nodes:
        if node.op == "get_attr" and node.users and all(user.name in chosen for user in node.users):
            yield str(node.target)


def _require(program: ExportedProgram, precision: str) -> None:
    """Refuse a program that is fp16 in name only."""
    wanted = torch.float16 if precision == "fp16" else torch.float32
    types = heavy_types(program)
    wrong = [name for name, kind in types.items() if kind != wanted]
    if not types or len(wrong) > max(1, len(types) // 10):
        raise EngineError(
            f"{len(wrong)} of {len(types)} convolutions and matrix products of the program are not {precision}",
            mend=_EXPORT_AGAIN,
        )


def _outputs(module: fx.GraphModule) -> list[fx.Node]:
    output = next(n for n in module.graph.nodes if n.op == "output")
    found = output.args[0]
    return list(found) if isinstance(found, (tuple, list)) else [found]
