# SPDX-License-Identifier: Apache-2.0
"""What is measured: the engine alone, with its pre- and post-processing, and the whole pipeline."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from offroad_seg.camera import CameraModel
from offroad_seg.compile.gate_images import gate_images
from offroad_seg.compile.images import list_images, read_image
from offroad_seg.errors import ImageError
from offroad_seg.image import Letterbox
from offroad_seg.pipeline import build_pipeline
from offroad_seg.transforms import Transform, camera_mount
from offroad_seg.types import Frame

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from offroad_seg.bundle import Bundle
    from offroad_seg.engines.base import EngineInfo
    from offroad_seg.pipeline import PerceptionPipeline

    U8 = NDArray[np.uint8]

LEVELS = ("engine", "segmenter", "pipeline")
MAX_IMAGES = 16
FIELD_OF_VIEW = math.radians(80.0)
# A camera on the hood of a car that drives slowly and leans: nothing stays the same from frame to frame.
MOUNT = (0.4, 0.0, 1.2, 0.0, 0.15, 0.0)
_SPEED = 1.5


class Workload(Protocol):
    """Works on frame after frame."""

    def __call__(self, number: int, sent_s: float) -> dict[str, float]:
        """Work on one frame; returns the milliseconds of its stages."""


@dataclass(frozen=True)
class Pictures:
    """What the camera sees.

    Attributes:
        images: uint8 RGB (H, W, 3), all of one size.
        source: ``real`` or ``synthetic``.
    """

    images: list[U8]
    source: str

    @property
    def size(self) -> tuple[int, int]:
        """Width, height."""
        height, width = self.images[0].shape[:2]
        return width, height


def load_pictures(folder: Path | None, width: int, height: int) -> Pictures:
    """Pictures that are decoded and in memory before anything is measured.

    Args:
        folder: Real ones, of one size; None draws them.
        width: Of those that are drawn.
        height: Likewise.

    Raises:
        ImageError: The folder holds none, one cannot be read, or they differ in size.
    """
    if folder is None:
        drawn = gate_images(None, Letterbox(height, width), 4)
        return Pictures([image.image_HWC for image in drawn.images], "synthetic")
    paths = list_images(folder)[:MAX_IMAGES]
    images = [read_image(path) for path in paths]
    for path, image in zip(paths, images, strict=True):
        if image.shape != images[0].shape:
            raise ImageError(
                f"this picture is {image.shape[1]}×{image.shape[0]}, the first one {images[0].shape[1]}×"
                f"{images[0].shape[0]}",
                where=str(path),
                mend="give pictures of one camera",
            )
    return Pictures(images, "real")


def focal_length(width: int) -> float:
    """Of the camera that is made up, pixels."""
    return width / (2.0 * math.tan(FIELD_OF_VIEW / 2.0))


class Loaded:
    """A bundle's pipeline, and how long it took to be there.

    Args:
        bundle: A verified bundle.
        pictures: The camera's.
        backend: As ``build_pipeline``.
        device: Likewise.
        threads: Likewise.

    Attributes:
        load_ms: To load the engine.
        first_frame_ms: The first frame of a fresh engine, end to end: nothing was warmed up.
        pipeline: For whoever needs more.
    """

    def __init__(
        self,
        bundle: Bundle,
        pictures: Pictures,
        *,
        backend: str | None = None,
        device: str = "auto",
        threads: int = 0,
    ) -> None:
        self._pictures = pictures
        started = time.perf_counter()
        self.pipeline: PerceptionPipeline = build_pipeline(
            bundle, backend=backend, device=device, threads=threads
        )
        loaded = time.perf_counter()
        EndToEnd(self.pipeline, pictures.images)(0, 0.0)
        self.load_ms = round(1e3 * (loaded - started), 3)
        self.first_frame_ms = round(1e3 * (time.perf_counter() - loaded), 3)

    @property
    def engine(self) -> EngineInfo:
        """What really runs."""
        return self.pipeline.segmenter.engine.info

    def workload(self, level: str) -> Workload:
        """The work of a level of ``LEVELS``."""
        images = self._pictures.images
        self.pipeline.reset()
        if level == "engine":
            return EngineOnly(self.pipeline, images)
        if level == "segmenter":
            return WithPrePost(self.pipeline, images)
        return EndToEnd(self.pipeline, images)

    def close(self) -> None:
        """Free the engine."""
        self.pipeline.close()


class EngineOnly:
    """``infer`` on pixels of the network's size: with a GPU, to it and back."""

    def __init__(self, pipeline: PerceptionPipeline, images: Sequence[U8]) -> None:
        box = pipeline.segmenter.bundle.letterbox
        self._engine = pipeline.segmenter.engine
        self._inputs = [box.apply(image)[None] for image in images]

    def __call__(self, number: int, sent_s: float) -> dict[str, float]:  # noqa: ARG002
        """See ``Workload``."""
        self._engine.infer(self._inputs[number % len(self._inputs)])
        return {}


class WithPrePost:
    """Letterbox, engine, labels and confidence at the image's size."""

    def __init__(self, pipeline: PerceptionPipeline, images: Sequence[U8]) -> None:
        self._segmenter, self._images = pipeline.segmenter, images

    def __call__(self, number: int, sent_s: float) -> dict[str, float]:
        """See ``Workload``."""
        image = self._images[number % len(self._images)]
        self._segmenter.segment(Frame(image, round(1e9 * sent_s), "camera"))
        return dict(self._segmenter.timings_ms)


class EndToEnd:
    """All that the node does with a frame but for ROS: labels, projection and a costmap that is fused over time."""

    def __init__(self, pipeline: PerceptionPipeline, images: Sequence[U8]) -> None:
        self._pipeline, self._images = pipeline, images
        height, width = images[0].shape[:2]
        self._camera = CameraModel.pinhole(width, height, focal_length(width))
        self._base_T_camera = camera_mount(*MOUNT)

    def __call__(self, number: int, sent_s: float) -> dict[str, float]:
        """See ``Workload``."""
        image = self._images[number % len(self._images)]
        lean = (0.02 * math.sin(number), 0.02 * math.cos(1.3 * number))
        odom_T_base = Transform.from_rpy(*lean, 0.0, (_SPEED * sent_s, 0.0, 0.0))
        frame = Frame(image, round(1e9 * sent_s), "camera", self._camera)
        return self._pipeline.process(frame, self._base_T_camera, odom_T_base).timings_ms
