# SPDX-License-Identifier: Apache-2.0
"""From a camera image to labels at the camera's size."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np

from offroad_seg.errors import EngineError
from offroad_seg.types import Segmentation

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from offroad_seg.bundle import Bundle
    from offroad_seg.engines.base import InferenceEngine
    from offroad_seg.types import Frame

    U8 = NDArray[np.uint8]

# Results stay valid until the next but one call: one can be published while the next is worked out.
_KEPT = 2


class Segmenter:
    """Letterbox → engine → labels and confidence at the image's size.

    The arrays of a result are kept buffers that belong to the segmenter: they stay valid until the next but one
    call of ``segment``. Whoever needs them longer copies them. Not safe for several threads at once.

    Args:
        bundle: Gives the label set and how images are fitted to the network.
        engine: Runs the network; the caller closes it.

    Attributes:
        bundle: The bundle.
        engine: The engine.
        timings_ms: Milliseconds of the last call: ``letterbox``, ``engine``, ``restore``.
    """

    def __init__(self, bundle: Bundle, engine: InferenceEngine) -> None:
        self.bundle = bundle
        self.engine = engine
        self.timings_ms: dict[str, float] = {}
        self._letterbox = bundle.letterbox
        self._input_BHWC = np.empty((1, self._letterbox.height, self._letterbox.width, 3), np.uint8)
        self._outputs: list[tuple[U8, U8]] = []

    def warm_up(self) -> None:
        """Run the engine once on grey, so that the first frame is no slower than the rest.

        Raises:
            EngineError: The engine failed, or its outputs do not fit the bundle.
        """
        self._input_BHWC.fill(self._letterbox.pad_value)
        self._infer()

    def segment(self, frame: Frame) -> Segmentation:
        """Label every pixel of a frame.

        Raises:
            ImageError: The image is not uint8 RGB.
            EngineError: The engine failed, or its logits are not finite.
        """
        started = time.perf_counter()
        self._letterbox.apply(frame.image_HWC, out=self._input_BHWC[0])
        boxed = time.perf_counter()
        labels_hw, confidence_hw, mean_confidence = self._infer()
        inferred = time.perf_counter()
        height, width = frame.image_HWC.shape[:2]
        labels_HW, confidence_HW = self._output(height, width)
        self._letterbox.restore(labels_hw, height, width, out=labels_HW)
        self._letterbox.restore(confidence_hw, height, width, out=confidence_HW)
        restored = time.perf_counter()
        self.timings_ms = {
            "letterbox": 1e3 * (boxed - started),
            "engine": 1e3 * (inferred - boxed),
            "restore": 1e3 * (restored - inferred),
        }
        return Segmentation(labels_HW, confidence_HW, frame.stamp_ns, frame.frame_id, mean_confidence)

    def _infer(self) -> tuple[U8, U8, float]:
        output = self.engine.infer(self._input_BHWC)
        expected = self._input_BHWC.shape[:3]
        for name, array in (("labels", output.labels_BHW), ("confidence", output.confidence_BHW)):
            if array.shape != expected or array.dtype != np.uint8:
                raise EngineError(
                    f"the engine's {name} are {array.dtype} {array.shape}, the bundle promises uint8 {expected}",
                    where=self.engine.name,
                    mend="export and compile the bundle again",
                )
        mean_confidence = float(output.mean_confidence_B[0])
        # The graph takes this mean over all logits in fp32: it is NaN if any of them was not finite.
        if not np.isfinite(mean_confidence):
            raise EngineError(
                "the network's logits are not finite",
                where=f"engine {self.engine.name}",
                mend="compile the bundle with --precision fp32, or train the model again: its weights overflow",
            )
        return output.labels_BHW[0], output.confidence_BHW[0], mean_confidence

    def _output(self, height: int, width: int) -> tuple[U8, U8]:
        """The pair of buffers that is oldest, of that size."""
        if len(self._outputs) == _KEPT:
            labels_HW, confidence_HW = self._outputs.pop(0)
        else:
            labels_HW = confidence_HW = np.empty((0, 0), np.uint8)
        if labels_HW.shape != (height, width):
            labels_HW = np.empty((height, width), np.uint8)
            confidence_HW = np.empty((height, width), np.uint8)
        self._outputs.append((labels_HW, confidence_HW))
        return labels_HW, confidence_HW
