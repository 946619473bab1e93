# SPDX-License-Identifier: Apache-2.0
"""Label sets: which raw mask values mean which class, and what each class costs to drive over.

A file in ``config/ontologies/`` or one of the user's own::

    name: my_site
    classes:
      - {name: Track, color: [180, 140, 90], raw: [1], cost: 0}
      - {name: Boulder, color: [90, 90, 90], raw: [2, 7], cost: lethal, standing: true}
      - {name: Sky, color: [130, 180, 230], raw: [3], cost: unknown}
    ignore: [0]          # raw values that carry no class

Where masks are pictures, ``palette: [[128, 64, 0]]`` takes the place of ``raw``, and ``ignore_palette`` that of
``ignore``; a label set whose masks come both ways gives both. The order of the classes gives their ids. ``cost`` is 0
(free) to 98, ``lethal``, or ``unknown`` for what never says anything about the ground. ``standing`` marks what rises
from the ground and hides what lies behind it; ``soft`` marks ground cover that gives way to a wheel (high grass), whose
height is no step where depth is known.
"""

from __future__ import annotations

import logging
import warnings
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import yaml

from offroad_seg import resources
from offroad_seg.errors import InputError, OntologyError
from offroad_seg.ontology_class import (
    Cost,
    OntologyClass,
    check_unique,
    cost_value,
    only_keys,
    parse_class,
    parse_raw_values,
)
from offroad_seg.ontology_codec import MaskCodec
from offroad_seg.ontology_palette import Color, parse_palette
from offroad_seg.types import COST_UNKNOWN

__all__ = ["Cost", "Ontology", "OntologyClass", "cost_value", "load_ontology", "ontology_names"]

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from offroad_seg.types import JsonDict

_ONTOLOGY_KEYS = {"name", "description", "classes", "ignore", "ignore_palette", "warning"}
_MAX_CLASSES = 250


@dataclass(frozen=True)
class Ontology:
    """A label set. Build it with ``load_ontology`` or ``Ontology.from_dict``, which check it.

    Attributes:
        name: Its name, which bundles and checkpoints carry.
        description: Where it comes from.
        classes: The classes, ids 0 … n − 1 in order.
        ignore: Raw values that carry no class.
        warning: Said whenever it is loaded; empty for a label set that can be trusted.
        ignore_palette: Colours that carry no class, in masks that are pictures.
    """

    name: str
    description: str
    classes: tuple[OntologyClass, ...]
    ignore: tuple[int, ...] = ()
    warning: str = ""
    ignore_palette: tuple[Color, ...] = ()

    @property
    def has_raw(self) -> bool:
        """Whether masks may hold raw values."""
        return bool(self.classes[0].raw)

    @property
    def has_palette(self) -> bool:
        """Whether masks may be RGB pictures."""
        return bool(self.classes[0].palette)

    @property
    def n_classes(self) -> int:
        """Number of classes."""
        return len(self.classes)

    @property
    def names(self) -> list[str]:
        """Class names in the order of their ids."""
        return [c.name for c in self.classes]

    def id_of(self, name: str) -> int:
        """The id of a class.

        Raises:
            OntologyError: There is no such class.
        """
        for c in self.classes:
            if c.name == name:
                return c.id
        raise OntologyError(
            f"no class '{name}' in ontology {self.name}", mend=f"classes: {', '.join(self.names)}"
        )

    @cached_property
    def colors_2563(self) -> NDArray[np.uint8]:
        """RGB colour of each label value, shape (256, 3); black where there is no class."""
        lut = np.zeros((256, 3), np.uint8)
        for c in self.classes:
            lut[c.id] = c.color
        return lut

    @cached_property
    def half_colors_2563(self) -> NDArray[np.uint8]:
        """Half of ``colors_2563``, rounded up: what an overlay adds to half of the image, rounded down."""
        return (self.colors_2563 >> 1) + (self.colors_2563 & 1)

    @cached_property
    def costs_256(self) -> NDArray[np.int8]:
        """OccupancyGrid value of each label value, shape (256,); −1 where there is no class."""
        lut = np.full(256, COST_UNKNOWN, np.int8)
        for c in self.classes:
            lut[c.id] = cost_value(c.cost)
        return lut

    @cached_property
    def standing_256(self) -> NDArray[np.bool_]:
        """Whether each label value stands up from the ground, shape (256,)."""
        lut = np.zeros(256, np.bool_)
        for c in self.classes:
            lut[c.id] = c.standing
        return lut

    @cached_property
    def soft_256(self) -> NDArray[np.bool_]:
        """Whether each label value is ground cover that gives way, shape (256,)."""
        lut = np.zeros(256, np.bool_)
        for c in self.classes:
            lut[c.id] = c.soft
        return lut

    @cached_property
    def _codec(self) -> MaskCodec:
        return MaskCodec(self.name, self.classes, self.ignore, self.ignore_palette)

    def unknown_values(self, mask: NDArray[np.generic]) -> dict[int, int]:
        """Values of a mask that the ontology does not know → number of pixels.

        Args:
            mask: Raw values (H, W), or an RGB picture (H, W, 3) uint8, whose colours are given as
                red << 16 | green << 8 | blue.

        Raises:
            OntologyError: The mask is coded in a way that the ontology is not.
        """
        return self._codec.unknown_values(mask)

    def encode(self, mask: NDArray[np.generic], *, where: str = "") -> NDArray[np.uint8]:
        """A mask as the data set has it → class ids (H, W) uint8, 255 for ignored values.

        Args:
            mask: Raw values (H, W) of any integer type, or an RGB picture (H, W, 3) uint8.
            where: The file, for the message.

        Raises:
            OntologyError: Some values are not in the ontology (they are named with their counts), or the mask is coded
                in a way that the ontology is not.
        """
        return self._codec.encode(mask, where)

    def decode(self, ids_HW: NDArray[np.uint8]) -> NDArray[np.uint16] | NDArray[np.uint8]:
        """Class ids → a mask as the data set has it, which ``encode`` reads back.

        Returns:
            The first raw value of each class, uint16 (H, W), and the first ignored value, else 0, where there is no
            class; or, where the ontology knows colours only, those in the same way, uint8 (H, W, 3).
        """
        return self._codec.decode(ids_HW)

    def colorize(self, ids_HW: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Class ids (H, W) → RGB picture (H, W, 3)."""
        picture: NDArray[np.uint8] = np.take(self.colors_2563, ids_HW, axis=0)
        return picture

    def to_dict(self) -> JsonDict:
        """As plain data, for YAML and JSON; ``from_dict`` reads it back."""
        return {
            "name": self.name,
            "description": self.description,
            "classes": [c.to_dict() for c in self.classes],
            "ignore": list(self.ignore),
            "warning": self.warning,
            **({"ignore_palette": [list(c) for c in self.ignore_palette]} if self.ignore_palette else {}),
        }

    @classmethod
    def from_dict(cls, data: Any, *, where: str = "ontology") -> Ontology:
        """Check plain data and build an ontology.

        Raises:
            OntologyError: Something is missing, doubled or out of bounds; the message names it.
        """
        if not isinstance(data, dict):
            raise OntologyError("an ontology is a mapping with `name` and `classes`", where=where)
        only_keys(data, _ONTOLOGY_KEYS, where)
        entries = data.get("classes")
        if not isinstance(entries, list) or not entries:
            raise OntologyError("`classes` is missing or empty", where=where, mend="list at least one class")
        if len(entries) > _MAX_CLASSES:
            raise OntologyError(f"{len(entries)} classes: at most {_MAX_CLASSES} fit into mono8", where=where)
        classes = tuple(parse_class(i, entry, where) for i, entry in enumerate(entries))
        name = data.get("name")
        if not isinstance(name, str) or not name:
            raise OntologyError("`name` is missing", where=where)
        ignore = parse_raw_values(data.get("ignore", []), f"{where}: ignore")
        ignore_palette = parse_palette(data.get("ignore_palette", []), f"{where}: ignore_palette")
        check_unique(classes, ignore, ignore_palette, where)
        description, warning = str(data.get("description", "")), str(data.get("warning", ""))
        return cls(name, description, classes, ignore, warning, ignore_palette)


def load_ontology(name_or_path: str | Path) -> Ontology:
    """Load one of ``config/ontologies/`` by name, or a YAML file by path.

    An ontology that has a ``warning`` says it, as a Python warning and in the log.

    Raises:
        OntologyError: There is no such file, or it is wrong; the message says where.
    """
    path = Path(name_or_path)
    if path.suffix not in (".yaml", ".yml"):
        try:
            path = resources.find(f"config/ontologies/{name_or_path}.yaml")
        except InputError as error:
            raise OntologyError(
                f"no ontology '{name_or_path}'",
                where=error.where,
                mend=f"give a YAML file, or one of: {', '.join(ontology_names())}",
            ) from None
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise OntologyError(f"the ontology cannot be read: {error.strerror}", where=str(path)) from None
    except yaml.YAMLError as error:
        raise OntologyError(f"not valid YAML: {' '.join(str(error).split())}", where=str(path)) from None
    ontology = Ontology.from_dict(data, where=str(path))
    if ontology.warning:
        message = f"ontology {ontology.name}: {ontology.warning}"
        logging.getLogger(__name__).warning(message)
        warnings.warn(message, UserWarning, stacklevel=2)
    return ontology


def ontology_names() -> list[str]:
    """Names of the ontologies that ship with the project."""
    return sorted(p.stem for p in resources.find("config/ontologies").glob("*.yaml"))
