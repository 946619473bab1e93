# SPDX-License-Identifier: Apache-2.0
"""Confidence that means what it says, and the score from which a pixel is unlike everything seen.

Both are fitted on labelled images that were not trained on: the temperature (Guo et al., "On Calibration of Modern
Neural Networks", ICML 2017) minimises the negative log-likelihood of the labels, and the OOD threshold is a percentile
of the score over pixels whose class is known. Neither changes any label.

They are fitted on a sample of the pixels (``logit_sample``). The cross-fitted figures show how well the fit carries
over to other frames.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from scipy.optimize import minimize_scalar

from offroad_seg.calibration import Calibration
from offroad_seg.errors import GateError
from offroad_seg_train.export.graph import OodScore, ood_score
from offroad_seg_train.export.logit_sample import sample_logits

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from offroad_seg.image import Letterbox
    from offroad_seg_train.evaluation.frames import Frames
    from offroad_seg_train.export.logit_sample import LogitSample

    F32 = NDArray[np.float32]
    F64 = NDArray[np.float64]

BOUNDS = (0.05, 20.0)
"""Temperatures beyond which the labels say nothing about the confidence."""
PERCENTILE = 99.0
_LOG = logging.getLogger(__name__)


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
