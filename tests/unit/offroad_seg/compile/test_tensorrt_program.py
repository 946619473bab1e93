# SPDX-License-Identifier: Apache-2.0
"""Float16 written into exported programs, and what torch-tensorrt is given and answers."""

from __future__ import annotations

import logging
import sys
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")

from torch import nn  # noqa: E402

from offroad_seg.compile.builder import BuildTools  # noqa: E402
from offroad_seg.compile.tensorrt_dynamo import convert_program  # noqa: E402
from offroad_seg.compile.torch_half import half_program, heavy_types, weight_count  # noqa: E402
from offroad_seg.errors import BundleError, EngineError, GpuMemoryError  # noqa: E402
from offroad_seg_train.export.graph import DeployedModel, export_program, program_bytes  # noqa: E402
from offroad_seg_train.models import ModelConfig  # noqa: E402
from offroad_seg_train.models.resnet_fpn import ResNetFPN  # noqa: E402
from offroad_seg_train.models.tiny import TinyNet  # noqa: E402
from tests.helpers.networks import lively  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

HEIGHT, WIDTH, CLASSES = 67, 119, 5


class Awkward(nn.Module):
    """What is hard in half precision, and operators that work in place."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(8)
        self.up = nn.ConvTranspose2d(8, 8, 2, stride=2, groups=2, bias=False)
        self.up_norm = nn.BatchNorm2d(8)
        self.alone = nn.BatchNorm2d(8)
        self.embedding = nn.Parameter(torch.randn(1, 8, 5, 7))
        self.linear = nn.Linear(8, 8)
        self.layer = nn.LayerNorm(8)
        self.head = nn.Conv2d(8, CLASSES, 1)
        with torch.no_grad():
            # Variances from 1e-7 to 1e7: float16 has no number for most of them.
            for layer in (self.stem, self.up):
                layer.weight.mul_(10.0 ** torch.linspace(-3, 4, 8).view(-1, 1, 1, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.norm(self.stem(x)).relu_()
        y = self.up_norm(self.up(y))
        skip = y
        y = self.alone(y + y)
        y.add_(skip)
        y = y + nn.functional.interpolate(self.embedding, y.shape[-2:], mode="bicubic", antialias=True).tanh()
        y = y + 0.5 * y.mean(dim=(2, 3), keepdim=True).clamp(-1, 1)
        y = self.layer(self.linear(y.permute(0, 2, 3, 1))).permute(0, 3, 1, 2)
        y = y / (y.abs().amax(dim=1, keepdim=True) + 1e-12)
        return nn.functional.interpolate(self.head(y), x.shape[-2:], mode="bilinear", align_corners=False)


def pictures(count: int = 2) -> torch.Tensor:
    torch.manual_seed(3)
    noise = 255 * torch.rand(count, 3, 9, 15)
    return nn.functional.interpolate(noise, (HEIGHT, WIDTH), mode="bilinear").to(torch.uint8)


def program_of(build: Callable[..., nn.Module]) -> torch.export.ExportedProgram:
    config = ModelConfig(name="tiny", backbone_weights="none", width=8)
    return export_program(DeployedModel(lively(config, CLASSES, pictures(), build)), HEIGHT, WIDTH)


@pytest.fixture(scope="module")
def awkward() -> torch.export.ExportedProgram:
    return program_of(lambda *_: Awkward())


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_no_convolution_or_product_keeps_another_type(
    awkward: torch.export.ExportedProgram, precision: str
) -> None:
    typed = half_program(awkward, precision)
    wanted = torch.float16 if precision == "fp16" else torch.float32
    types = heavy_types(typed)
    assert len(types) == 4
    assert set(types.values()) == {wanted}
    for node in typed.graph.nodes:
        if node.name in types:
            assert {n.meta["val"].dtype for n in node.all_input_nodes} == {wanted}
    names = [str(node.target) for node in typed.graph.nodes]
    assert not [n for n in names if "batch_norm" in n or "bicubic" in n or n.endswith("_.default")]
    outputs = [o.meta["val"] for n in typed.graph.nodes if n.op == "output" for o in n.args[0]]
    assert [o.dtype for o in outputs] == [torch.float16, torch.float16, torch.float32, torch.float32]
    assert torch.uint8 not in {o.dtype for o in outputs}  # torch-tensorrt has no cast to it


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_numbers_are_those_of_the_program(awkward: torch.export.ExportedProgram, precision: str) -> None:
    image = pictures(1).permute(0, 2, 3, 1).contiguous()
    with torch.no_grad():
        labels, confidence, mean = awkward.module()(image)
        found = half_program(awkward, precision).module()(image)
    assert len(labels.unique()) >= 3
    agreement = (found[0].to(torch.uint8) == labels).float().mean()
    assert agreement == 1.0 if precision == "fp32" else agreement > 0.98
    assert (found[1] - confidence.float()).abs().max() <= (1.0 if precision == "fp32" else 6.0)
    assert found[2] == pytest.approx(float(mean), abs=1e-2)
    assert torch.isfinite(found[3]).all()


def test_sums_and_what_float16_cannot_hold_stay_in_float32(awkward: torch.export.ExportedProgram) -> None:
    typed = half_program(awkward, "fp16")
    types: dict[str, set[torch.dtype]] = {}
    for node in typed.graph.nodes:
        if node.op == "call_function" and isinstance(node.meta["val"], torch.Tensor):
            types.setdefault(str(node.target), set()).add(node.meta["val"].dtype)
    assert types["aten.layer_norm.default"] == {torch.float32}
    assert types["aten.mean.dim"] == {torch.float32}
    # |y| + 1e-12, and the division by it.
    assert types["aten.div.Tensor"] == {torch.float32}
    assert types["aten.upsample_bilinear2d.vec"] == {torch.float16}


@pytest.mark.parametrize("network", [TinyNet, ResNetFPN])
def test_networks_of_the_zoo_agree(network: type[nn.Module]) -> None:
    config = ModelConfig(name="tiny", backbone="resnet18.tv_in1k", backbone_weights="none", width=8)
    images = pictures()
    module = lively(config, CLASSES, images, network)
    program = export_program(DeployedModel(module), HEIGHT, WIDTH)
    image = images[:1].permute(0, 2, 3, 1).contiguous()
    typed = half_program(program, "fp16")
    with torch.no_grad():
        labels, confidence, _ = program.module()(image)
        found = typed.module()(image)
    decided = confidence >= 0.6 * 255
    assert decided.float().mean() > 0.3
    assert (found[0].to(torch.uint8) == labels)[decided].float().mean() >= 0.999
    # Weights that are no longer read are not carried along, or the size of a plan would prove nothing.
    assert weight_count(typed) <= 1.02 * sum(p.numel() for p in module.parameters())


def test_labels_must_come_from_an_argmax() -> None:
    class NoArgmax(nn.Module):
        def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, ...]:
            x = image.float().sum(dim=3)
            return x.to(torch.uint8), x.to(torch.uint8), x.mean(dim=(1, 2))

    with pytest.raises(EngineError, match="argmax"):
        half_program(torch.export.export(NoArgmax(), (torch.zeros(1, 4, 5, 3, dtype=torch.uint8),)), "fp16")


class FakeTorchTensorRt:
    """As ``torch_tensorrt``, up to the call that is made."""

    def __init__(self, version: str, answer: Callable[[Any], bytes]) -> None:
        self.__version__ = version
        self.calls: list[tuple[Any, dict[str, Any]]] = []
        self.dynamo = SimpleNamespace(convert_exported_program_to_serialized_trt_engine=self._convert)
        self._answer = answer

    def Input(self, shape: tuple[int, ...], dtype: torch.dtype) -> Any:
        return SimpleNamespace(shape=shape, dtype=dtype)

    def _convert(self, program: Any, **arguments: Any) -> bytes:
        self.calls.append((program, arguments))
        logging.getLogger("torch_tensorrt [TensorRT Conversion Context]").info(
            "Total Weights Memory: 111648 bytes"
        )
        logging.getLogger("torch_tensorrt.dynamo").info(
            "Converted node conv2d [aten.conv2d.default] (Inputs: …)"
        )
        return self._answer(program)


@pytest.fixture(scope="module")
def program_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("program") / "model.pt2"
    file.write_bytes(program_bytes(program_of(TinyNet)))
    return file


def converted(
    monkeypatch: pytest.MonkeyPatch, file: Path, version: str = "2.8.0", answer: Callable[[Any], bytes] = lambda _: b"plan",
    precision: str = "fp16",
) -> tuple[FakeTorchTensorRt, Any, list[str]]:  # fmt: skip
    fake = FakeTorchTensorRt(version, answer)
    monkeypatch.setitem(sys.modules, "torch_tensorrt", fake)
    monkeypatch.setattr("offroad_seg.compile.tensorrt_dynamo.is_for_rtx", lambda: False)
    monkeypatch.setattr("torch.export.passes.move_to_device_pass", lambda program, _: program)
    said: list[str] = []
    made = convert_program(
        file,
        precision,
        file.parent / "cache" / "timing.cache",
        BuildTools(said.append, lambda: False),
        free_memory=lambda: (3 << 20, 8 << 20),
    )
    return fake, made, said


@pytest.mark.parametrize("version", ["2.8.0", "2.11.0", "2.12.1", "2.13.0", "2.14.0a0"])
def test_torch_tensorrt_is_given_a_program_in_half_precision(
    monkeypatch: pytest.MonkeyPatch, program_file: Path, version: str
) -> None:
    fake, made, said = converted(monkeypatch, program_file, version)
    program, arguments = fake.calls[0]
    assert set(heavy_types(program).values()) == {torch.float16}
    (image,) = arguments["arg_inputs"]
    assert (image.shape, image.dtype) == ((1, HEIGHT, WIDTH, 3), torch.uint8)
    assert (made.plan, made.weights_bytes) == (b"plan", 111648)
    assert made.layers is None
    assert made.weight_count == pytest.approx(56_000, rel=0.05)
    assert "converted node conv2d [aten.conv2d.default]" in said
    assert logging.getLogger("torch_tensorrt").handlers == []


def fail(error: Exception, *logged: str) -> Callable[[Any], bytes]:
    def answer(_: Any) -> bytes:
        for text in logged:
            try:
                raise RuntimeError(text)
            except RuntimeError:
                logging.getLogger("torch_tensorrt.dynamo._compiler").exception(
                    "Conversion of module GraphModule()…"
                )
        raise error

    return answer


@pytest.mark.parametrize(
    ("answer", "kind", "message"),
    [
        (
            # 2.8 to 2.12 log the reason and then stumble over their own variable.
            fail(UnboundLocalError("cannot access local variable 'interpreter_result'"),
                 "Conversion of function torch._ops.aten.telepathy.default not currently supported!"),
            EngineError, "telepathy.default not currently supported",
        ),
        (fail(RuntimeError("While interpreting the module got an error: no tactic")), EngineError, "no tactic"),
        (
            fail(AssertionError(), "OutOfMemory (Requested size was 6291456 bytes.)"),
            GpuMemoryError, "6 MiB were asked for, 3 MiB of 8 MiB are free",
        ),
        (
            fail(RuntimeError("CUDA out of memory. Tried to allocate 1.50 GiB. GPU 0 has a total capacity of 8 GiB")),
            GpuMemoryError, "1536 MiB were asked for, 3 MiB of 8 MiB are free",
        ),
        (lambda _: b"", EngineError, "no reason was given"),
    ],
)  # fmt: skip
def test_failures_tell_their_cause(
    monkeypatch: pytest.MonkeyPatch, program_file: Path, answer: Any, kind: type[Exception], message: str
) -> None:
    with pytest.raises(kind, match=message) as caught:
        converted(monkeypatch, program_file, answer=answer)
    if kind is EngineError:
        assert "--route onnx" in caught.value.mend


def test_pickles_and_other_files_are_not_loaded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    torch.save({"a": torch.zeros(2)}, tmp_path / "pickle.pt2")
    with pytest.raises(BundleError, match="pickle"):
        converted(monkeypatch, tmp_path / "pickle.pt2")
    np.savez(tmp_path / "other.npz", a=np.zeros(3))
    with pytest.raises(EngineError, match=r"cannot load the program") as caught:
        converted(monkeypatch, tmp_path / "other.npz")
    assert "--route onnx" in caught.value.mend
