# SPDX-License-Identifier: Apache-2.0
"""Reading and simplifying a torch graph, exactly: what ``onnx_graph`` and ``onnx_fold`` do to ONNX."""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, Any

import torch
from torch import fx, nn

if TYPE_CHECKING:
    from torch import Tensor


def op_name(node: fx.Node) -> str:
    """Plain name of an operator, without overload and the mark of working in place."""
    packet = getattr(node.target, "overloadpacket", None)
    return "" if node.op != "call_function" or packet is None else str(packet.__name__).removesuffix("_")


def clean(module: fx.GraphModule) -> None:
    """Take out checks of types, and let operators that work in place give a new tensor instead."""
    graph = module.graph
    newest: dict[fx.Node, fx.Node] = {}
    for node in list(graph.nodes):
        node.args, node.kwargs = fx.node.map_arg((node.args, node.kwargs), lambda n: newest.get(n, n))
        if node.op == "call_module" or "_assert" in str(node.target):
            graph.erase_node(node)
            continue
        packet = getattr(node.target, "overloadpacket", None)
        if node.op == "call_function" and packet is not None and packet.__name__.endswith("_"):
            plain = getattr(torch.ops.aten, packet.__name__[:-1])
            changed = node.args[0]
            node.target = getattr(plain, node.target._overloadname)
            assert isinstance(changed, fx.Node)
            newest[changed] = node
            for older, newer in newest.items():
                if newer is changed:
                    newest[older] = node
    graph.lint()
    module.recompile()


def fold_constants(module: fx.GraphModule) -> None:
    """Work out once what does not depend on the image, such as a resized position embedding."""
    graph = module.graph
    known: dict[fx.Node, Any] = {}
    for node in list(graph.nodes):
        if node.op == "get_attr":
            known[node] = attribute(module, str(node.target))
        elif (
            node.op == "call_function"
            and node.all_input_nodes
            and all(n in known for n in node.all_input_nodes)
        ):
            args, kwargs = fx.node.map_arg((node.args, node.kwargs), lambda n: known[n])
            with torch.no_grad():
                known[node] = node.target(*args, **kwargs)
    for index, (node, value) in enumerate(known.items()):
        outside = [user for user in node.users if user not in known]
        if node.op == "call_function" and outside and isinstance(value, torch.Tensor):
            name = f"folded_{index}"
            module.register_buffer(name, value.contiguous(), persistent=True)
            with graph.inserting_before(node):
                constant = graph.get_attr(name)
            node.replace_all_uses_with(constant, delete_user_cb=lambda user: user not in known)
    graph.eliminate_dead_code()
    module.recompile()


def fold_batch_norms(module: fx.GraphModule) -> None:
    """Fold norms into the convolution before them, else into a multiplication and an addition; in float64."""
    graph = module.graph
    for index, node in enumerate(list(graph.nodes)):
        if op_name(node) != "batch_norm":
            continue
        source, *constants = node.args[:5]
        gamma, beta, mean, variance = (attribute(module, str(c.target)).double() for c in constants)
        scale = gamma / torch.sqrt(variance + node.args[7])
        shift = beta - mean * scale
        alone = len(source.users) == 1 and op_name(source) in ("conv2d", "conv_transpose2d")
        if alone and _fold_into(module, source, scale, shift, index):
            node.replace_all_uses_with(source)
        else:
            shape = (1, -1, *([1] * (node.meta["val"].dim() - 2)))
            with graph.inserting_before(node):
                factor = constant(module, f"norm_{index}_scale", scale.reshape(shape))
                offset = constant(module, f"norm_{index}_shift", shift.reshape(shape))
                scaled = graph.call_function(torch.ops.aten.mul.Tensor, (source, factor))
                moved = graph.call_function(torch.ops.aten.add.Tensor, (scaled, offset))
            for made in (scaled, moved):
                made.meta["val"] = node.meta["val"]
            node.replace_all_uses_with(moved)
        graph.erase_node(node)
    graph.eliminate_dead_code()
    module.recompile()


def drop_unused(module: fx.GraphModule) -> None:
    """Let go of weights that the graph no longer reads: they would be exported, and counted, all the same."""
    used = {str(node.target) for node in module.graph.nodes if node.op == "get_attr"}
    for prefix, owner in module.named_modules():
        for held in (owner._parameters, owner._buffers):
            for leaf in list(held):
                if (f"{prefix}.{leaf}" if prefix else leaf) not in used:
                    del held[leaf]


def attribute(module: nn.Module, name: str) -> Any:
    """A parameter or buffer by its full name, apart from autograd."""
    found = operator.attrgetter(name)(module)
    return found.detach() if isinstance(found, torch.Tensor) else found


def set_attribute(module: nn.Module, name: str, value: Tensor) -> None:
    """Put another tensor in a parameter's or buffer's place."""
    owner_name, _, leaf = name.rpartition(".")
    owner = attribute(module, owner_name) if owner_name else module
    if leaf in owner._parameters:
        owner._parameters[leaf] = nn.Parameter(value, requires_grad=False)
    else:
        setattr(owner, leaf, value)


def constant(module: fx.GraphModule, name: str, value: Tensor) -> fx.Node:
    """A new float32 constant, where the graph inserts now."""
    module.register_buffer(name, value.float(), persistent=True)
    return module.graph.get_attr(name)


def _fold_into(module: fx.GraphModule, conv: fx.Node, scale: Tensor, shift: Tensor, index: int) -> bool:
    arguments = list(conv.args)
    weight_node, bias_node = arguments[1], arguments[2] if len(arguments) > 2 else None
    if not isinstance(weight_node, fx.Node) or weight_node.op != "get_attr":
        return False
    weight = attribute(module, str(weight_node.target)).double()
    rest = [1] * (weight.dim() - 2)
    if op_name(conv) == "conv2d":  # (out, in / groups, …)
        weight = weight * scale.reshape(-1, 1, *rest)
    else:  # (in, out / groups, …); arguments: input, weight, bias, stride, padding, output padding, groups
        groups = arguments[6] if len(arguments) > 6 else 1
        assert isinstance(groups, int)
        by_group = weight.reshape(groups, -1, *weight.shape[1:])
        weight = (by_group * scale.reshape(groups, 1, -1, *rest)).reshape(weight.shape)
    bias = torch.zeros_like(shift)
    if isinstance(bias_node, fx.Node):
        bias = attribute(module, str(bias_node.target)).double()
    with module.graph.inserting_before(conv):
        arguments[1] = constant(module, f"norm_{index}_weight", weight)
        new_bias = constant(module, f"norm_{index}_bias", bias * scale + shift)
    arguments[2:3] = [new_bias]
    conv.args = tuple(arguments)
    return True
