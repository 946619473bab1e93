# SPDX-License-Identifier: Apache-2.0
"""Exact changes to a torch graph that torch-tensorrt and TensorRT ask for: what ``onnx_rewrite`` does to ONNX.

Each was found by converting every network of the zoo with torch-tensorrt 2.11 and a real builder.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import fx

from offroad_seg.compile.torch_graph import attribute, constant

_ATEN = torch.ops.aten
_ARITHMETIC = (
    _ATEN.add.Tensor,
    _ATEN.sub.Tensor,
    _ATEN.mul.Tensor,
    _ATEN.div.Tensor,
    _ATEN.maximum.default,
    _ATEN.minimum.default,
)


def cast_image_first(module: fx.GraphModule) -> None:
    """Cast the image to float32 as soon as it comes in.

    TensorRT takes uint8 at its borders only: nothing but a cast may touch it there.
    """
    graph = module.graph
    image = next(node for node in graph.nodes if node.op == "placeholder")
    if image.meta["val"].dtype == torch.float32:
        return
    with graph.inserting_after(image):
        cast = graph.call_function(torch.ops.aten.to.dtype, (image, torch.float32))
    image.replace_all_uses_with(cast, delete_user_cb=lambda user: user is not cast)
    module.recompile()


def plain_operators(module: fx.GraphModule) -> None:
    """Write operators for which torch-tensorrt has no converter as others, where that is exact.

    Where it is not they are left, and the conversion says which it cannot take.
    """
    graph = module.graph
    for node in list(graph.nodes):
        if node.target == _ATEN.scaled_dot_product_attention.default:
            _as_products(module, node)
        elif node.target == _ATEN.avg_pool2d.default:
            _without_ceil(node)
    graph.eliminate_dead_code()
    module.recompile()


def same_rank(module: fx.GraphModule) -> None:
    """Give numbers and constants in arithmetic as many axes as the tensor that they meet.

    torch-tensorrt repeats whatever has fewer axes over the whole tensor, and TensorRT keeps the repetition as a weight:
    a picture full of 255.0 for one multiplication.
    """
    graph = module.graph
    for index, node in enumerate(list(graph.nodes)):
        value = node.meta.get("val")
        if not isinstance(value, torch.Tensor) or value.dtype != torch.float32:
            continue
        with graph.inserting_before(node):
            _as_arithmetic(module, node, index)
            if node.target in _ARITHMETIC:
                for position in (0, 1):
                    _raise_rank(module, node, position, f"number_{index}_{position}")
    graph.eliminate_dead_code()
    module.recompile()


def _as_arithmetic(module: fx.GraphModule, node: fx.Node, index: int) -> None:
    """Write operators that hold numbers as the arithmetic that they are."""
    if node.target == _ATEN.reciprocal.default:
        node.target, node.args = _ATEN.div.Tensor, (1.0, node.args[0])
    elif node.target == _ATEN.rsub.Scalar and len(node.args) == 2 and not node.kwargs:
        node.target, node.args = _ATEN.sub.Tensor, (node.args[1], node.args[0])
    elif node.target == _ATEN.clamp.default and not node.kwargs:
        source, low, high = (*node.args, None)[:3]
        bounds = [(_ATEN.maximum.default, low), (_ATEN.minimum.default, high)]
        bounds = [(target, bound) for target, bound in bounds if bound is not None]
        for target, bound in bounds[:-1]:
            source = _call(module, node.meta["val"], target, source, bound)
            _raise_rank(module, source, 1, f"bound_{index}")
        node.target, node.args = bounds[-1][0], (source, bounds[-1][1])


def _raise_rank(module: fx.GraphModule, node: fx.Node, position: int, name: str) -> None:
    rank = node.meta["val"].dim()
    held = node.args[position]
    if isinstance(held, (int, float)):
        value = torch.tensor(float(held)).reshape((1,) * rank)
    elif isinstance(held, fx.Node) and held.op == "get_attr":
        value = attribute(module, str(held.target))
        if value.dim() >= rank:
            return
        value = value.reshape((1,) * (rank - value.dim()) + tuple(value.shape))
    else:
        return
    with module.graph.inserting_before(node):
        node.update_arg(position, constant(module, name, value))


def _as_products(module: fx.GraphModule, node: fx.Node) -> None:
    """Attention as matrix products: what torch makes of it differs by device, and not all of that can be converted."""
    query, key, value, mask, dropout, causal = (*node.args, None, None, None)[:6]
    given = {"attn_mask": mask, "dropout_p": dropout, "is_causal": causal, **node.kwargs}
    if any(given.get(name) for name in ("attn_mask", "dropout_p", "is_causal", "enable_gqa")):
        return
    assert isinstance(query, fx.Node)
    assert isinstance(key, fx.Node)
    left, right = query.meta["val"], key.meta["val"].transpose(-2, -1)
    scale = given.get("scale") or 1.0 / math.sqrt(left.shape[-1])
    with module.graph.inserting_before(node):
        turned = _call(module, right, _ATEN.transpose.int, key, -2, -1)
        # In float16 a product of large vectors might overflow before it is scaled.
        scaled = _call(module, left, _ATEN.mul.Tensor, query, scale)
        scores = _call(module, left @ right, _ATEN.matmul.default, scaled, turned)
        weights = _call(module, left @ right, _ATEN.softmax.int, scores, -1)
        result = _call(module, node.meta["val"], _ATEN.matmul.default, weights, value)
    node.replace_all_uses_with(result)
    module.graph.erase_node(node)  # torch takes it for random and would keep it


def _without_ceil(node: fx.Node) -> None:
    """Round down where there is nothing to round."""
    source, kernel, stride, padding, ceil, *rest = (*node.args, [0, 0], False)[:5] + node.args[5:]
    if not ceil or len(node.args) < 5:
        return
    sizes = source.meta["val"].shape[-2:]
    steps = stride or kernel
    if all((n + 2 * p - k) % s == 0 for n, p, k, s in zip(sizes, padding, kernel, steps, strict=True)):
        node.args = (source, kernel, stride, padding, False, *rest)


def _call(module: fx.GraphModule, like: Any, target: Any, *arguments: Any) -> fx.Node:
    """A new node that knows the shape and type of its result."""
    node = module.graph.call_function(target, arguments)
    node.meta["val"] = like
    return node
