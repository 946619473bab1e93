# SPDX-License-Identifier: Apache-2.0
"""Merging classes for a consumer that needs fewer of them.

A grouping is a YAML file::

    name: drivability
    groups:
      drivable: [Landscape, Dry Grass]
      obstacle: [Trees, Rocks, Logs]

Groups are numbered in their order, from 0. Classes in no group are unlabelled (255) to that consumer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import yaml

from offroad_seg.errors import InputError
from offroad_seg.types import UNLABELLED

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from offroad_seg.ontology import Ontology

    U8 = NDArray[np.uint8]

_MEND = "a mapping with `groups: {group name: [class names]}`"


@dataclass(frozen=True)
class Grouping:
    """Classes merged into groups.

    Attributes:
        name: What it is called.
        names: The groups by number.
        group_256: uint8 (256,): class id → group, 255 for none.
    """

    name: str
    names: list[str]
    group_256: U8

    @classmethod
    def load(cls, path: Path, ontology: Ontology) -> Grouping:
        """Read a file and check it against the classes of the bundle.

        Raises:
            InputError: It cannot be read, names a class that the bundle does not have, or one twice.
        """
        try:
            data = yaml.safe_load(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            raise InputError(
                f"the label grouping cannot be read: {' '.join(str(error).split())}",
                where=str(path),
                mend=_MEND,
            ) from None
        groups = data.get("groups") if isinstance(data, dict) else None
        if not isinstance(groups, dict) or not groups or len(groups) > UNLABELLED:
            raise InputError("the label grouping has no groups", where=str(path), mend=_MEND)
        group_256: U8 = np.full(256, UNLABELLED, np.uint8)
        for number, (name, members) in enumerate(groups.items()):
            if not isinstance(members, list) or not members:
                raise InputError(f"group '{name}' has no classes", where=str(path), mend=_MEND)
            for member in members:
                _put(group_256, number, member, ontology, path)
        return cls(str(data.get("name", path.stem)), [str(name) for name in groups], group_256)

    def apply(self, labels_HW: U8) -> U8:
        """Labels → groups, uint8 of the same shape."""
        return np.asarray(cv2.LUT(labels_HW, self.group_256), np.uint8)


def _put(group_256: U8, number: int, member: Any, ontology: Ontology, path: Path) -> None:
    if member not in ontology.names:
        raise InputError(
            f"the bundle has no class '{member}'",
            where=str(path),
            mend=f"classes: {', '.join(ontology.names)}",
        )
    class_id = ontology.id_of(member)
    if group_256[class_id] != UNLABELLED:
        raise InputError(
            f"class '{member}' is in two groups", where=str(path), mend="a class belongs to one group at most"
        )
    group_256[class_id] = number
