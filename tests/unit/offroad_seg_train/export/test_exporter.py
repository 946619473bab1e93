# SPDX-License-Identifier: Apache-2.0
"""A portable bundle says what its checkpoint says, holds no pickle, and is not written where it would not."""

from __future__ import annotations

import json
import pickletools
import zipfile
from dataclasses import replace
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest
import torch

from offroad_seg.bundle import Bundle
from offroad_seg.engines.registry import load_engine
from offroad_seg.errors import GateError, ImageError, InputError
from offroad_seg_train.checkpoint import load_checkpoint
from offroad_seg_train.export import exporter
from offroad_seg_train.export.exporter import ExportOptions, export_checkpoint, export_model
from offroad_seg_train.export.graph import DeployedModel, export_program, onnx_bytes
from tests.helpers.checkpoints import write_checkpoint
from tests.helpers.portable import HEIGHT, WIDTH, make_portable

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Bundle]:
    return make_portable(tmp_path_factory.mktemp("export"))


def picture(seed: int = 0) -> np.ndarray:
    grid = np.random.default_rng(seed).integers(0, 256, (9, 14, 3), np.uint8)
    return cv2.resize(grid, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)


@pytest.mark.parametrize("backend", ["onnxruntime", "torch"])
def test_every_back_end_says_what_the_checkpoint_says(made: tuple[Path, Bundle], backend: str) -> None:
    checkpoint, bundle = made
    model = load_checkpoint(checkpoint)
    engine = load_engine(bundle, backend, device="cpu")
    image = picture()
    output = engine.infer(image[None])
    logits = model.module(torch.from_numpy(image.transpose(2, 0, 1)[None].copy()))
    expected = logits.argmax(dim=1)[0].numpy()
    assert len(np.unique(expected)) >= 3  # else agreement would say little
    assert (output.labels_BHW[0] == expected).mean() >= 0.999
    best = logits.softmax(dim=1).amax(dim=1)[0].numpy() * 255
    assert np.abs(output.confidence_BHW[0] - best).max() <= 1.0
    assert output.mean_confidence_B[0] == pytest.approx(best.mean() / 255, abs=1e-4)
    assert output.labels_BHW.dtype == output.confidence_BHW.dtype == np.uint8
    assert engine.info.backend == backend


def test_manifest_tells_where_it_comes_from(made: tuple[Path, Bundle]) -> None:
    checkpoint, bundle = made
    model, manifest = load_checkpoint(checkpoint), Bundle.load(bundle.path).manifest
    assert (manifest.input_height, manifest.input_width) == (HEIGHT, WIDTH)
    assert manifest.source["checkpoint_sha256"] == model.sha256
    assert manifest.source["model"] == "tiny"
    assert manifest.source["recipe"]["model"]["width"] == 8
    assert set(manifest.backends) == {"onnxruntime", "torch"}
    assert manifest.mean == model.normalization.mean
    assert set(manifest.files) == {"model.onnx", "model.pt2"}
    for backend in manifest.backends:
        assert manifest.parity[backend]["agreement"] >= 0.999
        assert manifest.parity[backend]["source"] == "synthetic"
    assert manifest.versions["torch"] == torch.__version__


def test_no_pickle_and_no_path_of_this_machine_anywhere(made: tuple[Path, Bundle]) -> None:
    _, bundle = made
    contents: dict[str, bytes] = {}
    for path in bundle.path.iterdir():
        contents[path.name] = path.read_bytes()
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                contents |= {f"{path.name}/{n}": archive.read(n) for n in archive.namelist()}
    assert any(name.endswith("models/model.json") for name in contents)
    for name, data in contents.items():
        assert not name.endswith((".pkl", ".pickle")), name
        assert not is_pickle(data), name
        assert b"/offroad_seg_train/" not in data, name
    assert all(not data for name, data in contents.items() if "sample_inputs" in name)


def is_pickle(data: bytes) -> bool:
    """Whether the bytes begin with a whole pickle of protocol 2 or later, or a zip that holds one."""
    if not data.startswith(b"\x80"):
        return False
    try:
        list(pickletools.genops(data))
    except ValueError:
        return False
    return True


def test_the_pickle_scan_finds_what_torch_would_write(tmp_path: Path) -> None:
    torch.save({"a": torch.zeros(2)}, tmp_path / "a.pt")
    with zipfile.ZipFile(tmp_path / "a.pt") as archive:
        assert any(is_pickle(archive.read(name)) for name in archive.namelist())


@pytest.mark.parametrize("poison", [float("nan"), float("inf"), float("-inf")])
def test_checkpoint_that_is_not_finite_is_refused(tmp_path: Path, poison: float) -> None:
    checkpoint = write_checkpoint(tmp_path / "bad.ckpt", poison=poison)
    with pytest.raises(GateError, match="not finite"):
        export_checkpoint(checkpoint, tmp_path / "out", ExportOptions(gate_count=1))
    assert not (tmp_path / "out").exists()
    assert [p.name for p in tmp_path.iterdir()] == ["bad.ckpt"]


class Fixed(torch.nn.Module):
    """Logits that are whatever was put in, whatever the image."""

    def __init__(self, logits_BCHW: torch.Tensor) -> None:
        super().__init__()
        self.register_buffer("logits", logits_BCHW)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.logits + 0.0 * image.float().mean()


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_one_bad_logit_shows_in_the_mean_of_every_back_end(tmp_path: Path, value: float) -> None:
    import onnxruntime as ort

    logits = torch.randn(1, 5, 9, 14)
    image = np.zeros((1, 9, 14, 3), np.uint8)
    for poisoned in (False, True):
        if poisoned:
            logits[0, 2, 3, 4] = value
        program = export_program(DeployedModel(Fixed(logits)), 9, 14)
        eager = program.module()(torch.from_numpy(image))[2]
        session = ort.InferenceSession(onnx_bytes(program), providers=["CPUExecutionProvider"])
        found = session.run(["mean_confidence"], {"image": image})[0]
        assert bool(torch.isnan(eager).all()) is poisoned
        assert bool(np.isnan(found).all()) is poisoned


def test_temperature_softens_confidence_and_keeps_labels(made: tuple[Path, Bundle]) -> None:
    model = load_checkpoint(made[0])
    image = torch.from_numpy(picture()[None])
    plain = DeployedModel(model.module)(image)
    soft = DeployedModel(model.module, temperature=4.0)(image)
    assert torch.equal(plain[0], soft[0])
    assert float(soft[2]) < float(plain[2])


def test_graph_that_says_something_else_is_refused(
    tmp_path: Path, made: tuple[Path, Bundle], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = load_checkpoint(made[0])
    other = load_checkpoint(write_checkpoint(tmp_path / "other.ckpt", seed=5))
    # The fault that the gate is for: the graph in the bundle is not the checkpoint's.
    monkeypatch.setattr(
        exporter,
        "onnx_bytes",
        lambda _: onnx_bytes(export_program(DeployedModel(other.module), HEIGHT, WIDTH)),
    )
    with pytest.raises(GateError) as caught:
        export_model(model, tmp_path / "out", ExportOptions(gate_count=2))
    text = str(caught.value)
    assert "onnxruntime: " in text
    assert "limit 99.9%" in text
    assert "→" in text
    assert "torch: " not in text  # that one was right
    assert not (tmp_path / "out").exists()


def test_size_can_be_chosen_and_is_checked(tmp_path: Path, made: tuple[Path, Bundle]) -> None:
    model = load_checkpoint(made[0])
    bundle = export_model(model, tmp_path / "out", ExportOptions(height=45, width=101, gate_count=1))
    image = np.zeros((1, 45, 101, 3), np.uint8)
    for backend in ("onnxruntime", "torch"):
        assert load_engine(bundle, backend, device="cpu").infer(image).labels_BHW.shape == (1, 45, 101)
    with pytest.raises(InputError, match="width is 8"):
        export_model(model, tmp_path / "small", ExportOptions(width=8))


def test_real_images_are_named_in_the_manifest(tmp_path: Path, made: tuple[Path, Bundle]) -> None:
    for i in range(5):
        cv2.imwrite(str(tmp_path / f"{i}.png"), picture(i))
    out = tmp_path / "out"
    options = ExportOptions(images=tmp_path, gate_count=3)
    bundle = export_model(load_checkpoint(made[0]), out, options)
    assert bundle.manifest.parity["torch"]["source"] == "real"
    assert bundle.manifest.parity["torch"]["images"] == 3
    with pytest.raises(InputError, match="not empty"):
        export_model(load_checkpoint(made[0]), out, options)
    (tmp_path / "2.png").write_bytes((tmp_path / "2.png").read_bytes()[:-30])
    with pytest.raises(ImageError, match="truncated"):
        export_model(load_checkpoint(made[0]), out, replace(options, overwrite=True))
    assert json.loads((out / "manifest.json").read_text())["parity"]["torch"]["images"] == 3  # nothing lost


@pytest.mark.slow
def test_v3_at_the_size_of_the_original(tmp_path: Path) -> None:
    from offroad_seg_train.models import ModelConfig

    checkpoint = write_checkpoint(
        tmp_path / "v3.ckpt",
        height=266,
        width=476,
        config=ModelConfig(name="resnet50_fpn", backbone_weights="none"),
    )
    bundle = export_checkpoint(checkpoint, tmp_path / "out", ExportOptions(gate_count=1))
    for backend in bundle.manifest.backends:
        assert bundle.manifest.parity[backend]["agreement"] >= 0.999
