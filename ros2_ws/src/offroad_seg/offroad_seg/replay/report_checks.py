# SPDX-License-Identifier: Apache-2.0
"""The checks of a replay's verdict: each with its limits, its figure and what it means.

All limits stand here and nowhere else; ``docs/replay.md`` says where they come from. They are rules of thumb for a
first look, not a proof that a vehicle is safe: what could not be judged is said, and never counted as passed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    Metrics = dict[str, Any]

PASS, WARN, FAIL, UNKNOWN = "pass", "warn", "fail", "unknown"
NEVER = float("inf")


@dataclass(frozen=True)
class Check:
    """One question to a replay.

    Attributes:
        key: Short name.
        name: What is asked.
        read: The figure, None where the replay does not give it.
        good: Passes up to here (down to here where more is better).
        bad: Fails beyond; ``NEVER`` for a check that only warns.
        unit: ``%`` for a share, ``×`` for a multiple, or nothing.
        meaning: What the figure is.
        missing: Why it may not be there.
        mend: What to look at where it does not pass.
        proof: Whether it compares with a truth, so that passing it shows something.
    """

    key: str
    name: str
    read: Callable[[Metrics], float | None]
    good: float
    bad: float
    unit: str
    meaning: str
    missing: str
    mend: str
    proof: bool = False

    def state(self, value: float | None) -> str:
        """Pass, warn, fail, or unknown without a figure."""
        if value is None:
            return UNKNOWN
        sign = 1.0 if self.bad >= self.good else -1.0
        if sign * (value - self.good) <= 0:
            return PASS
        return WARN if sign * (value - self.bad) <= 0 else FAIL


def _at(*path: str) -> Callable[[Metrics], float | None]:
    def read(metrics: Metrics) -> float | None:
        found: Any = metrics
        for key in path:
            found = found.get(key) if isinstance(found, dict) else None
        return found if isinstance(found, (int, float)) else None

    return read


def _dropped(metrics: Metrics) -> float | None:
    total = metrics["frames"] + metrics["frames_dropped"]
    return metrics["frames_dropped"] / total if total else None


def _engine_errors(metrics: Metrics) -> float | None:
    return float(metrics["dropped"].get("engine_error", {}).get("frames", 0))


def _costmaps(metrics: Metrics) -> float | None:
    topics = metrics["bag"]["topics"]
    if not metrics["costmap_frames"] and "camera_info" in topics and not topics["camera_info"]:
        return None
    return float(metrics["costmap_frames"] / metrics["frames"]) if metrics["frames"] else None


def _unknown_share(metrics: Metrics) -> float | None:
    known = metrics.get("costmap_known_share")
    return None if known is None else 1.0 - known


def _own_flicker(metrics: Metrics) -> float | None:
    own, scene = metrics.get("flicker_compensated"), metrics.get("flicker_compensated_truth")
    return None if own is None else max(0.0, own - (scene or 0.0))


def _losses(metrics: Metrics) -> float | None:
    return float(len(metrics["bag"]["losses"]))


def _late(metrics: Metrics) -> float | None:
    p99, period = metrics["latency_ms"].get("total", {}).get("p99"), metrics.get("camera_period_ms")
    return p99 / period if p99 and period else None


_NO_DRIVE = "no costmap along a drive of some metres: odometry and calibration are needed"
_NO_LABELS = "the bag holds no true labels"
_NO_GRID = "the bag holds no true grid, or no true obstacle was seen near the vehicle"

CHECKS: tuple[Check, ...] = (
    Check(
        "lethal_as_free", "Obstacles called free", _at("costmap", "lethal_as_free"), 0.02, 0.10, "%",
        "of the true obstacle cells that the costmap knows, those that it calls drivable", _NO_GRID,
        "look at the map's worst places: the class, its cost, or the ground model is wrong there", proof=True,
    ),
    Check(
        "free_precision", "Free is truly free", _at("costmap", "free_precision"), 0.98, 0.95, "%",
        "of the cells that the costmap calls drivable, those that are", _NO_GRID,
        "raise min_confidence or the cost of the classes that are confused", proof=True,
    ),
    Check(
        "lethal_recall", "Obstacles found", _at("costmap", "lethal_recall"), 0.90, 0.60, "%",
        "of the true obstacle cells that it knows, those with a lethal cell near by", _NO_GRID,
        "see the confusion of the standing classes, and docs/costmap.md for what one camera cannot see", proof=True,
    ),
    Check(
        "labels", "Labels against the truth", _at("miou_present"), 0.50, 0.25, "",
        "mIoU over the classes that occur", _NO_LABELS,
        "train on images of this place and light; see the table of classes", proof=True,
    ),
    Check(
        "ece", "Confidence can be believed", _at("ece"), 0.10, NEVER, "%",
        "calibration error: how far confidence is from being right", _NO_LABELS,
        "export with --calibrate DATA", proof=True,
    ),
    Check(
        "driven_lethal", "Driven ground called lethal", _at("driven_path", "false_lethal_rate"), 0.01, 0.05, "%",
        "of the known cells that the vehicle then drove over, those called lethal as it approached", _NO_DRIVE,
        "the vehicle would have stopped for nothing: see the marked cells on the map", proof=True,
    ),
    Check(
        "driven_unknown", "Driven ground unknown", _at("driven_path", "unknown_rate"), 0.30, 0.70, "%",
        "of the cells that the vehicle then drove over, those unknown as it approached, 2 to 10 m ahead", _NO_DRIVE,
        "raise costmap.max_range or lower min_confidence, or tilt the camera down", proof=True,
    ),
    Check(
        "costmaps", "Frames with a costmap", _costmaps, 0.99, 0.90, "%",
        "of the frames with labels, those that gave a costmap", "replayed without a calibration",
        "the reasons stand in the notes: transforms, calibration, or time",
    ),
    Check(
        "unknown", "Costmap unknown", _unknown_share, 0.95, 0.99, "%",
        "mean share of its cells that nothing is known of; one camera sees a sector only", "no costmap came",
        "see which frames know little, and costmap.max_range and min_confidence",
    ),
    Check(
        "stability", "Costmap steady in time", _at("costmap_stability", "flip_share"), 0.002, 0.02, "%",
        "of the cells called free or lethal, those that turn from one into the other in a frame",
        "no costmap that stands still: odometry is needed", "see the marked cells on the map, and costmap.decay_time",
    ),
    Check(
        "flicker", "Labels steady in time", _own_flicker, 0.05, 0.15, "%",
        "labels that change from frame to frame though the camera's motion is taken out", "too few frames to compare",
        "see the frames where labels change at once; more training images, or motion blur in training",
    ),
    Check(
        "ood", "Like the training", _at("ood_share"), 0.05, 0.30, "%",
        "mean share of pixels unlike the images that the network was validated on",
        "the bundle has no such score: export with --calibrate DATA",
        "train on images of this place; the costmap trusts such pixels less",
    ),
    Check(
        "agreement", "Agrees with the other bundle", _at("agreement", "pixels"), 0.90, 0.70, "%",
        "of all pixels, those that both bundles label alike", "only one bundle was replayed",
        "see the frames where they disagree most",
    ),
    Check(
        "dropped", "Frames lost", _dropped, 0.005, 0.05, "%",
        "of the images in the bag, those that gave no labels", "no images",
        "the causes stand under “What was dropped”",
    ),
    Check(
        "engine", "Engine gave no answer", _engine_errors, 0, 0, "",
        "frames whose numbers were not finite, or on which the engine failed", "",
        "compile the bundle again; a float16 engine may overflow: try --precision fp32",
    ),
    Check(
        "latency", "Fast enough for the camera", _late, 1.0, 2.0, "×",
        "latency p99 on this machine, in periods of the camera; above 1 the node leaves images out",
        "the camera's period is not known", "a smaller network, a faster engine, or a lower camera rate",
    ),
    Check(
        "bag", "Bag whole", _losses, 0, NEVER, "", "parts of the bag that could not be read", "",
        "the figures hold for what is left; record again if it matters",
    ),
)  # fmt: skip
