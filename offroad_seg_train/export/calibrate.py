# SPDX-License-Identifier: Apache-2.0
"""Confidence that means what it says, and the score from which a pixel is unlike everything seen.

Both are fitted on labelled images that were not trained on: the temperature (Guo et al., "On Calibration of Modern
Neural Networks", ICML 2017) minimises the negative log-likelihood of the labels, and the OOD threshold is a percentile
of the score over pixels whose class is known. Neither changes any label.

Pixels are a uniform random sample of all labelled pixels at the network's own size, each with the same chance whatever
its frame, class or correctness: the sample's calibration error is then an unbiased estimate of the set's, and a rare
class weighs what it weighs on the vehicle. Neighbouring pixels say nearly the same, so what bounds the accuracy of the
fit is the number of frames, not of pixels; the cross-fitted figures show how well it carries over to other frames.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from scipy.optimize import minimize_scalar

from offroad_seg.calibration import Calibration
from offroad_seg.errors import DataError, EngineError, GateError
from offroad_seg.progress import progress
from offroad_seg.types import UNLABELLED
from offroad_seg_train.data.dataset import read_pair
from offroad_seg_train.export.graph import OodScore, ood_score

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from offroad_seg.image import Letterbox
    from offroad_seg_train.evaluation.frames import Frames

    F32 = NDArray[np.float32]
    F64 = NDArray[np.float64]

SAMPLE_PIXELS = 400_000
BOUNDS = (0.05, 20.0)
"""Temperatures beyond which the labels say nothing about the confidence."""
PERCENTILE = 99.0
_MIN_FRAMES = 2
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class LogitSample:
    """Logits of randomly chosen labelled pixels.

    Attributes:
        logits_NC: float32.
        labels_N: int64, the true classes.
        frames_N: int64, the frame that each comes from: 0 … ``n_frames`` − 1 in order.
        n_frames: Number of frames that were read.
        size: Rows and columns of the network's input.
    """

    logits_NC: F32
    labels_N: NDArray[np.int64]
    frames_N: NDArray[np.int64]
    n_frames: int
    size: tuple[int, int]

    def part(self, chosen_N: NDArray[np.bool_]) -> LogitSample:
        """The chosen pixels alone."""
        return LogitSample(
            self.logits_NC[chosen_N],
            self.labels_N[chosen_N],
            self.frames_N[chosen_N],
            self.n_frames,
            self.size,
        )

    def halves(self) -> tuple[LogitSample, LogitSample]:
        """The first and the second half of the frames: neighbours, which look alike, stay on one side."""
        first = self.frames_N < self.n_frames / 2
        return self.part(first), self.part(~first)


@dataclass(frozen=True)
class Fitted:
    """What calibration found; as it stands, what there is without it.

    Attributes:
        temperature: Divides the logits before the softmax.
        calibration: The manifest's record of it.
        ood: The OOD output, or None where none was asked for.
        ood_record: The manifest's record of that.
    """

    temperature: float = 1.0
    calibration: dict[str, Any] | None = None
    ood: OodScore | None = None
    ood_record: dict[str, Any] | None = None


def calibrate(
    module: torch.nn.Module,
    letterbox: Letterbox,
    frames: Frames,
    *,
    ood: str | None = None,
    percentile: float = PERCENTILE,
) -> Fitted:
    """Fit the temperature, and the OOD threshold where a score is named.

    The temperature stays 1 where the fitted one would raise the calibration error on images that it was not fitted on.

    Args:
        module: uint8 RGB (B, 3, H, W) → logits (B, C, H, W), in evaluation mode.
        letterbox: Network size.
        frames: Labelled images that were not trained on.
        ood: A name from ``OOD_SCORES``, or None.
        percentile: Of the score over labelled pixels, above which a pixel is out of distribution.

    Raises:
        DataError: A frame cannot be read, or there are too few.
        EngineError: The logits are not finite.
        GateError: The labels do not determine a temperature, or the score is the same everywhere.
    """
    sample = sample_logits(module, letterbox, frames)
    fitted_on = {**frames.describe(), "pixels": len(sample.labels_N), "size": list(sample.size)}
    figures = _calibration_figures(sample, fit_temperature(sample))
    # The likelihood hears all classes, the calibration error only the label: one can gain where the other loses.
    helps = figures["ece_cross_fitted"] < figures["ece_before"]
    temperature = figures["fitted_temperature"] if helps else 1.0
    record = {"temperature": temperature, **figures, "fitted_on": fitted_on}
    if ood is None:
        return Fitted(temperature, record)
    score = fit_ood(sample, ood, percentile)
    first, second = sample.halves()
    flagged = [_flagged(b, fit_ood(a, ood, percentile)) for a, b in ((first, second), (second, first))]
    ood_record = {
        "score": score.score,
        "threshold": score.threshold,
        "scale": score.scale,
        "percentile": percentile,
        "flagged_cross_fitted": round(float(np.mean(flagged)), 5),
        "fitted_on": fitted_on,
    }
    return Fitted(temperature, record, score, ood_record)


def sample_logits(
    module: torch.nn.Module,
    letterbox: Letterbox,
    frames: Frames,
    *,
    pixels: int = SAMPLE_PIXELS,
    seed: int = 0,
) -> LogitSample:
    """Run the network, where it is, over the frames and keep about ``pixels`` labelled pixels.

    Raises:
        DataError: A frame cannot be read, there are too few, or none has a labelled pixel.
        EngineError: The logits are not finite.
    """
    if len(frames.pairs) < _MIN_FRAMES:
        raise DataError(
            f"{len(frames.pairs)} labelled image is too few to calibrate on",
            mend="give tens of images, from more than one place",
        )
    random = np.random.default_rng(seed)
    # One chance for every pixel of every frame, so that a frame's weight is its number of labelled pixels.
    chance = min(1.0, pixels / (len(frames.pairs) * letterbox.height * letterbox.width))
    logits, labels, owners = [], [], []
    device = next(module.parameters()).device
    for index, pair in enumerate(progress(frames.pairs, what="calibrating", unit="image")):
        image_HWC, truth_HW = read_pair(pair, frames.ontology)
        truth_hw = letterbox.apply_mask(truth_HW)
        rows, columns = np.nonzero((truth_hw != UNLABELLED) & (random.random(truth_hw.shape) < chance))
        pixels_BCHW = torch.from_numpy(letterbox.apply(image_HWC).transpose(2, 0, 1)[None].copy())
        with torch.inference_mode():
            logits_CHW = module(pixels_BCHW.to(device))[0].float().cpu().numpy()
        chosen_NC = logits_CHW[:, rows, columns].T
        if not np.isfinite(chosen_NC).all():
            raise EngineError(
                "the network's logits are not finite", where=str(pair.image), mend="train the model again"
            )
        logits.append(chosen_NC)
        labels.append(truth_hw[rows, columns].astype(np.int64))
        owners.append(np.full(len(rows), index, np.int64))
    size = (letterbox.height, letterbox.width)
    sample = LogitSample(
        np.concatenate(logits), np.concatenate(labels), np.concatenate(owners), len(frames.pairs), size
    )
    if any(len(half.labels_N) == 0 for half in sample.halves()):
        raise DataError(
            "too few of the images have labelled pixels to calibrate on",
            mend="give tens of labelled images, from more than one place",
        )
    return sample


def fit_temperature(sample: LogitSample) -> float:
    """The temperature with the least negative log-likelihood.

    The likelihood is convex in 1/T, so it has one minimum over log T and a bounded search finds it.

    Raises:
        GateError: The minimum lies at a bound: every pixel is right, or the labels have nothing to do with the network.
    """
    shifted_NC = sample.logits_NC.astype(np.float64)
    shifted_NC -= shifted_NC.max(axis=1, keepdims=True)
    true_N = shifted_NC[np.arange(len(shifted_NC)), sample.labels_N]

    def loss(log_temperature: float) -> float:
        beta = np.exp(-log_temperature)
        return float((np.log(np.exp(beta * shifted_NC).sum(axis=1)) - beta * true_N).mean())

    low, high = np.log(BOUNDS)
    found = minimize_scalar(loss, bounds=(low, high), method="bounded", options={"xatol": 1e-4})
    if min(found.x - low, high - found.x) < 0.01:
        raise GateError(
            f"the labels do not determine a temperature: it runs to {np.exp(found.x):.3g}",
            mend="are these the right labels for this model? Else give more images, or images that were not trained on",
        )
    return float(round(float(np.exp(found.x)), 5))


def describe(record: dict[str, Any]) -> str:
    """The manifest's record of a calibration as a sentence."""
    on, fitted = record["fitted_on"], record["fitted_temperature"]
    errors = (
        f"calibration error {record['ece_before']:.4f} before, {record['ece_after']:.4f} after, "
        f"{record['ece_cross_fitted']:.4f} on images that it was not fitted on"
    )
    of = f"from {on['images']} images ({on['part']})"
    if record["temperature"] == fitted:
        return f"temperature {fitted:.3f} {of}: {errors}"
    return f"temperature 1, because that with the highest likelihood, {fitted:.3f} {of}, would not help: {errors}"


def fit_ood(sample: LogitSample, score: str, percentile: float = PERCENTILE) -> OodScore:
    """The threshold and scale of an OOD score.

    Raises:
        GateError: The score does not vary, so nothing can stand out.
    """
    scores_N = _scores(sample, score)
    threshold, median = (float(v) for v in np.percentile(scores_N, (percentile, 50.0)))
    if not threshold - median > 1e-6 * max(1.0, abs(threshold)):
        raise GateError(
            f"the OOD score {score} is the same for every pixel, so no pixel can stand out",
            mend="another score, or a percentile above 50; or --ood none",
        )
    return OodScore(score, threshold, threshold - median)


def probabilities(logits_NC: F32, temperature: float) -> F64:
    """Softmax over the classes, (N, C)."""
    scaled_NC = logits_NC.astype(np.float64) / temperature
    scaled_NC -= scaled_NC.max(axis=1, keepdims=True)
    np.exp(scaled_NC, out=scaled_NC)
    scaled_NC /= scaled_NC.sum(axis=1, keepdims=True)
    return scaled_NC


def reliability(sample: LogitSample, temperature: float) -> Calibration:
    """Confidence and correctness of a sample at a temperature."""
    best_N = probabilities(sample.logits_NC, temperature).max(axis=1)
    found = Calibration()
    found.update(best_N, sample.logits_NC.argmax(axis=1), sample.labels_N)
    return found


def _calibration_figures(sample: LogitSample, temperature: float) -> dict[str, Any]:
    first, second = sample.halves()
    crossed = Calibration()
    temperatures = []
    for fitted, judged in ((first, second), (second, first)):
        try:
            other = fit_temperature(fitted)
        except GateError:
            other = temperature
        temperatures.append(other)
        crossed.add(reliability(judged, other))
    figures = {
        "fitted_temperature": temperature,
        "fitted_by_halves": temperatures,
        "nll_before": _nll(sample, 1.0),
        "nll_after": _nll(sample, temperature),
        "ece_before": reliability(sample, 1.0).ece(),
        "ece_after": reliability(sample, temperature).ece(),
        "ece_cross_fitted": crossed.ece(),
    }
    return {
        k: [round(t, 4) for t in v] if isinstance(v, list) else round(float(v or 0.0), 5)
        for k, v in figures.items()
    }


def _nll(sample: LogitSample, temperature: float) -> float:
    chosen_N = probabilities(sample.logits_NC, temperature)[np.arange(len(sample.labels_N)), sample.labels_N]
    return float(-np.log(np.maximum(chosen_N, 1e-300)).mean())


def _scores(sample: LogitSample, score: str) -> NDArray[np.float32]:
    found: NDArray[np.float32] = ood_score(torch.from_numpy(sample.logits_NC), score, dim=1).numpy()
    return found


def _flagged(sample: LogitSample, ood: OodScore) -> float:
    return float((_scores(sample, ood.score) >= ood.threshold).mean())
