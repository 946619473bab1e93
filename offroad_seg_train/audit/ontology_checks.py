# SPDX-License-Identifier: Apache-2.0
"""Whether an ontology can be true of the data: sky is at the top, ground is not, what stands does not fill the floor.

A table that gives other names to the same values passes every check of single files, trains without a word, and
drives a robot at the sky. Position and look of each value give it away.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from offroad_seg_train.audit.finding import Example, Finding, Panel, Severity, percent
from offroad_seg_train.audit.mask_probe import EDGE_ROWS, ROWS
from offroad_seg_train.audit.roles import GROUND, SKY, SOLID, STANDING, role, words
from offroad_seg_train.audit.sky import looks_like_sky, sky_figures, smoother
from offroad_seg_train.audit.sources import NEIGHBOURS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from offroad_seg.ontology import Ontology, OntologyClass
    from offroad_seg_train.audit.finding import MaskValue
    from offroad_seg_train.audit.probe import Record
    from offroad_seg_train.audit.tally import Tally, Where

_SURE_IMAGES = 3
_FLOOR_SHARE, _FLOOR_HEIGHT, _FLOOR_IMAGES = 0.3, 0.6, 0.5
_APART_HEIGHT, _APART_SHARE, _APART_IMAGES = 0.3, 0.005, 5
_EASY_COST = 30
_PICTURES = 3


def ontology_findings(tally: Tally, records: Sequence[Record], fits: Sequence[str]) -> list[Finding]:
    """Everything that speaks against the ontology.

    Args:
        tally: Sums over all masks.
        records: What each frame showed, for pictures.
        fits: Names of other ontologies that know every value and whose sky looks like sky.
    """
    ontology = tally.ontology
    found = [
        *(f for c in ontology.classes if role(c) == SKY for f in _sky(c, tally, records, fits)),
        *(f for c in ontology.classes if role(c) == GROUND for f in _ground(c, tally, records, fits)),
        *(f for c in ontology.classes if role(c) == STANDING for f in _standing(c, tally, records)),
        *(f for c in ontology.classes for f in _values_apart(c, tally, records)),
        *cost_findings(ontology),
    ]
    if ontology.warning:
        said = f"ontology {ontology.name} warns of itself"
        found.append(Finding("ontology_warning", Severity.WARNING, said, ontology.warning))
    return found


def _sky(c: OntologyClass, tally: Tally, records: Sequence[Record], fits: Sequence[str]) -> list[Finding]:
    where, own = tally.classes[c.id], set(tally.values_of(c.id))
    others = [v for v in looks_like_sky(tally) if v not in own]
    instead = _instead(others[0], tally) if others else ""
    mend = (f"use {' or '.join(fits)}, or correct" if fits else "correct") + " the class table"
    figures = {"class": c.name, **sky_figures(where, tally), "looks_like_sky": [v.label for v in others]}
    if where.height is not None and where.height > 0.5:
        raw, name = _values(own), tally.ontology.name
        return [
            Finding(
                "sky_below",
                Severity.ERROR if where.images >= _SURE_IMAGES else Severity.WARNING,
                f"'{c.name}' lives in the LOWER half of the images: ontology {name} does not fit this data",
                f"{raw}, which {name} calls {c.name}, takes {percent(tally.share(where))} of all pixels at mean height "
                f"{where.height:.2f} (0 is the top, 1 the bottom); {percent(where.below_middle)} of them lie below the "
                f"middle, and {_edge(where, tally)}.{instead} A robot that trusts this table would drive at the sky.",
                mend,
                examples=_pictures(sorted(own), others[:1], c.name, tally, records),
                figures=figures,
            )
        ]
    if not others:
        return []
    if not where.pixels:
        return [
            Finding(
                "sky_missing",
                Severity.WARNING,
                f"'{c.name}' never occurs, but something else looks like sky",
                f"No pixel is called {c.name}.{instead}",
                mend,
                examples=_pictures([], others[:1], c.name, tally, records),
                figures=figures,
            )
        ]
    if own & set(looks_like_sky(tally)):
        return []
    return [
        Finding(
            "sky_unlikely",
            Severity.WARNING,
            f"'{c.name}' does not look like sky, and something else does",
            f"{_values(own)}, which {tally.ontology.name} calls {c.name}, lies at mean height {where.height:.2f}; "
            f"{_edge(where, tally)}; {smoother(where, tally)}.{instead}",
            mend,
            examples=_pictures(sorted(own), others[:1], c.name, tally, records),
            figures=figures,
        )
    ]


def _ground(c: OntologyClass, tally: Tally, records: Sequence[Record], fits: Sequence[str]) -> list[Finding]:
    """A class that is driven on, where only sky can be."""
    skies = [v for v in looks_like_sky(tally) if tally.ids[v] == c.id]
    if not skies:
        return []
    where = tally.values[skies[0]]
    free = f" With cost {c.cost} it would be driven on." if isinstance(c.cost, int) else ""
    return [
        Finding(
            "ground_above",
            Severity.ERROR if where.images >= _SURE_IMAGES else Severity.WARNING,
            f"'{c.name}' should be ground, but lies where the sky is",
            f"{_values(skies)}, which {tally.ontology.name} calls {c.name}, takes {percent(tally.share(where))} of all "
            f"pixels at mean height {where.height:.2f} (0 is the top, 1 the bottom); {_edge(where, tally)}, and is "
            f"{smoother(where, tally)}.{free}",
            (f"use {' or '.join(fits)}, or correct" if fits else "correct") + " the class table",
            examples=_pictures(skies[:1], [], c.name, tally, records),
            figures={"class": c.name, **sky_figures(where, tally)},
        )
    ]


def _standing(c: OntologyClass, tally: Tally, records: Sequence[Record]) -> list[Finding]:
    """A class that stands up, but is what the vehicle stands on."""
    where = tally.classes[c.id]
    floor = where.share_of_rows(ROWS - EDGE_ROWS, ROWS, tally.masks)
    fills = floor >= _FLOOR_SHARE and where.images >= _FLOOR_IMAGES * tally.masks
    if not fills or where.height is None or where.height < _FLOOR_HEIGHT:
        return []
    return [
        Finding(
            "standing_below",
            Severity.WARNING,
            f"'{c.name}' stands up by its name or its entry, but fills the ground before the camera",
            f"It takes {percent(floor)} of the lower edge of the images, at mean height {where.height:.2f}, and occurs "
            f"in {percent(where.images / tally.masks)} of them. If that were true, the vehicle would stand in it.",
            "look whether the class table fits the data, and what the class costs",
            examples=_pictures(tally.values_of(c.id)[:1], [], c.name, tally, records),
            figures={"class": c.name, "floor_share": round(floor, 4), **sky_figures(where, tally)},
        )
    ]


def _values_apart(c: OntologyClass, tally: Tally, records: Sequence[Record]) -> list[Finding]:
    """Values that share a class, but lie in different halves of the image: they can hardly be the same thing."""
    known = [
        v
        for v in tally.values_of(c.id)
        if tally.share(tally.values[v]) >= _APART_SHARE and tally.values[v].images >= _APART_IMAGES
    ]
    by_height = sorted(known, key=lambda v: tally.values[v].height or 0.0)
    if len(by_height) < 2:
        return []
    high, low = by_height[0], by_height[-1]
    top, bottom = tally.values[high].height or 0.0, tally.values[low].height or 0.0
    if not (top < 0.5 < bottom and bottom - top > _APART_HEIGHT):
        return []
    return [
        Finding(
            "values_apart",
            Severity.WARNING,
            f"two values are both called '{c.name}', but one lies at the top and the other at the bottom",
            f"{high.label} lies at mean height {top:.2f}, {low.label} at {bottom:.2f} (0 is the top, 1 the bottom).",
            "look whether both mean the same",
            examples=_pictures([low], [high], c.name, tally, records),
            figures={"class": c.name, "heights": {v.label: tally.values[v].height for v in by_height}},
        )
    ]


def cost_findings(ontology: Ontology) -> list[Finding]:
    """Classes whose cost contradicts their name; no data is needed to see it."""
    found = []
    for c in ontology.classes:
        if role(c) == SKY and (c.cost != "unknown" or c.standing):
            what = f"cost {c.cost}" + (", standing" if c.standing else "")
            found.append(
                Finding(
                    "sky_costs",
                    Severity.ERROR,
                    f"'{c.name}' has {what}",
                    "Sky says nothing about the ground. With a cost of its own it is painted into the costmap along "
                    "the horizon, and low costs are driven at.",
                    "write `cost: unknown` and leave `standing` out",
                    figures={"class": c.name, "cost": c.cost},
                )
            )
        if (
            SOLID & set(words(c.name)[-1:])
            and not c.standing
            and isinstance(c.cost, int)
            and c.cost <= _EASY_COST
        ):
            found.append(
                Finding(
                    "solid_is_free",
                    Severity.WARNING,
                    f"'{c.name}' costs {c.cost} and does not stand up",
                    "By its name a vehicle does not drive over it; by the ontology it may.",
                    "write `cost: lethal` and `standing: true`, if it is what its name says",
                    figures={"class": c.name, "cost": c.cost},
                )
            )
    return found


def _instead(value: MaskValue, tally: Tally) -> str:
    where = tally.values[value]
    return (
        f" {_values([value])}, which it calls {tally.name_of(value)}, does look like sky: "
        f"{percent(tally.share(where))} of all pixels at mean height {where.height:.2f}; {_edge(where, tally)}, and is "
        f"{smoother(where, tally)}."
    )


def _edge(where: Where, tally: Tally) -> str:
    return f"it covers {percent(where.share_of_rows(0, EDGE_ROWS, tally.masks))} of the upper edge"


def _values(values: Sequence[MaskValue] | set[MaskValue]) -> str:
    ranked = sorted(values)
    if not ranked:
        return "It"
    kind = "Colour" if ranked[0].is_color else "Raw"
    return f"{kind} {', '.join(v.label for v in ranked)}"


def _pictures(
    own: list[MaskValue], instead: list[MaskValue], name: str, tally: Tally, records: Sequence[Record]
) -> tuple[Example, ...]:
    """Frames that hold much of what is in question, with it marked, and beside it what looks like sky."""

    def amount(index: int, values: list[MaskValue]) -> float:
        mask = records[index].mask
        if mask is None or mask.coding:
            return 0.0
        pixels = [int(n) for v, n in zip(mask.values, mask.pixels_V, strict=True) if v in values]
        return sum(pixels) / (mask.height * mask.width)

    def telling(index: int) -> float:
        return min(amount(index, v) for v in (own, instead) if v)

    chosen: list[int] = []
    for i in sorted(range(len(records)), key=lambda i: -telling(i)):
        # Neighbours would show the same thing three times.
        if all(abs(i - other) > NEIGHBOURS for other in chosen):
            chosen.append(i)
        if len(chosen) == _PICTURES:
            break
    examples = []
    for i in chosen:
        panels = [Panel(i, "the image", "image")]
        if own:
            panels.append(Panel(i, f"{_values(own)}: called {name}", "values", tuple(own)))
        if instead:
            called = tally.name_of(instead[0])
            panels.append(Panel(i, f"{_values(instead)}: called {called}", "values", tuple(instead)))
        examples.append(Example(tuple(panels)))
    return tuple(examples)
