# SPDX-License-Identifier: Apache-2.0
"""The stages of any timm feature extractor by the names that ``ModelConfig.frozen`` uses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from offroad_seg.errors import InputError

if TYPE_CHECKING:
    from torch import nn

    from offroad_seg_train.models.config import ModelConfig


def modules_of_stages(backbone: Any, config: ModelConfig) -> list[nn.Module]:
    """The modules of the stages that ``config.frozen`` names.

    Args:
        backbone: Made by timm with ``features_only``; each of its feature maps ends a stage.
        config: ``backbone`` and ``frozen`` are used.

    Raises:
        InputError: The backbone is not a plain row of stages, so that a stage cannot be told apart.
    """
    if not config.frozen:
        return []
    stages = _stages(backbone)
    if any(not stages[f"layer{i}"] for i in range(1, 5)):
        raise InputError(
            f"the stages of {config.backbone} cannot be told apart",
            where="model.frozen",
            mend="leave model.frozen out, or choose another model.backbone, such as a ResNet or ConvNeXt",
        )
    return [module for name in config.frozen for module in stages[name]]


def _stages(backbone: Any) -> dict[str, list[nn.Module]]:
    # The module that gives a feature map ends its stage: "stages.1" is the child "stages_1" of a feature extractor,
    # or, where the extractor keeps the model's own tree, the child 1 of "stages".
    ends = [name.replace(".", "_") for name in backbone.feature_info.module_name()]
    result: dict[str, list[nn.Module]] = {"stem": [], **{f"layer{i}": [] for i in range(1, 5)}}
    stage_of = {end: f"layer{4 - (len(ends) - 1 - i)}" for i, end in enumerate(ends)}
    waiting: list[nn.Module] = []
    for name, module in _flat(backbone, ends):
        waiting.append(module)
        if name in stage_of:
            result[stage_of[name] if stage_of[name] in result else "stem"] += waiting
            waiting = []
    return result


def _flat(backbone: nn.Module, ends: list[str]) -> list[tuple[str, nn.Module]]:
    children: list[tuple[str, nn.Module]] = []
    for name, module in backbone.named_children():
        if name not in ends and any(end.startswith(f"{name}_") for end in ends):
            children += [(f"{name}_{inner}", child) for inner, child in module.named_children()]
        else:
            children.append((name, module))
    return children
