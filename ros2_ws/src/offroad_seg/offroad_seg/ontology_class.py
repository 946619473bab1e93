# SPDX-License-Identifier: Apache-2.0
"""One class of an ontology, and the checks of what a user wrote."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from offroad_seg.errors import OntologyError
from offroad_seg.ontology_palette import Color, parse_palette
from offroad_seg.types import COST_LETHAL, COST_MAX_GRADED, COST_UNKNOWN

if TYPE_CHECKING:
    from collections.abc import Mapping

Cost = int | Literal["lethal", "unknown"]

_CLASS_KEYS = {"id", "name", "color", "raw", "palette", "cost", "standing", "soft"}
MAX_RAW = 65535


@dataclass(frozen=True)
class OntologyClass:
    """One class.

    Attributes:
        id: 0 … n − 1, the network's channel and the pixel value of ``labels``.
        name: Unique name.
        color: RGB, 0–255, for pictures.
        raw: Values that mean this class in the data set's masks; empty where only colours do.
        cost: 0–98, ``lethal`` or ``unknown``.
        standing: Rises from the ground and hides what lies behind it.
        palette: RGB colours that mean this class in masks that are pictures; empty where only values do.
        soft: Gives way to a wheel, as high grass does: its height is no step.
    """

    id: int
    name: str
    color: tuple[int, int, int]
    raw: tuple[int, ...]
    cost: Cost
    standing: bool
    palette: tuple[Color, ...] = ()
    soft: bool = False

    def to_dict(self) -> dict[str, Any]:
        """As plain data; ``parse_class`` reads it back."""
        return {
            "id": self.id,
            "name": self.name,
            "color": list(self.color),
            **({"raw": list(self.raw)} if self.raw else {}),
            **({"palette": [list(c) for c in self.palette]} if self.palette else {}),
            "cost": self.cost,
            "standing": self.standing,
            **({"soft": True} if self.soft else {}),
        }


def cost_value(cost: Cost, *, where: str = "") -> int:
    """The OccupancyGrid value of a cost: 0–98, 100 for lethal, −1 for unknown.

    Raises:
        OntologyError: It is none of these.
    """
    if cost == "lethal":
        return COST_LETHAL
    if cost == "unknown":
        return COST_UNKNOWN
    if isinstance(cost, int) and not isinstance(cost, bool) and 0 <= cost <= COST_MAX_GRADED:
        return cost
    raise OntologyError(
        f"{cost!r} is not a cost", where=where, mend=f"give 0 (free) to {COST_MAX_GRADED}, lethal, or unknown"
    )


def parse_class(index: int, entry: Any, where: str) -> OntologyClass:
    """Check one entry of ``classes``.

    Raises:
        OntologyError: It names the entry and what is wrong with it.
    """
    where = f"{where}: class {index}"
    if not isinstance(entry, dict):
        raise OntologyError("a class is a mapping with name, color, raw, cost", where=where)
    if "traversability" in entry:
        raise OntologyError(
            "`traversability` is ambiguous (is 100 free or blocked?)",
            where=where,
            mend="write `cost`: 0 free … 98 hardly passable, lethal, or unknown",
        )
    only_keys(entry, _CLASS_KEYS, where)
    name = entry.get("name")
    if not isinstance(name, str) or not name.strip():
        raise OntologyError("`name` is missing", where=where)
    where = f"{where} ({name})"
    if entry.get("id", index) != index:
        raise OntologyError(
            f"`id` is {entry['id']}, but the class stands at place {index}",
            where=where,
            mend="ids run 0, 1, 2 … in order",
        )
    color = entry.get("color")
    if not (
        isinstance(color, (list, tuple))
        and len(color) == 3
        and all(isinstance(v, int) and 0 <= v <= 255 for v in color)
    ):
        raise OntologyError(f"`color` is {color!r}", where=where, mend="give [red, green, blue], each 0–255")
    if "cost" not in entry or not ("raw" in entry or "palette" in entry):
        missing = [] if "raw" in entry or "palette" in entry else ["`raw` (or `palette`)"]
        missing += [] if "cost" in entry else ["`cost`"]
        raise OntologyError(f"{' and '.join(missing)} is missing", where=where)
    raw = parse_raw_values(entry.get("raw", []), where)
    palette = parse_palette(entry.get("palette", []), where)
    for key, values in (("raw", raw), ("palette", palette)):
        if key in entry and not values:
            raise OntologyError(
                f"`{key}` is empty", where=where, mend=f"list the mask's {key} of this class, or leave it out"
            )
    flags = {key: entry.get(key, False) for key in ("standing", "soft")}
    for key, value in flags.items():
        if not isinstance(value, bool):
            raise OntologyError(f"`{key}` is {value!r}", where=where, mend="write true or false")
    if all(flags.values()):
        raise OntologyError(
            "a class is `standing` or `soft`, not both",
            where=where,
            mend="`standing` for what has a place of its own, `soft` for ground cover that gives way",
        )
    cost_value(entry["cost"], where=where)
    rgb = (color[0], color[1], color[2])
    return OntologyClass(index, name, rgb, raw, entry["cost"], flags["standing"], palette, flags["soft"])


def parse_raw_values(values: Any, where: str) -> tuple[int, ...]:
    """Check a raw value or a list of them.

    Raises:
        OntologyError: Not whole numbers of 16 bits.
    """
    values = [values] if isinstance(values, int) else values
    if not isinstance(values, (list, tuple)) or not all(
        isinstance(v, int) and not isinstance(v, bool) and 0 <= v <= MAX_RAW for v in values
    ):
        raise OntologyError(
            f"raw values are {values!r}", where=where, mend=f"list whole numbers from 0 to {MAX_RAW}"
        )
    return tuple(values)


def only_keys(data: dict[str, Any], allowed: set[str], where: str) -> None:
    """Refuse keys that mean nothing, so that a typing mistake is not ignored.

    Raises:
        OntologyError: It lists the unknown keys.
    """
    if unknown := sorted(str(k) for k in data if k not in allowed):
        raise OntologyError(
            f"unknown keys: {', '.join(unknown)}", where=where, mend=f"known: {', '.join(sorted(allowed))}"
        )


def check_unique(
    classes: tuple[OntologyClass, ...],
    ignore: tuple[int, ...],
    ignore_palette: tuple[Color, ...],
    where: str,
) -> None:
    """Refuse a name, a raw value or a palette colour that is used twice, and a coding that some classes lack.

    Raises:
        OntologyError: It names both users, or the classes without the coding.
    """
    seen: set[str] = set()
    for c in classes:
        if c.name.lower() in seen:
            raise OntologyError(f"two classes are called {c.name}", where=where)
        seen.add(c.name.lower())
    _check_coding("raw", {c.name: c.raw for c in classes}, ignore, where)
    _check_coding("palette", {c.name: c.palette for c in classes}, ignore_palette, where)


def _check_coding(
    key: str, values: Mapping[str, tuple[Any, ...]], ignore: tuple[Any, ...], where: str
) -> None:
    what, ignore_key = ("raw value", "ignore") if key == "raw" else ("palette colour", "ignore_palette")
    without = [name for name, own in values.items() if not own]
    if without and (ignore or len(without) < len(values)):
        raise OntologyError(
            f"`{key}` is missing in {', '.join(without)}",
            where=where,
            mend=f"give `{key}` to every class, or to none and leave `{ignore_key}` out",
        )
    owner: dict[Any, str] = dict.fromkeys(ignore, ignore_key)
    if len(owner) != len(ignore):
        raise OntologyError(f"`{ignore_key}` lists a value twice", where=where)
    for name, own in values.items():
        for value in own:
            if value in owner:
                raise OntologyError(f"{what} {value} belongs to both {owner[value]} and {name}", where=where)
            owner[value] = name
