# SPDX-License-Identifier: Apache-2.0
"""What every inference back end is: labels and confidence out of letterboxed pixels.

The graph contract, which ``export`` writes and every engine runs:

- input ``image``: uint8 [1, H, W, 3] RGB at network size, already letterboxed; normalisation is inside the graph;
- output ``labels``: uint8 [1, H, W], class ids;
- output ``confidence``: uint8 [1, H, W], probability of the label × 255, rounded;
- output ``mean_confidence``: float32 [1], mean probability; NaN if and only if some logit was not finite;
- output ``ood``, only where the manifest has ``ood``: uint8 [1, H, W], how unlike the validation images a pixel is.
  floor(128 + 64 × (score − threshold) / scale), kept within 0–255: ``types.OOD_THRESHOLD`` (128) and above are out of
  distribution, 64 is the median of validation pixels. Where the manifest has ``ood.level``, that takes the place of
  128: the segmenter moves the scores by the difference.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np

from offroad_seg.errors import EngineError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from offroad_seg.manifest import Manifest

    U8 = NDArray[np.uint8]
    F32 = NDArray[np.float32]

INPUT = "image"
OUTPUTS = ("labels", "confidence", "mean_confidence")
OOD_OUTPUT = "ood"


@dataclass(frozen=True)
class EngineInfo:
    """What really runs.

    Attributes:
        backend: Name in ``registry.ENGINES``.
        version: Version of the run time.
        device: ``cpu``, or the GPU's name.
        precision: As the bundle's manifest says.
        providers: Execution providers that took the graph, the first has priority; empty where there is no such
            thing.
        threads: Threads inside one operator; 0 = the run time chooses.
    """

    backend: str
    version: str
    device: str
    precision: str
    providers: tuple[str, ...] = ()
    threads: int = 0


@dataclass(frozen=True)
class EngineOutput:
    """What the network says of a batch. The arrays belong to the engine and hold until its next call.

    Attributes:
        labels_BHW: uint8 class ids.
        confidence_BHW: uint8, 0–255 for probability 0–1 of the label.
        mean_confidence_B: float32; NaN where a logit was not finite.
        ood_BHW: uint8, see above; None where the bundle's graph has no such output.
    """

    labels_BHW: U8
    confidence_BHW: U8
    mean_confidence_B: F32
    ood_BHW: U8 | None = None


class InferenceEngine(Protocol):
    """One loaded network on one device. Not safe to call from two threads at once."""

    name: str
    info: EngineInfo

    def infer(self, image_BHWC: U8) -> EngineOutput:
        """Run letterboxed RGB pixels of the network's size.

        Raises:
            EngineError: The pixels do not fit, the engine is closed, or the run time failed.
        """

    def close(self) -> None:
        """Free what the engine holds; safe to call twice."""


@runtime_checkable
class ImageEngine(InferenceEngine, Protocol):
    """An engine that brings a camera's image to the network's size by itself, on its device."""

    def infer_image(self, image_HWC: U8) -> EngineOutput:
        """Run an image that is not letterboxed; the result is that of ``infer`` on the letterboxed one.

        Raises:
            ImageError: The image is not uint8 RGB.
            EngineError: The engine is closed, or the run time failed.
        """


def output_names(manifest: Manifest) -> tuple[str, ...]:
    """The outputs that a bundle's graph has, in order."""
    return OUTPUTS if manifest.ood is None else (*OUTPUTS, OOD_OUTPUT)


def check_input(image_BHWC: U8, shape: tuple[int, int, int, int]) -> U8:
    """The pixels, C-contiguous, if they fit.

    Raises:
        EngineError: They are not uint8 of that shape.
    """
    if image_BHWC.dtype != np.uint8 or image_BHWC.shape != shape:
        raise EngineError(
            f"the engine takes uint8 {shape}, not {image_BHWC.dtype} {image_BHWC.shape}",
            mend="letterbox the image with the bundle's own letterbox",
        )
    return np.ascontiguousarray(image_BHWC)
