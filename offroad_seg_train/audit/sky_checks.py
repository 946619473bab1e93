# SPDX-License-Identifier: Apache-2.0
"""Single frames in which something looks like sky and is called otherwise, where the ontology as a whole is right."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from offroad_seg_train.audit.finding import Example, FileNote, Finding, Panel, Severity, count, percent
from offroad_seg_train.audit.roles import SKY, role
from offroad_seg_train.audit.sky import looks_like_sky

if TYPE_CHECKING:
    from collections.abc import Sequence

    from offroad_seg_train.audit.finding import MaskValue
    from offroad_seg_train.audit.mask_probe import MaskRecord
    from offroad_seg_train.audit.probe import Record
    from offroad_seg_train.audit.sources import Frame
    from offroad_seg_train.audit.tally import Tally

_COVERED, _FREE = 0.9, 0.02
_LEAST_FRAMES = 10
_USUAL = 50


def sky_frame_findings(frames: Sequence[Frame], records: Sequence[Record], tally: Tally) -> list[Finding]:
    """Frames whose upper edge is as smooth as sky, and none of it is called sky."""
    named = {
        value
        for value in looks_like_sky(tally)
        if (own := tally.ids[value]) is not None
        and own < tally.ontology.n_classes
        and role(tally.ontology.classes[own]) == SKY
    }
    seen = [
        (i, _edge_share(r.mask, named), r.image.top_texture)
        for i, r in enumerate(records)
        if r.image and r.mask and not r.mask.coding and not r.image.blank
    ]
    usual = [texture for _, share, texture in seen if share >= _COVERED]
    if not named or len(usual) < _LEAST_FRAMES:
        return []
    limit = float(np.percentile(usual, _USUAL))
    bad = [
        (i, texture)
        for i, share, texture in seen
        if share <= _FREE and texture <= limit and tally.is_class(_edge_value(records[i].mask))
    ]
    if not bad:
        return []
    told = {i: _called(records[i].mask, tally) for i, _ in bad}
    return [
        Finding(
            "sky_unnamed",
            Severity.NOTE,
            f"{count(len(bad), 'image')} whose upper edge looks like sky, and is called otherwise",
            f"It is at least as smooth as the upper edge of half of the frames with sky ({limit:.1f} grey values a "
            "pixel), and hardly a pixel of it is labelled sky. Fog before a mountain, a dark slope, or a mask that is "
            "wrong: the network learns to call such a sky ground.",
            "look at them; set what cannot be seen in the image to a value that is ignored",
            tuple(FileNote(frames[i].pair.mask, f"the upper edge is {told[i]}") for i, _ in bad),
            tuple(
                Example((Panel(i, f"{frames[i].name}: {told[i]}"),))
                for i, _ in sorted(bad, key=lambda b: b[1])
            ),
            figures={"names": [frames[i].name for i, _ in bad], "texture_limit": round(limit, 3)},
        )
    ]


def _edge_share(mask: MaskRecord, values: set[MaskValue]) -> float:
    places = [k for k, value in enumerate(mask.values) if value in values]
    return float(mask.edge_V[places].sum())


def _called(mask: MaskRecord | None, tally: Tally) -> str:
    """What most of the upper edge is called."""
    assert mask is not None
    return f"{percent(float(mask.edge_V.max()))} {tally.name_of(_edge_value(mask))}"


def _edge_value(mask: MaskRecord | None) -> MaskValue:
    """The value that has most of the upper edge."""
    assert mask is not None
    return mask.values[int(mask.edge_V.argmax())]
