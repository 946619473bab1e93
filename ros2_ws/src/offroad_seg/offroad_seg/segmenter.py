# SPDX-License-Identifier: Apache-2.0
"""From a camera image to labels at the camera's size."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from offroad_seg.engines.base import ImageEngine
from offroad_seg.errors import EngineError, InputError
from offroad_seg.mapping.buffers import message_array
from offroad_seg.spread import spread_between
from offroad_seg.types import OOD_THRESHOLD, Segmentation

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from offroad_seg.bundle import Bundle
    from offroad_seg.engines.base import EngineOutput, InferenceEngine
    from offroad_seg.types import Frame

    U8 = NDArray[np.uint8]


@dataclass(frozen=True)
class NetworkSegmentation(Segmentation):
    """A segmentation that also holds what the network itself said.

    Attributes:
        network: The same labels and confidence at the network's resolution, without padding; None where the image
            has no more pixels than that. It says all that there is in fewer pixels: the mapping reads it.
    """

    network: Segmentation | None = None


# Results stay valid until the next but one call: one can be published while the next is worked out.
_KEPT = 2

_BYTE = np.dtype(np.uint8)  # made once: a comparison with the bare type makes one each time

# Turn of the image, degrees clockwise, that sets it upright → how OpenCV turns it there, and back.
_TURNS: dict[int, tuple[int, int] | None] = {
    0: None,
    90: (cv2.ROTATE_90_CLOCKWISE, cv2.ROTATE_90_COUNTERCLOCKWISE),
    180: (cv2.ROTATE_180, cv2.ROTATE_180),
    270: (cv2.ROTATE_90_COUNTERCLOCKWISE, cv2.ROTATE_90_CLOCKWISE),
}
ROTATIONS = tuple(_TURNS)
MAX_OUTPUT = 8192


class Segmenter:
    """Letterbox → engine → labels and confidence at the image's size, or at one that is asked for.

    The arrays of a result are kept buffers that belong to the segmenter: they stay valid until the next but one
    call of ``segment``. Whoever needs them longer copies them. Not safe for several threads at once.

    Args:
        bundle: Gives the label set and how images are fitted to the network.
        engine: Runs the network; the caller closes it.
        output_size: (width, height) of labels and confidence, in place of the image's; they show the same view.
        rotation: Degrees clockwise by which an image must be turned to be upright, for a camera that is mounted on
            its side or head: 0, 90, 180 or 270. The network sees it upright; all results are in the image's own
            orientation.

    Raises:
        InputError: Size or rotation cannot be.

    Attributes:
        bundle: The bundle.
        timings_ms: Milliseconds of the last call: ``letterbox``, ``engine``, ``restore``. An engine that letterboxes on
            its device does so in ``engine``, and ``letterbox`` is 0.
    """

    def __init__(
        self,
        bundle: Bundle,
        engine: InferenceEngine,
        *,
        output_size: tuple[int, int] | None = None,
        rotation: int = 0,
    ) -> None:
        check_view(output_size, rotation)
        self._output_size, self._turn = output_size, _TURNS[rotation]
        self.bundle = bundle
        self.engine = engine
        self.timings_ms: dict[str, float] = {}
        self._letterbox = bundle.letterbox
        self._ood_256 = _ood_table(bundle.manifest.ood)
        self._ood_HW = np.empty((self._letterbox.height, self._letterbox.width), np.uint8)
        self._input_BHWC = np.empty((1, self._letterbox.height, self._letterbox.width, 3), np.uint8)
        self._outputs: list[tuple[U8, ...]] = []
        self._network_outputs: list[tuple[U8, ...]] = []

    @property
    def engine(self) -> InferenceEngine:
        """Runs the network; another may take its place between frames."""
        return self._engine

    @engine.setter
    def engine(self, engine: InferenceEngine) -> None:
        self._engine = engine
        # Asked once: for every frame it would take as long as some of the mapping's stages.
        self._image_engine = engine if isinstance(engine, ImageEngine) else None

    def warm_up(self) -> None:
        """Run the engine once on grey, so that the first frame is no slower than the rest.

        Raises:
            EngineError: The engine failed, or its outputs do not fit the bundle.
        """
        self._input_BHWC.fill(self._letterbox.pad_value)
        self._checked(self.engine.infer(self._input_BHWC))

    def segment(self, frame: Frame) -> NetworkSegmentation:
        """Label every pixel of a frame.

        Raises:
            ImageError: The image is not uint8 RGB.
            EngineError: The engine failed, or its logits are not finite.
        """
        started = time.perf_counter()
        image_HWC = frame.image_HWC
        if self._turn is not None and image_HWC.ndim == 3:
            image_HWC = cv2.rotate(image_HWC, self._turn[0])
        if self._image_engine is not None:
            boxed = started
            found, mean_confidence = self._checked(self._image_engine.infer_image(image_HWC))
        else:
            self._letterbox.apply(image_HWC, out=self._input_BHWC[0])
            boxed = time.perf_counter()
            found, mean_confidence = self._checked(self.engine.infer(self._input_BHWC))
        inferred = time.perf_counter()
        inside = self._inside(found, *image_HWC.shape[:2])
        height, width = frame.image_HWC.shape[:2]
        if self._output_size is not None:
            width, height = self._output_size
        arrays = _oldest(self._outputs, height, width, len(found))
        kept = self._kept_network(inside, frame)
        spread_between(inside[0].shape, (height, width)).apply_all(inside, arrays, kept)
        network = _segmentation(kept, frame, mean_confidence) if kept else None
        restored = time.perf_counter()
        self.timings_ms = {
            "letterbox": 1e3 * (boxed - started),
            "engine": 1e3 * (inferred - boxed),
            "restore": 1e3 * (restored - inferred),
        }
        return NetworkSegmentation(
            arrays[0],
            arrays[1],
            frame.stamp_ns,
            frame.frame_id,
            mean_confidence,
            arrays[2] if len(arrays) > 2 else None,
            network,
        )

    def _checked(self, output: EngineOutput) -> tuple[tuple[U8, ...], float]:
        """Labels, confidence and, where the bundle has it, the OOD score, (H, W); and the mean confidence."""
        expected = self._input_BHWC.shape[:3]
        named = [("labels", output.labels_BHW), ("confidence", output.confidence_BHW)]
        if self.bundle.manifest.ood is not None:
            if output.ood_BHW is None:
                raise EngineError(
                    "the engine gives no OOD score, which the bundle promises",
                    where=self.engine.name,
                    mend="export and compile the bundle again",
                )
            named.append(("ood", output.ood_BHW))
        for name, array in named:
            if array.shape != expected or array.dtype != _BYTE:
                raise EngineError(
                    f"the engine's {name} are {array.dtype} {array.shape}, the bundle promises uint8 {expected}",
                    where=self.engine.name,
                    mend="export and compile the bundle again",
                )
        mean_confidence = float(output.mean_confidence_B[0])
        # The graph takes this mean over all logits in fp32: it is NaN if any of them was not finite.
        if not math.isfinite(mean_confidence):
            raise EngineError(
                "the network's logits are not finite",
                where=f"engine {self.engine.name}",
                mend="compile the bundle with --precision fp32, or train the model again: its weights overflow",
            )
        arrays = [array[0] for _, array in named]
        if self._ood_256 is not None:
            arrays[2] = np.asarray(cv2.LUT(arrays[2], self._ood_256, dst=self._ood_HW), np.uint8)
        return tuple(arrays), mean_confidence

    def _inside(self, found: tuple[U8, ...], height: int, width: int) -> tuple[U8, ...]:
        """The network's own pixels without the padding, turned as the image came: views of the engine's arrays."""
        place = self._letterbox.geometry(height, width)
        inside = (slice(place.top, place.top + place.height), slice(place.left, place.left + place.width))
        if self._turn is None:
            return tuple(array[inside] for array in found)
        return tuple(np.asarray(cv2.rotate(array[inside], self._turn[1]), np.uint8) for array in found)

    def _kept_network(self, inside: tuple[U8, ...], frame: Frame) -> tuple[U8, ...]:
        """Buffers for the network's own pixels, which outlive the engine's next call; none where they say no more."""
        height, width = inside[0].shape
        if (
            self._output_size is None
            and height * width >= frame.image_HWC.shape[0] * frame.image_HWC.shape[1]
        ):
            return ()
        return _oldest(self._network_outputs, height, width, len(inside))


def check_view(output_size: tuple[int, int] | None, rotation: int) -> None:
    """Look at what ``Segmenter`` is to be given.

    Raises:
        InputError: Size or rotation cannot be.
    """
    if output_size is not None and not all(1 <= v <= MAX_OUTPUT for v in output_size):
        raise InputError(
            f"labels of {output_size[0]}×{output_size[1]}",
            where="output_size",
            mend=f"give width and height, 1 to {MAX_OUTPUT} pixels; none for the image's size",
        )
    if rotation not in _TURNS:
        raise InputError(
            f"a rotation by {rotation}°",
            where="camera_rotation",
            mend="give 0, 90, 180 or 270: degrees clockwise that set the image upright",
        )


def _ood_table(ood: dict[str, Any] | None) -> U8 | None:
    """What the engine's OOD scores are worth, (256,): its own level becomes ``OOD_THRESHOLD``; None: it is that."""
    level = OOD_THRESHOLD if ood is None else int(ood.get("level", OOD_THRESHOLD))
    if level == OOD_THRESHOLD:
        return None
    return np.clip(np.arange(256) + (OOD_THRESHOLD - level), 0, 255).astype(np.uint8)


def _segmentation(arrays: tuple[U8, ...], frame: Frame, mean_confidence: float) -> Segmentation:
    """Labels, confidence and, where there is one, the OOD score of a frame."""
    labels_HW, confidence_HW, *ood = arrays
    ood_HW = ood[0] if ood else None
    return Segmentation(labels_HW, confidence_HW, frame.stamp_ns, frame.frame_id, mean_confidence, ood_HW)


def _oldest(outputs: list[tuple[U8, ...]], height: int, width: int, count: int) -> tuple[U8, ...]:
    """The buffers that were handed out longest ago, of that size."""
    arrays = outputs.pop(0) if len(outputs) == _KEPT else None
    if arrays is None or arrays[0].shape != (height, width):
        arrays = tuple(message_array((height, width)) for _ in range(count))
    outputs.append(arrays)
    return arrays
