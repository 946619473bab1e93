# SPDX-License-Identifier: Apache-2.0
"""Where out of distribution begins for an engine: fitted anew on pictures, by what the engine itself says of them."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import numpy as np

from offroad_seg.types import OOD_MEDIAN, OOD_THRESHOLD

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from offroad_seg.compile.parity import Parity

_LOG = logging.getLogger(__name__)
_HIGHEST = 255


def with_level(ood: dict[str, Any] | None, parity: Parity) -> dict[str, Any] | None:
    """The manifest's ``ood`` of an engine.

    The graph's scale is fixed when it is exported; a level of its output that is not 128 moves the threshold. On the
    gate's pictures at most as many pixels lie at the level or above as the export let lie above its own threshold.

    Args:
        ood: That of the portable bundle; None where the graph has no such output.
        parity: What the gate counted. Pictures that were drawn say nothing of the world: the threshold stays.

    Returns:
        The same, with ``level`` and ``level_fitted_on`` where it was fitted.
    """
    if ood is None or parity.source != "real" or parity.ood_counts is None:
        return ood
    share = 1.0 - float(ood["percentile"]) / 100.0
    level = fit_level(parity.ood_counts, share)
    at_export = _share_from(parity.ood_counts, OOD_THRESHOLD)
    if level is None:
        _LOG.warning(
            "the OOD threshold stays as exported: no other flags %.3g %% of these pictures' pixels; it flags %.3g %%",
            100 * share,
            100 * at_export,
        )
        return ood
    return {
        **ood,
        "level": level,
        "level_fitted_on": {
            "images": parity.images,
            "images_sha256": parity.images_sha256,
            "pixels": int(parity.ood_counts.sum()),
            "flagged": round(_share_from(parity.ood_counts, level), 6),
            "flagged_at_export": round(at_export, 6),
        },
    }


def fit_level(counts_256: NDArray[np.int64], share: float) -> int | None:
    """The lowest level from which on lie at most so many of the pixels.

    Args:
        counts_256: Pixels by their score.
        share: 0–1.

    Returns:
        A level above the median of the export's validation pixels, at most 255; None where there is none: the pictures
        have nothing to do with those, or nothing on them stands out.
    """
    total = int(counts_256.sum())
    if total == 0:
        return None
    from_256 = np.cumsum(counts_256[::-1])[::-1]
    fitting = np.flatnonzero(from_256 <= share * total)
    if fitting.size == 0 or not OOD_MEDIAN < fitting[0] <= _HIGHEST:
        return None
    return int(fitting[0])


def _share_from(counts_256: NDArray[np.int64], level: int) -> float:
    return float(counts_256[level:].sum()) / max(1, int(counts_256.sum()))
