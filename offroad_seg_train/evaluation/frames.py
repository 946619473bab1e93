# SPDX-License-Identifier: Apache-2.0
"""Which labelled frames a model is judged or calibrated on, and what each of them scored."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from offroad_seg.errors import InputError
from offroad_seg.ontology import load_ontology
from offroad_seg_train.data.layouts import find_layout, list_pairs, own_ontology
from offroad_seg_train.data.splits import split_pairs

if TYPE_CHECKING:
    from offroad_seg.ontology import Ontology
    from offroad_seg_train.data.layouts import Pair

PARTS = ("all", "val", "test")
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class FrameSource:
    """A data folder, and which of its frames.

    Attributes:
        root: The data folder.
        layout: A name from ``LAYOUTS``, or ``auto``.
        ontology: What the mask values mean, by name or file; None takes the model's own.
        part: ``all`` frames, or ``val`` or ``test``: those that the recipe's split held out.
    """

    root: Path
    layout: str = "auto"
    ontology: str | None = None
    part: str = "all"


@dataclass(frozen=True)
class Frames:
    """Labelled frames.

    Attributes:
        pairs: The files.
        ontology: Reads their masks; its classes are the model's.
        layout: Name of the folder's layout.
        part: As ``FrameSource.part``.
    """

    pairs: list[Pair]
    ontology: Ontology
    layout: str
    part: str

    def describe(self) -> dict[str, Any]:
        """For reports and manifests, without the folders of this machine."""
        return {"layout": self.layout, "part": self.part, "images": len(self.pairs)}


@dataclass(frozen=True)
class FrameScore:
    """One frame's own figures; the IoU is None where it has no labelled pixel.

    Attributes:
        name: The frame.
        miou: Over the classes that it shows or that were predicted in it.
        pixel_accuracy: Of its labelled pixels.
        seconds: That labelling it took, without reading it.
    """

    name: str
    miou: float | None
    pixel_accuracy: float | None
    seconds: float


def choose_frames(source: FrameSource, own: Ontology, recipe: dict[str, Any], *, where: str) -> Frames:
    """The frames that a source names.

    Args:
        source: What to take.
        own: The model's ontology.
        recipe: The model's training configuration; empty where it does not say.
        where: The model, for messages.

    Raises:
        InputError: The classes are not the model's, the model was not split in that way, or the part is empty.
        DataError: The folder is missing, or images and masks do not pair.
    """
    layout = find_layout(source.layout, source.root)
    given = source.ontology or own_ontology(source.root)
    ontology = _label_set(own, given)
    if (
        given is None
        and layout.ontology not in (None, own.name)
        and not is_training_folder(source.root, recipe)
    ):
        _LOG.warning(
            "data of layout %s come with ontology %s; their values are read as those of %s, which the model has: "
            "--ontology says what they mean",
            layout.name,
            layout.ontology,
            own.name,
        )
    pairs = list_pairs(layout.name, source.root)
    if source.part == "all":
        if is_training_folder(source.root, recipe):
            _LOG.warning(
                "these are the images that the model was trained on; --split val takes the held-out part"
            )
    else:
        pairs = _held_out(pairs, source.part, recipe, where)
    return Frames(pairs, ontology, layout.name, source.part)


def is_training_folder(root: Path, recipe: dict[str, Any]) -> bool:
    """Whether a recipe was trained on this folder; bundles do not say."""
    trained_on = recipe.get("data", {}).get("root")
    return bool(trained_on) and Path(trained_on).resolve() == root.resolve()


def has_split(recipe: dict[str, Any]) -> bool:
    """Whether a recipe held a part of its training folder out."""
    data = recipe.get("data", {})
    return "val_fraction" in data and data.get("val_root") is None and not data.get("has_val_root")


def _held_out(pairs: list[Pair], part: str, recipe: dict[str, Any], where: str) -> list[Pair]:
    data = recipe.get("data", {})
    if part not in PARTS:
        raise InputError(f"there is no split '{part}'", mend=f"one of: {', '.join(PARTS)}")
    if "val_fraction" not in data:
        raise InputError("the model does not say how its data was split", where=where, mend="--split all")
    if not has_split(recipe):
        raise InputError(
            "the model was validated on a folder of its own, not on a part of its training data",
            where=where,
            mend="give that folder as --data, with --split all",
        )
    parts = split_pairs(
        pairs,
        data["val_fraction"],
        data.get("split", "blocks"),
        recipe.get("seed", 0),
        test_fraction=data.get("test_fraction", 0.0),
        group_by=data.get("group_by"),
    )
    chosen = parts.val if part == "val" else parts.test
    if not chosen:
        raise InputError(f"the model's split has no part '{part}'", where=where, mend="--split val, or all")
    return [pairs[i] for i in chosen]


def _label_set(own: Ontology, name: str | Path | None) -> Ontology:
    """The ontology that reads the masks; its classes must be the model's, only raw values may differ."""
    if name is None:
        return own
    other = load_ontology(name)
    if other.names != own.names:
        raise InputError(
            f"the classes of ontology {other.name} are not those of the model: {', '.join(other.names)} "
            f"against {', '.join(own.names)}",
            where="--ontology",
            mend="give an ontology with the same classes, or leave it out",
        )
    return other
