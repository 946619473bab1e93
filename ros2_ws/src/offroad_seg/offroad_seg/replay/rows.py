# SPDX-License-Identifier: Apache-2.0
"""One row for each image of a replay, for the timeline and the lists of the report."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class FrameRow:
    """The figures of one frame, for the report's timeline.

    Attributes:
        index: Number of the image in the bag.
        time_s: Seconds since the first frame.
        miou: Mean IoU over the classes of this frame alone, None without truth.
        confidence: Mean confidence.
        changed: Share of pixels whose label differs from the frame before, None for the first.
        latency_ms: The whole frame.
        known_share: Share of the costmap's cells that are known, None without a costmap.
        costmap_reason: Why there is no costmap.
        pose: x and y in metres and heading in radians of the vehicle in the odometry's frame, None where not known.
        ood_share: Share of pixels out of distribution, None where the bundle has no such score.
        camera: Name of its camera.
        flicker_compensated: As ``changed``, with the camera's motion taken out.
        agreement: Share of pixels that the other bundle labels alike, None where there is none.
        driven_lethal: Of the known cells that the vehicle has come to drive over since the frame before, the share that
            was called lethal as it approached.
        flips: Share of the costmap's free and lethal cells that turned into the other.
        bag: Name of its bag, where there are several.
    """

    index: int
    time_s: float
    miou: float | None
    confidence: float
    changed: float | None
    latency_ms: float
    known_share: float | None
    costmap_reason: str = ""
    pose: tuple[float, float, float] | None = None
    ood_share: float | None = None
    camera: str = ""
    flicker_compensated: float | None = None
    agreement: float | None = None
    driven_lethal: float | None = None
    flips: float | None = None
    bag: str = ""


@dataclass(frozen=True)
class DropRow:
    """One image that gave nothing, for the report's timeline.

    Attributes:
        index: Number of the image in the bag.
        time_s: Seconds since the first frame; None before there was one.
        cause: One word.
        reason: In words.
    """

    index: int
    time_s: float | None
    cause: str
    reason: str
