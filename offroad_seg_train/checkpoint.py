# SPDX-License-Identifier: Apache-2.0
"""Reading a training checkpoint without the configuration that made it.

A checkpoint is a Lightning ``.ckpt`` that loads with ``torch.load(weights_only=True)``. Beside Lightning's own entries
it holds ``offroad_seg``, a record of plain values: model, ontology, letterbox, normalisation, and the whole training
configuration.
"""

from __future__ import annotations

import hashlib
import pickle
import struct
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import torch

from offroad_seg import __version__
from offroad_seg.errors import InputError
from offroad_seg.image import Letterbox, Normalization
from offroad_seg.ontology import Ontology
from offroad_seg_train.models import ModelConfig, NormalizedModel, build_model
from offroad_seg_train.torch_files import why_unreadable

if TYPE_CHECKING:
    from pathlib import Path

    from torch import nn

    from offroad_seg.types import JsonDict

RECORD_KEY = "offroad_seg"
EPOCHS_KEY = "epochs_done"
FORMAT = 1
NETWORK_PREFIX = "network."
# What `best.ckpt` holds: all that is needed for using the network, nothing that only training needs.
BEST_KEYS = ("state_dict", "epoch", EPOCHS_KEY, RECORD_KEY, "pytorch-lightning_version")

# What torch's restricted unpickler raises on bytes that are no checkpoint depends on the bytes.
_DAMAGED = (
    OSError,
    RuntimeError,
    ValueError,
    EOFError,
    pickle.UnpicklingError,
    struct.error,
    LookupError,
    TypeError,
    AttributeError,
    AssertionError,
)


@dataclass(frozen=True)
class LoadedModel:
    """A trained network and everything that belongs to it.

    Attributes:
        module: In evaluation mode on the CPU; uint8 RGB (B, 3, H, W) → logits (B, C, H, W).
        ontology: Its classes, in the order of the logits.
        letterbox: The input size that it was trained at.
        normalization: What ``module`` applies to the pixels.
        config: The whole training configuration, plain values.
        model_config: The network's part of it.
        sha256: Of the checkpoint file.
        name: The recipe's name.
        epoch: Epochs that the weights have seen.
    """

    module: NormalizedModel
    ontology: Ontology
    letterbox: Letterbox
    normalization: Normalization
    config: JsonDict
    model_config: ModelConfig
    sha256: str
    name: str
    epoch: int


def make_record(
    *,
    name: str,
    model: ModelConfig,
    ontology: Ontology,
    letterbox: Letterbox,
    normalization: Normalization,
    config: JsonDict,
) -> JsonDict:
    """The plain values that rebuild the network; ``load_checkpoint`` reads them."""
    return {
        "format": FORMAT,
        "version": __version__,
        "name": name,
        "model": asdict(model),
        "ontology": ontology.to_dict(),
        "letterbox": asdict(letterbox),
        "normalization": {"mean": list(normalization.mean), "std": list(normalization.std)},
        "config": config,
    }


def load_checkpoint(path: Path) -> LoadedModel:
    """Rebuild a trained network from its checkpoint alone. Nothing is fetched and no code in the file is run.

    Raises:
        InputError: The file is missing, damaged, or not a checkpoint of this trainer.
    """
    data = read_checkpoint(path)
    record = data[RECORD_KEY]
    try:
        ontology = Ontology.from_dict(record["ontology"], where=f"{path}: ontology")
        letterbox = Letterbox(**record["letterbox"])
        normalization = Normalization(
            tuple(record["normalization"]["mean"]), tuple(record["normalization"]["std"])
        )
        model_config = ModelConfig(**record["model"])
    except (KeyError, TypeError) as error:
        raise InputError(
            f"the checkpoint's record is incomplete: {error}",
            where=str(path),
            mend=f"it was written by version {record.get('version', '?')}; this is {__version__}: train again",
        ) from error
    # The weights come from the checkpoint: the backbone's own source is neither needed nor fetched.
    network = build_model(replace(model_config, backbone_weights="none", frozen=[]), ontology.n_classes)
    module = NormalizedModel(network, normalization)
    _load_weights(module, data, path)
    return LoadedModel(
        module=module.eval().requires_grad_(False),
        ontology=ontology,
        letterbox=letterbox,
        normalization=normalization,
        config=record["config"],
        model_config=model_config,
        sha256=_sha256(path),
        name=str(record["name"]),
        epoch=epochs_done(data),
    )


def read_checkpoint(path: Path) -> dict[str, Any]:
    """The checkpoint's content, with its record of a format that this version reads.

    Raises:
        InputError: The file is missing, damaged, or not a checkpoint of this trainer.
    """
    try:
        data = torch.load(path, map_location="cpu", weights_only=True)
    except (FileNotFoundError, IsADirectoryError):
        raise InputError(
            "no such checkpoint", where=str(path), mend="give RUN/checkpoints/best.ckpt of a training run"
        ) from None
    except _DAMAGED as error:
        raise InputError(
            f"the checkpoint cannot be read: {why_unreadable(error)}",
            where=str(path),
            mend="use last.ckpt or best.ckpt of another run",
        ) from error
    if not isinstance(data, dict) or not isinstance(data.get(RECORD_KEY), dict) or "state_dict" not in data:
        raise InputError(
            "not a checkpoint of this trainer",
            where=str(path),
            mend="give a file that `offroad-seg train` wrote",
        )
    if data[RECORD_KEY].get("format") != FORMAT:
        raise InputError(
            f"checkpoint format {data[RECORD_KEY].get('format')!r}; this software reads {FORMAT}",
            where=str(path),
            mend="train again with this version, or use the version that wrote it",
        )
    return data


def epochs_done(data: dict[str, Any]) -> int:
    """Epochs of the run that a checkpoint's weights have seen."""
    # Lightning's own "epoch" counts from 0, and anew in each phase.
    return int(data.get(EPOCHS_KEY, data.get("epoch", -1) + 1))


def network_state(data: dict[str, Any]) -> dict[str, Any]:
    """The network's weights and buffers in a checkpoint, by their names in ``NormalizedModel``."""
    return {
        name.removeprefix(NETWORK_PREFIX): value
        for name, value in data["state_dict"].items()
        if name.startswith(NETWORK_PREFIX)
    }


def _load_weights(module: nn.Module, data: dict[str, Any], path: Path) -> None:
    try:
        module.load_state_dict(network_state(data))
    except RuntimeError as error:
        raise InputError(
            f"the weights do not fit the model that the checkpoint names: {str(error).splitlines()[-1].strip()}",
            where=str(path),
            mend="train again with this version, or use the version that wrote it",
        ) from error


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
