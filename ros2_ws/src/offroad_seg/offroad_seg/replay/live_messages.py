# SPDX-License-Identifier: Apache-2.0
"""numpy → the messages that Foxglove and Lichtblick draw by themselves (``foxglove.*`` protobuf schemas).

All pictures go out compressed and at most ``MAX_WIDTH`` wide, points thinned: a viewer on a field radio gets about
100 kB a frame instead of ten megabytes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from offroad_seg.replay.gridview import cost_colors
from offroad_seg.sensor_messages import split_ns

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from offroad_seg.transforms import Transform
    from offroad_seg.types import Costmap

    U8 = NDArray[np.uint8]

MAX_WIDTH = 1280
MAX_POINTS = 40_000
JPEG_QUALITY = 80
PNG_COMPRESSION = 1

CLOUD_POINT = np.dtype(
    [(name, "<f4") for name in ("x", "y", "z")]
    + [(name, "u1") for name in ("red", "green", "blue", "alpha", "label", "confidence")]
)
"""A point as the viewer gets it: metres, the class colour, class id, confidence 0–255."""


def palette_256() -> U8:
    """RGB of each class id, shape (256, 3), where no ontology is at hand: hues far apart, no class black."""
    hues = (np.arange(256) * 0.618034 * 180.0) % 180.0
    hsv = np.stack([hues, np.full(256, 170.0), np.full(256, 225.0)], axis=1).astype(np.uint8)
    colors = np.asarray(cv2.cvtColor(hsv[None], cv2.COLOR_HSV2RGB)[0], np.uint8)
    colors[255] = 0
    return colors


def photo(image_HWC: U8, stamp_ns: int, frame_id: str) -> Any:
    """RGB (H, W, 3) or grey (H, W) as JPEG."""
    small = _reduced(image_HWC, cv2.INTER_AREA)
    if small.ndim == 3:
        small = np.asarray(cv2.cvtColor(small, cv2.COLOR_RGB2BGR), np.uint8)
    data = cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])[1]
    return _picture(data, "jpeg", stamp_ns, frame_id)


def coloured(labels_HW: U8, colors_2563: U8, stamp_ns: int, frame_id: str) -> Any:
    """Class ids (H, W) as a PNG in the colours of the classes: JPEG would make classes of its own at the edges."""
    small = _reduced(labels_HW, cv2.INTER_NEAREST)
    bgr = np.ascontiguousarray(colors_2563[small][..., ::-1])
    data = cv2.imencode(".png", bgr, [cv2.IMWRITE_PNG_COMPRESSION, PNG_COMPRESSION])[1]
    return _picture(data, "png", stamp_ns, frame_id)


def compressed(data: bytes, kind: str, stamp_ns: int, frame_id: str) -> Any:
    """A JPEG or PNG that is one already."""
    return _picture(data, "png" if "png" in kind else "jpeg", stamp_ns, frame_id)


def grid(costmap: Costmap) -> Any:
    """A costmap in the report's colours; unknown cells are transparent, and ``cost`` is −1 there."""
    from foxglove.messages import (
        Grid,
        PackedElementField,
        PackedElementFieldNumericType,
        Pose,
        Quaternion,
        Vector2,
        Vector3,
    )

    spec = costmap.grid
    cells_HW5 = np.empty((spec.height, spec.width, 5), np.uint8)
    cost_HW = np.ascontiguousarray(costmap.cost_HW).view(np.uint8)
    cells_HW5[..., :4] = cost_colors()[cost_HW][..., [2, 1, 0, 3]]
    cells_HW5[..., 4] = cost_HW
    kind = PackedElementFieldNumericType
    names = ("red", "green", "blue", "alpha", "cost")
    types = (kind.Uint8, kind.Uint8, kind.Uint8, kind.Uint8, kind.Int8)
    return Grid(
        timestamp=_time(costmap.stamp_ns),
        frame_id=costmap.frame_id,
        pose=Pose(
            position=Vector3(x=spec.origin_x, y=spec.origin_y, z=0.0),
            orientation=Quaternion(x=0.0, y=0.0, z=0.0, w=1.0),
        ),
        column_count=spec.width,
        cell_size=Vector2(x=spec.resolution, y=spec.resolution),
        row_stride=5 * spec.width,
        cell_stride=5,
        fields=[
            PackedElementField(name=n, offset=i, type=t)
            for i, (n, t) in enumerate(zip(names, types, strict=True))
        ],
        data=cells_HW5.tobytes(),
    )


def cloud(points_HW: NDArray[Any], colors_2563: U8, stamp_ns: int, frame_id: str) -> Any:
    """The points that are there, at most ``MAX_POINTS`` of them, in the colours of their classes.

    Args:
        points_HW: Structured, (H, W): float32 ``x``, ``y``, ``z`` in metres, NaN where there is none; uint8
            ``label`` and ``confidence``.
        colors_2563: RGB of each class id.
        stamp_ns: The image's stamp.
        frame_id: The camera's optical frame.
    """
    from foxglove.messages import (
        PackedElementField,
        PackedElementFieldNumericType,
        PointCloud,
        Pose,
        Quaternion,
        Vector3,
    )

    step = max(1, int(np.ceil(np.sqrt(points_HW.size / MAX_POINTS))))
    thin = points_HW[::step, ::step]
    there = thin[np.isfinite(thin["z"])]
    points_N = np.zeros(len(there), CLOUD_POINT)
    for name in ("x", "y", "z", "label", "confidence"):
        points_N[name] = there[name]
    for channel, name in enumerate(("red", "green", "blue")):
        points_N[name] = colors_2563[there["label"], channel]
    points_N["alpha"] = 255
    kind, fields = PackedElementFieldNumericType, CLOUD_POINT.fields
    assert fields is not None
    return PointCloud(
        timestamp=_time(stamp_ns),
        frame_id=frame_id,
        pose=Pose(position=Vector3(), orientation=Quaternion(w=1.0)),
        point_stride=CLOUD_POINT.itemsize,
        fields=[
            PackedElementField(
                name=name, offset=place[1], type=kind.Float32 if place[0].itemsize == 4 else kind.Uint8
            )
            for name, place in fields.items()
        ],
        data=points_N.tobytes(),
    )


def transforms(found: Iterable[tuple[str, str, int, Transform]]) -> Any:
    """(parent, child, stamp in ns, ``parent_T_child``) of each."""
    from foxglove.messages import FrameTransform, FrameTransforms, Quaternion, Vector3

    def one(parent: str, child: str, stamp_ns: int, transform: Transform) -> Any:
        x, y, z = (float(v) for v in transform.translation_3)
        qx, qy, qz, qw = (float(v) for v in transform.quaternion_xyzw())
        return FrameTransform(
            timestamp=_time(stamp_ns),
            parent_frame_id=parent,
            child_frame_id=child,
            translation=Vector3(x=x, y=y, z=z),
            rotation=Quaternion(x=qx, y=qy, z=qz, w=qw),
        )

    return FrameTransforms(transforms=[one(*item) for item in found])


def _picture(data: Any, kind: str, stamp_ns: int, frame_id: str) -> Any:
    from foxglove.messages import CompressedImage

    return CompressedImage(timestamp=_time(stamp_ns), frame_id=frame_id, data=bytes(data), format=kind)


def _time(nanoseconds: int) -> Any:
    from foxglove.messages import Timestamp

    seconds, rest = split_ns(nanoseconds)
    return Timestamp(sec=seconds, nsec=rest)


def _reduced(image: U8, interpolation: int) -> U8:
    height, width = image.shape[:2]
    if width <= MAX_WIDTH:
        return image
    size = (MAX_WIDTH, max(1, round(height * MAX_WIDTH / width)))
    return np.asarray(cv2.resize(image, size, interpolation=interpolation), np.uint8)
