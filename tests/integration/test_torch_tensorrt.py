# SPDX-License-Identifier: Apache-2.0
"""The route by torch-tensorrt with the real converters and a real builder; see ``tests/helpers/torch_tensorrt.py``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")

from torch import nn  # noqa: E402

from offroad_seg_train.export.graph import DeployedModel, OodScore, export_program, program_bytes  # noqa: E402
from offroad_seg_train.models import ModelConfig  # noqa: E402
from offroad_seg_train.models.tiny import TinyNet  # noqa: E402
from tests.helpers.networks import lively  # noqa: E402
from tests.helpers.portable import make_portable  # noqa: E402

if TYPE_CHECKING:
    from pathlib import Path

    from tests.helpers.torch_tensorrt import Converter

pytestmark = [pytest.mark.parallel, pytest.mark.tensorrt_rtx]

HEIGHT, WIDTH, CLASSES = 67, 119, 5
CONFIG = ModelConfig(name="tiny", backbone_weights="none", width=8)


def tiny() -> nn.Module:
    torch.manual_seed(3)
    noise = 255 * torch.rand(2, 3, 9, 15)
    images = nn.functional.interpolate(noise, (HEIGHT, WIDTH), mode="bilinear").to(torch.uint8)
    return lively(CONFIG, CLASSES, images, lambda *_: TinyNet(CONFIG, CLASSES))


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("program") / "model.pt2"
    file.write_bytes(program_bytes(export_program(DeployedModel(tiny()), HEIGHT, WIDTH)))
    return file


@pytest.mark.parametrize("precision", ["fp16", "fp32"])
def test_plan_has_the_precision_and_the_tensors_that_the_vehicle_reads(
    converter: Converter,
    program: Path,
    tmp_path: Path,
    precision: str,
) -> None:
    cache = tmp_path / "not yet there" / "timing.cache"
    cache.parent.mkdir()
    cache.write_bytes(b"damaged")
    made = converter(program, precision, timing_cache=cache)
    assert made.get("what") is None
    proof = made["proof"]
    kind = "half" if precision == "fp16" else "float"
    assert set(proof["heavy"]) == {kind}
    assert proof["constants"][kind] >= 0.95 * sum(proof["constants"].values())
    assert proof["weights_bytes"] == pytest.approx(
        (2 if precision == "fp16" else 4) * proof["weight_count"], rel=0.35
    )
    assert {"types of the weights", "types of the layers", "size of the weights"} <= set(proof["told_by"])
    # By the names of the graph contract, as the vehicle's engine reads the plan.
    assert made["bindings"] == {
        "image": ["image_bhwc", "uint8", [1, HEIGHT, WIDTH, 3]],
        "labels": ["output0", "float16", [1, HEIGHT, WIDTH]],
        "confidence": ["output1", "float16", [1, HEIGHT, WIDTH]],
        "mean_confidence": ["output2", "float32", [1]],
        "logit_sum": ["output3", "float32", [1]],
    }
    assert any(text.startswith("converted node ") for text in made["said"])
    assert any(" of " in text for text in made["said"])  # of the builder's own phases
    assert cache.read_bytes() != b"damaged"


class Turned(DeployedModel):
    """Takes planes (1, 3, H, W)."""

    def forward(self, image_BCHW: Any) -> Any:
        return super().forward(image_BCHW.permute(0, 2, 3, 1))


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
@pytest.mark.parametrize("planes", [False, True])
def test_images_of_bytes_or_numbers_by_pixels_or_planes(
    converter: Converter,
    tmp_path: Path,
    dtype: torch.dtype,
    planes: bool,
) -> None:
    shape = (1, 3, HEIGHT, WIDTH) if planes else (1, HEIGHT, WIDTH, 3)
    model = (Turned if planes else DeployedModel)(tiny(), ood=OodScore("energy", -3.0, 0.5)).eval()
    exported = torch.export.export(model, (torch.zeros(shape, dtype=dtype),), strict=False)
    (tmp_path / "model.pt2").write_bytes(program_bytes(exported))
    made = converter(tmp_path / "model.pt2", timing_cache=tmp_path / "cache")
    assert made.get("what") is None
    first, *outputs = made["network"].values()
    assert first == ["in", "UINT8" if dtype == torch.uint8 else "FLOAT", list(shape)]
    whole = ["out", "HALF", [1, HEIGHT, WIDTH]]
    one = ["out", "FLOAT", [1]]
    assert outputs == [whole, whole, one, whole, one]


class Unusual(nn.Module):
    """Has an operator for which there is no converter."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Conv2d(3, CLASSES, 1)

    def forward(self, x: Any) -> Any:
        return torch.special.bessel_j0(self.head(x.float()))


def test_operator_that_cannot_be_converted_is_named(
    converter: Converter,
    tmp_path: Path,
) -> None:
    file = tmp_path / "model.pt2"
    file.write_bytes(program_bytes(export_program(DeployedModel(Unusual()), 20, 36)))
    failed = converter(file, timing_cache=tmp_path / "cache")
    assert failed["error"] == "EngineError"
    assert "special_bessel_j0" in failed["what"]
    assert "\n" not in failed["what"]
    assert "--route onnx" in failed["mend"]


def test_truncated_program_is_refused(converter: Converter, program: Path, tmp_path: Path) -> None:
    cut = tmp_path / "model.pt2"
    cut.write_bytes(program.read_bytes()[: program.stat().st_size // 2])
    failed = converter(cut, timing_cache=tmp_path / "cache")
    assert failed["error"] in ("BundleError", "EngineError")
    assert failed["what"]


def test_interrupting_ends_the_builder_and_leaves_nothing(
    converter: Converter,
    program: Path,
    tmp_path: Path,
) -> None:
    whole = converter(program, timing_cache=tmp_path / "first")["said"]
    while_building = next(i for i, text in enumerate(whole) if text == "choosing kernels") + 5
    stopped = converter(program, timing_cache=tmp_path / "second", cancel_after=while_building)
    assert stopped["error"] == "KeyboardInterrupt"
    assert [p.name for p in tmp_path.iterdir()] == ["first"]


def test_builder_makes_a_bundles_plan(
    converter: Converter,
    tmp_path: Path,
) -> None:
    bundle = make_portable(tmp_path / "portable")[1]
    out = tmp_path / "out"
    out.mkdir()
    made = converter(bundle.path, out=out)
    assert made.get("what") is None
    assert {"tensorrt", "torch", "torch_tensorrt"} == set(made["versions"])
    assert "torch-tensorrt route" in made["notes"][0]
    engine = made["source"]["engine"]
    assert engine["route"] == "torch-tensorrt"
    assert engine["precision"]["plan_bytes"] == (out / "model.plan").stat().st_size
    assert set(engine["precision"]["heavy"]) == {"half"}
    assert [p.name for p in out.iterdir()] == ["model.plan"]
