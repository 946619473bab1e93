# SPDX-License-Identifier: Apache-2.0
"""Where a resumed run goes on, and whether it may."""

from __future__ import annotations

import logging
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from offroad_seg.errors import InputError
from offroad_seg_train.checkpoint import RECORD_KEY, epochs_done, read_checkpoint
from offroad_seg_train.training.recipe import load_recipe

if TYPE_CHECKING:
    from pathlib import Path

    from offroad_seg.ontology import Ontology
    from offroad_seg_train.models import ModelConfig
    from offroad_seg_train.training.config import TrainConfig

log = logging.getLogger(__name__)

# Settings that do not change what is learned: a resumed run may differ in them.
FREE_SETTINGS = {
    ("data", "root"),
    ("data", "val_root"),
    ("data", "workers"),
    ("data", "cache"),
    ("data", "cache_gib"),
    ("data", "cache_dir"),
    ("device",),
    ("compile",),
    ("loggers",),
    ("picture_epochs",),
}


@dataclass(frozen=True)
class Progress:
    """How far a run has come.

    Attributes:
        epochs: Epochs done.
        checkpoint: Content of ``last.ckpt``; empty where no epoch was finished.
    """

    epochs: int = 0
    checkpoint: dict[str, Any] = field(default_factory=dict)


def find_progress(config: TrainConfig, run: Path) -> Progress:
    """How far the run in a folder has come.

    Raises:
        InputError: There is none, its settings differ, or its checkpoint cannot be read.
    """
    recorded = run / "config.yaml"
    if not recorded.is_file():
        raise InputError(
            "there is no run to resume",
            where=str(run),
            mend="give the folder of a run, or leave --resume out",
        )
    old, new = flatten(asdict(load_recipe(recorded))), flatten(asdict(config))
    changed = [key for key in new if key not in FREE_SETTINGS and new[key] != old.get(key)]
    if changed:
        listed = "; ".join(f"{'.'.join(key)} was {old.get(key)!r}, is {new[key]!r}" for key in changed)
        raise InputError(
            f"a resumed run goes on with its own settings, but: {listed}",
            where=str(recorded),
            mend="leave these out, or start a new run in another folder",
        )
    last = run / "checkpoints" / "last.ckpt"
    if not last.exists():
        log.info("the run was ended before its first epoch was done: it starts from the beginning")
        return Progress()
    # A file that cannot be read is found here, before anything else is done.
    checkpoint = read_checkpoint(last)
    return Progress(epochs_done(checkpoint), checkpoint)


def check_same(checkpoint: dict[str, Any], model: ModelConfig, ontology: Ontology, path: Path) -> None:
    """Refuse to go on with a checkpoint of another network or label set.

    Raises:
        InputError: They differ; both are named.
    """
    record = checkpoint[RECORD_KEY]
    mend = f"use a folder of its own for this run; `init_from={path}` starts a new run from those weights"
    # A phase may freeze what another does not.
    refuse_other_model(record["model"], model, where=str(path), mend=mend, besides=("frozen",))
    names = [item["name"] for item in record["ontology"]["classes"]]
    if names != list(ontology.names):
        raise InputError(
            f"the checkpoint is of ontology '{record['ontology']['name']}' ({', '.join(names)}), "
            f"the data of '{ontology.name}' ({', '.join(ontology.names)})",
            where=str(path),
            mend=mend,
        )


def refuse_other_model(
    theirs: dict[str, Any],
    ours: ModelConfig,
    *,
    where: str,
    mend: str = "give a checkpoint of the same model, or set model.* as there",
    besides: tuple[str, ...] = (),
) -> None:
    """Compare the network's settings of a checkpoint and of a run.

    Args:
        theirs: The record's ``model``.
        ours: The run's.
        where: Of the error.
        mend: Of the error.
        besides: Settings that may differ, beside where the first weights come from.

    Raises:
        InputError: They differ; both are named.
    """
    wanted = {k: v for k, v in asdict(ours).items() if k not in ("backbone_weights", *besides)}
    different = [key for key, value in wanted.items() if theirs.get(key, value) != value]
    if different:
        listed = ", ".join(f"{key} {theirs[key]!r} and {wanted[key]!r}" for key in sorted(different))
        raise InputError(
            f"the checkpoint is of model '{theirs['name']}', the run of '{ours.name}': {listed}",
            where=where,
            mend=mend,
        )


def flatten(settings: dict[str, Any], above: tuple[str, ...] = ()) -> dict[tuple[str, ...], Any]:
    """Nested settings as one dict by path."""
    flat: dict[tuple[str, ...], Any] = {}
    for key, value in settings.items():
        if isinstance(value, dict):
            flat |= flatten(value, (*above, key))
        else:
            flat[(*above, key)] = value
    return flat
