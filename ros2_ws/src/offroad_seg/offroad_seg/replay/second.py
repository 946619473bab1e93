# SPDX-License-Identifier: Apache-2.0
"""Another bundle that labels the same frames, to see where the two disagree."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from offroad_seg.engines.registry import load_engine
from offroad_seg.errors import InputError
from offroad_seg.replay.frames import Drop
from offroad_seg.replay.resume import SpooledEngine, spooled_engine
from offroad_seg.segmenter import Segmenter
from offroad_seg.types import UNLABELLED

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from offroad_seg.bundle import Bundle
    from offroad_seg.ontology import Ontology
    from offroad_seg.replay.resume import Results
    from offroad_seg.replay.spool import Spool

    U8 = NDArray[np.uint8]


class SecondBundle:
    """Labels frames with another bundle; classes are matched by name.

    Args:
        bundle: The other one.
        ontology: Of the first, whose ids are used.
        device: As for ``load_engine``.
        rotation: Degrees by which images are turned upright.

    Raises:
        InputError: The two have no class in common.
        EngineError: It cannot be loaded.

    Attributes:
        told: What belongs into ``metrics.json`` under ``agreement``.
    """

    def __init__(
        self, bundle: Bundle, ontology: Ontology, *, device: str = "auto", rotation: int = 0
    ) -> None:
        self._ids_256, alone = _translation(bundle.ontology, ontology)
        self._segmenter = Segmenter(bundle, load_engine(bundle, device=device, spin=False), rotation=rotation)
        self.told: dict[str, Any] = {
            "bundle": bundle.manifest.name,
            "digest": bundle.manifest.digest,
            "classes_of_one_only": alone,
        }

    def __enter__(self) -> SecondBundle:
        return self

    def __exit__(self, *_: object) -> None:
        self._segmenter.engine.close()

    def beside(self, results: Results, spool: Spool | None = None) -> Results:
        """The results as they are, each frame with the other's labels.

        Args:
            results: From the first bundle.
            spool: Keeps what the engine says, and answers in its place.
        """
        engine: SpooledEngine | None = None
        if spool is not None:
            engine = self._segmenter.engine = spooled_engine(self._segmenter.engine, spool)
        for result in results:
            if isinstance(result, Drop):
                yield result
                continue
            item, perception = result
            if engine is not None:
                engine.index = item.index
            labels_HW = self._segmenter.segment(item.frame).labels_HW
            if spool is not None and engine is not None and engine.said is not None:
                spool.put(item.index, engine.said, {})
            yield replace(item, other_HW=np.take(self._ids_256, labels_HW)), perception


def _translation(theirs: Ontology, ours: Ontology) -> tuple[U8, list[str]]:
    """Their id → ours (uint8, 256; 255 where we have no such class), and the names that only one has."""
    ids_256: U8 = np.full(256, UNLABELLED, np.uint8)
    for number, name in enumerate(theirs.names):
        if name in ours.names:
            ids_256[number] = ours.id_of(name)
    if (ids_256 == UNLABELLED).all():
        raise InputError(
            f"the two bundles have no class in common: {', '.join(theirs.names)} and {', '.join(ours.names)}",
            where="--compare-with",
            mend="give a bundle of the same label set",
        )
    return ids_256, sorted(set(theirs.names) ^ set(ours.names))
