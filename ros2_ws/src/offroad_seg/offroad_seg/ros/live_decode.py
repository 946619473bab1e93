# SPDX-License-Identifier: Apache-2.0
"""Messages that the node publishes → the arrays that the live view draws."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from offroad_seg.bundle import read_manifest
from offroad_seg.errors import ImageError, OffroadSegError
from offroad_seg.ontology import Ontology

if TYPE_CHECKING:
    from numpy.typing import NDArray

_POINT_KINDS = {2: "u1", 7: "<f4"}
_NEEDED = {"x": "<f4", "y": "<f4", "z": "<f4", "label": "u1", "confidence": "u1"}


def colors_of_bundle(path: str) -> NDArray[np.uint8] | None:
    """RGB of each class id, shape (256, 3), of a bundle's ontology; None where it cannot be read."""
    if not path:
        return None
    try:
        return Ontology.from_dict(read_manifest(Path(path)).ontology).colors_2563
    except OffroadSegError:
        return None


def points_of(message: Any) -> NDArray[Any]:
    """An organised PointCloud2 of the node as a structured array (H, W), a view of its bytes.

    Raises:
        ImageError: It lacks x, y, z, label or confidence, or its size does not fit.
    """
    fields = {f.name: (_POINT_KINDS.get(f.datatype), f.offset) for f in message.fields}
    for name, kind in _NEEDED.items():
        if fields.get(name, (None, 0))[0] != kind or message.is_bigendian:
            raise ImageError(
                f"the cloud has no field {name} of type {kind}",
                where="points",
                mend="show points of the node",
            )
    dtype = np.dtype(
        {
            "names": list(_NEEDED),
            "formats": list(_NEEDED.values()),
            "offsets": [fields[name][1] for name in _NEEDED],
            "itemsize": message.point_step,
        }
    )
    height, width = message.height, message.width
    data = np.frombuffer(message.data, np.uint8)
    if message.row_step != width * message.point_step or data.size != height * message.row_step:
        raise ImageError(f"{data.size} bytes are not {width}×{height} points", where="points")
    points_HW: NDArray[Any] = data.view(dtype).reshape(height, width)
    return points_HW
