# SPDX-License-Identifier: Apache-2.0
"""Beginning a run with the weights of another: the same network, and as much of its classes as has the same names."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from offroad_seg.errors import InputError
from offroad_seg_train.checkpoint import RECORD_KEY, network_state, read_checkpoint
from offroad_seg_train.models import ModelConfig, build_model
from offroad_seg_train.training.resume import refuse_other_model

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

    from offroad_seg.ontology import Ontology
    from offroad_seg_train.models import NormalizedModel

log = logging.getLogger(__name__)


def load_initial(network: NormalizedModel, config: ModelConfig, ontology: Ontology, path: Path) -> None:
    """Fill a fresh network from a checkpoint of the same model.

    Where the checkpoint has other classes, the layers that depend on them take over the classes of the same name and
    keep fresh weights for the others.

    Args:
        network: Is changed.
        config: What it was built from.
        ontology: Its classes.
        path: A checkpoint of this trainer.

    Raises:
        InputError: The checkpoint cannot be read, or is of another model; both are named.
    """
    data = read_checkpoint(path)
    record = data[RECORD_KEY]
    # Which stages are frozen, and how much is dropped out, shapes no weights.
    refuse_other_model(record["model"], config, where=f"init_from={path}", besides=("frozen", "dropout"))
    source, state = network_state(data), network.state_dict()
    names = [item["name"] for item in record["ontology"]["classes"]]
    if names != list(ontology.names):
        source = _adapt(source, state, config, names, list(ontology.names))
    try:
        network.load_state_dict(source)
    except RuntimeError as error:
        raise InputError(
            f"the weights do not fit: {str(error).splitlines()[-1].strip()}",
            where=f"init_from={path}",
            mend="give a checkpoint that this version wrote",
        ) from error
    log.info("weights from %s (%s, ontology %s)", path, record["name"], record["ontology"]["name"])


def _adapt(
    source: dict[str, Tensor], fresh: dict[str, Tensor], config: ModelConfig, old: list[str], new: list[str]
) -> dict[str, Tensor]:
    shared = [name for name in new if name in old]
    log.info(
        "init_from has other classes: taken over by name: %s; fresh: %s",
        ", ".join(shared) or "none",
        ", ".join(name for name in new if name not in old) or "none",
    )
    here = torch.tensor([new.index(name) for name in shared], dtype=torch.long)
    there = torch.tensor([old.index(name) for name in shared], dtype=torch.long)
    adapted = dict(source)
    for key in _class_tensors(config):
        adapted[key] = fresh[key].clone()
        if source[key].shape[0] == len(old) and fresh[key].shape[0] == len(new):
            adapted[key][here] = source[key][there]
    return adapted


def _class_tensors(config: ModelConfig) -> list[str]:
    """Names of the tensors whose shape follows the number of classes."""
    plain = replace(config, backbone_weights="none", frozen=[])
    with torch.random.fork_rng(devices=[]):
        shapes = [{k: v.shape for k, v in build_model(plain, n).state_dict().items()} for n in (2, 3)]
    return [f"model.{key}" for key in shapes[0] if shapes[0][key] != shapes[1][key]]
