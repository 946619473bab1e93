# SPDX-License-Identifier: Apache-2.0
"""What flows through the pipeline: small frozen records with shapes, units and frames.

Shape suffixes, used in every module: B batch, C class or channel, H height (rows), W width (columns), N points.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from offroad_seg.camera import CameraModel

    U8 = NDArray[np.uint8]
    U16 = NDArray[np.uint16]
    I8 = NDArray[np.int8]
    F32 = NDArray[np.float32]

UNLABELLED = 255
"""Label of a pixel or cell that carries no class (vision_msgs: the largest value of the type)."""

OBSTACLE = 253
"""Label of a cell that its shape alone makes impassable (a step, a steep face, a ditch), whatever its class: lethal."""

OOD_THRESHOLD = 128
"""Value of ``Segmentation.ood_HW`` from which a pixel is unlike what the network was fitted on."""

OOD_MEDIAN = 64
"""Its value for half of the validation pixels of the export."""

COST_UNKNOWN = -1
COST_FREE = 0
COST_MAX_GRADED = 98
COST_LETHAL = 100
"""nav_msgs/OccupancyGrid values as Nav2 reads them; 99 (inscribed) is left to Nav2's inflation."""


@dataclass(frozen=True)
class Frame:
    """One camera image.

    Attributes:
        image_HWC: uint8 RGB, shape (H, W, 3).
        stamp_ns: Time of exposure, nanoseconds.
        frame_id: The camera's optical frame (REP-103: z forward, x right, y down).
        camera: Calibration that fits this image, or None where none is known.
        depth_HW: z-depth along the optical axis (REP-118), seen from the same camera as the image and of the same
            field of view, at any resolution: float32 metres, or uint16 millimetres. NaN, infinite, zero and negative
            values mean "not measured". None where there is no depth.
    """

    image_HWC: U8
    stamp_ns: int
    frame_id: str
    camera: CameraModel | None = None
    depth_HW: F32 | U16 | None = None


@dataclass(frozen=True)
class Segmentation:
    """Labels of one image, at the image's size.

    Attributes:
        labels_HW: uint8 class ids; 255 = unlabelled.
        confidence_HW: uint8, 0–255 for probability 0–1 of the label.
        stamp_ns: The image's stamp.
        frame_id: The image's frame.
        mean_confidence: Mean probability of the labels at network size, 0–1.
        ood_HW: uint8, how unlike the validation images each pixel is: ``OOD_THRESHOLD`` and above are out of
            distribution, 64 is the median of validation pixels. None where the bundle has no such output.
    """

    labels_HW: U8
    confidence_HW: U8
    stamp_ns: int
    frame_id: str
    mean_confidence: float
    ood_HW: U8 | None = None


@dataclass(frozen=True)
class GridSpec:
    """Where a grid lies: as nav_msgs/OccupancyGrid, row = y, column = x.

    Attributes:
        width: Cells along x.
        height: Cells along y.
        resolution: Metres a cell.
        origin_x: x of the lower-left corner of cell (0, 0), metres, in the grid's frame.
        origin_y: y of the same corner.
    """

    width: int
    height: int
    resolution: float
    origin_x: float
    origin_y: float


@dataclass(frozen=True)
class GridObservation:
    """What one image says about the ground, in a gravity-aligned frame.

    Attributes:
        labels_HW: uint8 class id for each cell; 255 = nothing known; ``OBSTACLE`` = lethal by its shape.
        evidence_HW: float32, 0–1: how much the observation of a cell is worth; 0 where nothing is known.
        grid: Where the cells lie.
        stamp_ns: The image's stamp.
        confidence_HW: uint8 0–255: confidence of what was seen of a cell; 0 where nothing is known. None: all is sure.
    """

    labels_HW: U8
    evidence_HW: F32
    grid: GridSpec
    stamp_ns: int
    confidence_HW: U8 | None = None


@dataclass(frozen=True)
class Costmap:
    """A traversability grid.

    Attributes:
        cost_HW: int8: −1 unknown, 0 free, 1–98 graded, 100 lethal.
        grid: Where the cells lie in ``frame_id``.
        frame_id: odom, or the base frame where there is no odometry.
        stamp_ns: Stamp of the newest image in it.
    """

    cost_HW: I8
    grid: GridSpec
    frame_id: str
    stamp_ns: int


@dataclass(frozen=True)
class Perception:
    """All that one frame gave.

    Attributes:
        segmentation: Labels and confidence.
        observation: What the frame said about the ground, or None.
        costmap: The fused grid, or None.
        timings_ms: Stage name → milliseconds.
        costmap_reason: Why there is no costmap; empty where there is one.
    """

    segmentation: Segmentation
    observation: GridObservation | None
    costmap: Costmap | None
    timings_ms: dict[str, float] = field(default_factory=dict)
    costmap_reason: str = ""


JsonDict = dict[str, Any]
