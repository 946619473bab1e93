# SPDX-License-Identifier: Apache-2.0
"""Where a backbone's weights come from."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import save_file

from offroad_seg.errors import InputError
from offroad_seg_train.models import ModelConfig, build_model

# The smallest ResNet: its weights' names are made like those of ResNet50.
BACKBONE = "resnet18.tv_in1k"


@pytest.fixture(scope="module")
def weights() -> dict[str, torch.Tensor]:
    """A whole classifier, as people have it on disk."""
    torch.manual_seed(3)
    return timm.create_model("resnet18", pretrained=False).state_dict()


def load(path: Path | str) -> torch.nn.Module:
    return build_model(ModelConfig(backbone=BACKBONE, backbone_weights=str(path)), 4)


@pytest.mark.parametrize("kind", ["pth", "state_dict", "module", "safetensors"])
def test_a_file_is_loaded_tensor_by_tensor(kind: str, weights: dict, tmp_path: Path, caplog) -> None:
    path = tmp_path / ("w.safetensors" if kind == "safetensors" else "w.pth")
    if kind == "safetensors":
        save_file(weights, path)
    else:
        content = {f"module.{k}": v for k, v in weights.items()} if kind == "module" else weights
        torch.save({"state_dict": content} if kind == "state_dict" else content, path)
    with caplog.at_level(logging.INFO):
        state = load(path).backbone.state_dict()
    assert len(state) > 100
    assert all(torch.equal(tensor, weights[name]) for name, tensor in state.items())
    assert str(path) in caplog.text


def test_none_says_so(caplog) -> None:
    with caplog.at_level(logging.INFO):
        load("none")
    assert "no pretrained weights" in caplog.text


def test_weights_of_another_network_are_refused(weights: dict, tmp_path: Path) -> None:
    other = tmp_path / "other.pth"
    torch.save({"layer1.weight": torch.zeros(3)}, other)
    with pytest.raises(InputError, match="lacks .* of the backbone's"):
        load(other)
    wider = tmp_path / "wider.pth"
    torch.save({**weights, "conv1.weight": torch.zeros(64, 4, 7, 7)}, wider)
    with pytest.raises(InputError, match=r"conv1\.weight is \(64, 4, 7, 7\)"):
        load(wider)


def test_a_file_that_is_missing_or_damaged_is_named(weights: dict, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nowhere"):
        load(tmp_path / "nowhere.pth")
    whole = tmp_path / "whole.pth"
    torch.save(weights, whole)
    half = tmp_path / "half.pth"
    half.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    with pytest.raises(InputError, match="cannot be read"):
        load(half)
    text = tmp_path / "text.safetensors"
    text.write_text("not weights")
    with pytest.raises(InputError, match="cannot be read"):
        load(text)


def test_a_file_cannot_run_code(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "ran",))

    torch.save({"conv1.weight": Evil()}, tmp_path / "evil.pth")
    with pytest.raises(
        InputError, match="cannot be read: it was not saved by torch, or holds more"
    ) as caught:
        load(tmp_path / "evil.pth")
    assert "weights_only" not in str(caught.value)
    assert not (tmp_path / "ran").exists()


def test_without_the_hub_the_error_names_the_other_ways(tmp_path: Path, monkeypatch) -> None:
    import huggingface_hub.constants

    # What HF_HUB_OFFLINE=1 sets at import: the request is refused before any connection is tried.
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(InputError) as caught:
        load("timm")
    assert "cannot be fetched" in caught.value.what
    assert "backbone_weights=FILE" in caught.value.mend
    assert "backbone_weights=none" in caught.value.mend
