# SPDX-License-Identifier: Apache-2.0
"""Running every frame of a bag through the pipeline in this process: no ROS, nothing is ever skipped."""

from __future__ import annotations

from typing import TYPE_CHECKING

from offroad_seg.errors import BlindError, EngineError, ImageError
from offroad_seg.pipeline import PerceptionPipeline
from offroad_seg.replay.frames import BagFrame, Drop

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from offroad_seg.types import Perception

MAX_ENGINE_ERRORS = 10


def perceive(
    items: Iterable[BagFrame | Drop], pipeline: PerceptionPipeline | Mapping[str, PerceptionPipeline]
) -> Iterator[tuple[BagFrame, Perception] | Drop]:
    """The result of each frame, in order.

    The arrays of a result are valid until the next but one of the same camera.

    Args:
        items: Frames and drops.
        pipeline: For all frames, or one for each camera by its name.

    Raises:
        EngineError: The engine fails on frame after frame.
    """
    failed = 0
    for item in items:
        if isinstance(item, Drop):
            yield item
            continue
        if item.time_ran_back:
            for each in [pipeline] if isinstance(pipeline, PerceptionPipeline) else pipeline.values():
                each.reset()
        own = pipeline if isinstance(pipeline, PerceptionPipeline) else pipeline[item.camera]
        try:
            perception = own.process(item.frame, item.base_T_camera, item.odom_T_base)
        except ImageError as error:
            cause = "blind" if isinstance(error, BlindError) else "bad_image"
            yield Drop(item.index, item.frame.stamp_ns, cause, error.one_line(), item.camera, item.others)
            continue
        except EngineError as error:
            failed += 1
            if failed >= MAX_ENGINE_ERRORS:
                raise
            yield Drop(
                item.index, item.frame.stamp_ns, "engine_error", error.one_line(), item.camera, item.others
            )
            continue
        failed = 0
        yield item, explained(item, perception)


def explained(item: BagFrame, perception: Perception) -> Perception:
    """With the bag's own reason, which says more, where there is no costmap."""
    from dataclasses import replace

    if perception.costmap is not None:
        return perception
    reason = item.no_camera_reason or item.no_pose_reason or perception.costmap_reason
    return replace(perception, costmap_reason=reason)
