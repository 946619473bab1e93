# SPDX-License-Identifier: Apache-2.0
"""Backbones from timm, with weights from the hub, from a file, or none; the log says which."""

from __future__ import annotations

import logging
import pickle
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import timm
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from offroad_seg.errors import InputError
from offroad_seg_train.torch_files import why_unreadable

if TYPE_CHECKING:
    from collections.abc import Callable

    from offroad_seg_train.models.config import ModelConfig

    Model = TypeVar("Model", bound=nn.Module)

log = logging.getLogger(__name__)

_OTHER_SOURCES = (
    "model.backbone_weights=FILE (its state dict, .pth or .safetensors), or model.backbone_weights=none"
)


def build_resnet(config: ModelConfig, out_indices: tuple[int, ...]) -> Any:
    """A timm feature extractor; index 2, 3, 4 = strides 8, 16, 32.

    Raises:
        InputError: The backbone is no ResNet of timm, or its weights cannot be had.
    """
    if not config.backbone.startswith("resnet") or not timm.is_model(config.backbone.split(".")[0]):
        raise InputError(
            f"timm has no ResNet '{config.backbone}'",
            where="model.backbone",
            mend="for example resnet50.tv2_in1k",
        )
    return with_weights(
        config,
        lambda pretrained: timm.create_model(
            config.backbone, pretrained=pretrained, features_only=True, out_indices=out_indices
        ),
    )


def check_pyramid(config: ModelConfig) -> None:
    """Any model of timm will do that gives features at 1/4, 1/8, 1/16 and 1/32.

    Raises:
        InputError: timm has none of that name, or it gives other features.
    """
    others = "for example resnet34.tv_in1k or convnext_tiny.in12k_ft_in1k"
    check_name(config)
    try:
        # Without memory and numbers: only the shapes are asked for.
        with torch.device("meta"):
            strides = timm.create_model(config.backbone, features_only=True).feature_info.reduction()
    except (RuntimeError, AttributeError, TypeError, NotImplementedError) as error:
        raise InputError(
            f"timm's {config.backbone} gives no features: {_first_line(error)}",
            where="model.backbone",
            mend=others,
        ) from error
    if strides[-4:] != [4, 8, 16, 32]:
        raise InputError(
            f"{config.backbone} gives features at strides {', '.join(map(str, strides))}, not 4, 8, 16 and 32",
            where=f"model.backbone, for model.name={config.name}",
            mend=f"{others}; for a vision transformer model.name=dinov2_unet",
        )


def check_name(config: ModelConfig) -> None:
    """Refuse what timm does not have.

    Raises:
        InputError: timm has no model of that name.
    """
    if not timm.is_model(config.backbone.split(".")[0]):
        raise InputError(
            f"timm has no model '{config.backbone}'",
            where="model.backbone",
            mend="timm.list_models() names them all; for example resnet34.tv_in1k",
        )


def with_weights(
    config: ModelConfig,
    create: Callable[[bool], Model],
    backbone_of: Callable[[Model], nn.Module] = lambda model: model,
) -> Model:
    """Create a network around a timm backbone, with the weights that ``backbone_weights`` names.

    Args:
        config: ``backbone`` and ``backbone_weights`` are used.
        create: Makes the network; True asks timm to fetch the backbone's weights.
        backbone_of: The timm model inside the network, which a weights file is loaded into.

    Raises:
        InputError: The weights cannot be had.
    """
    fetch = config.backbone_weights == "timm"
    try:
        model = create(fetch)
    except InputError:
        raise
    except Exception as error:
        # Hub and HTTP errors have no common base that is stable across versions: only a download may fail here.
        if not fetch:
            raise
        raise InputError(
            f"the pretrained weights of {config.backbone} cannot be fetched: {_first_line(error)}",
            where="model.backbone_weights=timm",
            mend=f"connect this machine to the hub, or give {_OTHER_SOURCES}",
        ) from error
    if fetch:
        log.info("backbone %s: pretrained weights from timm", config.backbone)
    elif config.backbone_weights == "none":
        log.info("backbone %s: no pretrained weights, it starts from random numbers", config.backbone)
    else:
        load_backbone_file(backbone_of(model), Path(config.backbone_weights))
        log.info("backbone %s: weights from %s", config.backbone, config.backbone_weights)
    return model


def stages(backbone: nn.Module) -> dict[str, list[nn.Module]]:
    """The modules of each stage by the names that ``ModelConfig.frozen`` uses; a stage that is not built is empty."""
    built = dict(backbone.named_children())
    result = {f"layer{i}": [built[f"layer{i}"]] if f"layer{i}" in built else [] for i in range(1, 5)}
    result["stem"] = [module for name, module in built.items() if not name.startswith("layer")]
    return result


def load_backbone_file(backbone: nn.Module, path: Path) -> None:
    """Load a state dict into a backbone; every weight must be there and fit.

    Raises:
        InputError: The file cannot be read, or it is not this backbone's.
    """
    wanted = backbone.state_dict()
    # A feature extractor of timm calls "stages.0" of the whole model "stages_0".
    state = {
        name if name in wanted else name.replace(".", "_", 1): tensor
        for name, tensor in _read_state(path).items()
    }
    missing = [name for name in wanted if name not in state and not name.endswith("num_batches_tracked")]
    if missing:
        raise InputError(
            f"the file lacks {len(missing)} of the backbone's {len(wanted)} tensors, first {missing[0]}",
            where=str(path),
            mend="give weights of the same model (model.backbone)",
        )
    for name, tensor in wanted.items():
        if name in state and state[name].shape != tensor.shape:
            raise InputError(
                f"{name} is {tuple(state[name].shape)}, the backbone's is {tuple(tensor.shape)}",
                where=str(path),
                mend="give weights of the same model (model.backbone)",
            )
    backbone.load_state_dict({name: state[name] for name in wanted if name in state}, strict=False)


def _read_state(path: Path) -> dict[str, Tensor]:
    try:
        if path.suffix == ".safetensors":
            data: Any = load_file(path)
        else:
            # weights_only: a weights file must never run code.
            data = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise InputError(
            "no such weights file",
            where=f"model.backbone_weights={path}",
            mend="timm, none, or an existing file",
        ) from None
    except (OSError, RuntimeError, ValueError, EOFError, SafetensorError, pickle.UnpicklingError) as error:
        raise InputError(
            f"the weights file cannot be read: {why_unreadable(error)}",
            where=str(path),
            mend="give a plain state dict saved with torch.save, or a .safetensors file",
        ) from error
    for key in ("state_dict", "model"):
        if isinstance(data, dict) and isinstance(data.get(key), dict):
            data = data[key]
    if not isinstance(data, dict):
        raise InputError("the weights file holds no state dict", where=str(path))
    prefixes = ("module.", "backbone.", "encoder.")
    state = {}
    for name, tensor in data.items():
        for prefix in prefixes:
            name = name.removeprefix(prefix)
        state[name] = tensor
    return state


def _first_line(error: Exception) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
