# SPDX-License-Identifier: Apache-2.0
"""What a class should be, by its name and by what the ontology says of it: sky, ground, or something that stands."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from offroad_seg.ontology import OntologyClass

SKY, GROUND, STANDING, OTHER = "sky", "ground", "standing", "other"

_SKY = {"sky", "skies", "cloud", "clouds"}
_GROUND = {
    "asphalt", "bedrock", "clay", "concrete", "dirt", "field", "flowers", "grass", "gravel", "ground", "land",
    "landscape", "lane", "lawn", "mud", "mulch", "path", "pavement", "puddle", "road", "sand", "sidewalk", "snow",
    "soil", "surface", "surfaces", "terrain", "track", "trail",
}  # fmt: skip
_STANDING = {
    "animal", "barrier", "bike", "bicycle", "boulder", "boulders", "building", "bush", "bushes", "car", "cars", "fence",
    "house", "human", "log", "logs", "motorcycle", "obstacle", "obstacles", "pedestrian", "people", "person", "pole",
    "poles", "rock", "rocks", "rider", "shrub", "shrubs", "sign", "tree", "trees", "truck", "trunk", "vehicle",
    "vehicles", "wall", "walls",
}  # fmt: skip
SOLID = _STANDING - {"bush", "bushes", "shrub", "shrubs"}
"""What no vehicle drives over, whatever its size."""


def words(name: str) -> list[str]:
    """The words of a class name, in lower case: ``DryGrass_2`` → dry, grass."""
    return [w.lower() for w in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", name)]


def role_by_name(name: str) -> str:
    """What a name alone says. Its last word that says something decides: ``Rock Road`` is ground."""
    said = words(name)
    if _SKY & set(said):
        return SKY
    for word in reversed(said):
        if word in _STANDING:
            return STANDING
        if word in _GROUND:
            return GROUND
    return OTHER


def role(c: OntologyClass) -> str:
    """What a class should be: sky by its name, else as ``standing`` and ``cost`` have it, else by its name."""
    by_name = role_by_name(c.name)
    if by_name == SKY:
        return SKY
    if c.standing:
        return STANDING
    return GROUND if isinstance(c.cost, int) else by_name
