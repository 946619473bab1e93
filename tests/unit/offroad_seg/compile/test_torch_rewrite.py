# SPDX-License-Identifier: Apache-2.0
"""What torch-tensorrt cannot take is written as something else, and gives the same numbers."""

from __future__ import annotations

from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")

from torch import nn  # noqa: E402

from offroad_seg.compile.torch_half import half_program  # noqa: E402
from offroad_seg_train.export.graph import DeployedModel, export_program  # noqa: E402

HEIGHT, WIDTH, CLASSES = 20, 36, 4
ARITHMETIC = ("add", "sub", "mul", "div", "maximum", "minimum")


class Attentive(nn.Module):
    """Attention, pools that round up, and numbers in arithmetic."""

    def __init__(self, pool: int) -> None:
        super().__init__()
        torch.manual_seed(2)
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.pool = nn.AvgPool2d(pool, ceil_mode=True, count_include_pad=False)
        self.gamma = nn.Parameter(torch.rand(8))
        self.qkv = nn.Linear(8, 24)
        self.head = nn.Conv2d(8, CLASSES, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.pool(self.stem(x.float() / 255.0))
        shape = y.shape
        tokens = y.flatten(2).transpose(1, 2)
        q, k, v = self.qkv(tokens).reshape(1, -1, 3, 2, 4).permute(2, 0, 3, 1, 4).unbind(0)
        seen = nn.functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(1, -1, 8)
        tokens = (1.5 - seen * self.gamma).clamp(-2.0, 3.0)
        y = 4.0 * y + tokens.transpose(1, 2).reshape(shape)
        return nn.functional.interpolate(40 * self.head(y), x.shape[-2:], mode="bilinear")


def typed(model: nn.Module, precision: str = "fp32") -> tuple[Any, Any]:
    program = export_program(DeployedModel(model), HEIGHT, WIDTH)
    return program, half_program(program, precision)


def targets(program: Any) -> list[str]:
    return [str(node.target) for node in program.graph.nodes if node.op == "call_function"]


def test_numbers_stay_what_they_were() -> None:
    program, rewritten = typed(Attentive(2))
    image = torch.randint(0, 256, (1, HEIGHT, WIDTH, 3), dtype=torch.uint8)
    with torch.no_grad():
        labels, confidence, mean = program.module()(image)
        found = rewritten.module()(image)
    assert len(labels.unique()) >= 2
    assert torch.equal(found[0].to(torch.uint8), labels)
    assert (found[1] - confidence.float()).abs().max() <= 1
    assert found[2] == pytest.approx(float(mean), abs=1e-5)


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_operators_are_those_that_can_be_converted(precision: str) -> None:
    program, rewritten = typed(Attentive(2), precision)
    assert "aten.scaled_dot_product_attention.default" in targets(program)
    assert not [t for t in targets(rewritten) if "attention" in t or "clamp" in t or "reciprocal" in t]
    image = next(n for n in rewritten.graph.nodes if n.op == "placeholder" and "image" in n.name)
    readers = {str(n.target) for n in image.users if "_assert" not in str(n.target)}
    assert readers == {"aten.to.dtype"}
    for node in rewritten.graph.nodes:
        if str(node.target) == "aten.avg_pool2d.default":
            assert node.args[4:5] in ((), (False,))


def test_no_operand_has_fewer_axes_than_the_result() -> None:
    _, rewritten = typed(Attentive(2), "fp16")
    checked = 0
    for node in rewritten.graph.nodes:
        if getattr(getattr(node.target, "overloadpacket", None), "__name__", "") in ARITHMETIC:
            ranks = [n.meta["val"].dim() for n in node.all_input_nodes]
            assert ranks == [node.meta["val"].dim()] * 2, node.format_node()
            checked += 1
    assert checked >= 8


def test_a_pool_that_really_rounds_up_is_left() -> None:
    program, rewritten = typed(Attentive(3))
    pools = [n for n in rewritten.graph.nodes if str(n.target) == "aten.avg_pool2d.default"]
    assert [n.args[4] for n in pools] == [True]
    image = torch.randint(0, 256, (1, HEIGHT, WIDTH, 3), dtype=torch.uint8)
    with torch.no_grad():
        assert torch.equal(rewritten.module()(image)[0].to(torch.uint8), program.module()(image)[0])
