# SPDX-License-Identifier: Apache-2.0
"""The report stays under its 30 MB whatever the drive: long, of pictures that nothing compresses, with many drops."""

from __future__ import annotations

import re

import numpy as np
import pytest

from offroad_seg.ontology import load_ontology
from offroad_seg.replay.bag import BagMessage
from offroad_seg.replay.evaluation import Evaluation
from offroad_seg.replay.frames import BagFrame
from offroad_seg.replay.gallery import BYTES, WORST, Gallery, Pictures
from offroad_seg.replay.gallery_pictures import AREA, picture_of, size_within
from offroad_seg.replay.records import FrameRecord
from offroad_seg.replay.report import write_report
from offroad_seg.transforms import Transform
from offroad_seg.types import Costmap, Frame, GridSpec, Perception, Segmentation

LIMIT = 30_000_000
FRAMES = 2000
IDENTITY = {
    "mode": "offline", "seconds": 1.0, "frames_per_second": 9.0, "engine": {"backend": "onnxruntime"},
    "settings": {}, "environment": {"offroad_seg": "0", "python": "3", "machine": "m", "system": "s"},
    "bag": {"name": "long", "topics": {"image": "/i", "camera_info": "/c"}, "messages": 9, "losses": [], "notes": []},
    "bundle": {"name": "b", "ontology": "o", "input": "1×1", "precision": "fp32", "backend": "x", "source": {}, "files": {}},
}  # fmt: skip


@pytest.fixture(scope="module")
def ontology():
    return load_ontology("duality_desert")


@pytest.fixture(scope="module")
def noise(ontology):
    """Three frames of pure noise: no picture of a camera is harder to compress."""
    rng = np.random.default_rng(0)
    images = []
    for _ in range(3):
        grid = Costmap(
            rng.integers(-1, 101, (200, 200), np.int8), GridSpec(200, 200, 0.1, 0.0, 0.0), "odom", 0
        )
        labels = rng.integers(0, ontology.n_classes, (2, 300, 480), np.uint8)
        grey = rng.integers(0, 256, (300, 480), np.uint8)
        images.append((rng.integers(0, 256, (300, 480, 3), np.uint8), labels, grey, grid))
    return images


def long_drive(ontology, noise, frames, every_dropped):
    """A drive of noise: its evaluation and the pictures that were kept of it."""
    evaluation = Evaluation(ontology)
    gallery = Gallery(ontology, noise[0][3], frames, "odom")
    rng = np.random.default_rng(1)
    for number in range(frames):
        stamp, (image, labels, grey, grid) = number * 100_000_000, noise[number % 3]
        if every_dropped and number % every_dropped == 0:
            evaluation.take(FrameRecord(number, "c", stamp, dropped="bad_image", reason="x" * 200))
            continue
        x, y = 0.2 * number, 30.0 * np.sin(number / 200)
        record = FrameRecord(
            number, "c", stamp, mean_confidence=float(rng.random()), ood_share=float(rng.random()),
            pixels=[10] * (ontology.n_classes + 1), flicker=[1, 9], miou=float(rng.random()),
            latency_ms={"total": 10.0 + float(rng.random())}, costmap={"known_share": 0.4}, pose=[x, y, 0.1],
        )  # fmt: skip
        row = evaluation.take(record)
        pose = Transform.from_rpy(0.0, 0.0, 0.1, (x, y, 0.0))
        frame = BagFrame(
            number, Frame(image, stamp, "c"), BagMessage("/i", "", stamp, b""), None, pose, "", labels[0]
        )
        spec = GridSpec(200, 200, 0.1, x - 10, y - 10)
        perception = Perception(
            Segmentation(labels[1], grey, stamp, "c", 0.5, grey),
            None,
            Costmap(grid.cost_HW, spec, "odom", stamp),
        )
        gallery.add(frame, perception, row)
    return evaluation, gallery


@pytest.fixture(scope="module")
def short(ontology, noise):
    """What a gallery keeps of eighty frames."""
    return long_drive(ontology, noise, 80, 0)[1]


def test_a_long_drive_of_noise_stays_below_the_limit(tmp_path, ontology, noise):
    evaluation, gallery = long_drive(ontology, noise, FRAMES, 3)
    path = tmp_path / "report.html"
    write_report(path, evaluation.metrics() | IDENTITY, evaluation, gallery)
    text = path.read_text(encoding="utf-8")
    assert LIMIT / 3 < path.stat().st_size < LIMIT
    assert text.count('"uris"') >= 40
    assert len(re.findall(">bad image<", text)) == 200
    assert "and 467 more" in text


def test_without_pictures_ten_thousand_frames_leave_room_for_them(tmp_path, ontology):
    evaluation = Evaluation(ontology)
    rng = np.random.default_rng(2)
    for number in range(10_000):
        evaluation.take(
            FrameRecord(
                number, "c", number * 100_000_000, mean_confidence=float(rng.random()), miou=float(rng.random()),
                ood_share=float(rng.random()), pixels=[1] * (ontology.n_classes + 1), flicker=[1, 9],
                latency_ms={"total": float(rng.random())}, costmap={"known_share": 0.4},
                pose=[float(v) for v in rng.normal(0, 1e6, 3)],
            )
        )  # fmt: skip
    path = tmp_path / "report.html"
    gallery = Gallery(ontology, None, 1, "odom")
    gallery._even[0] = Pictures(evaluation.rows[0], {"image": "", "prediction": ""})
    write_report(path, evaluation.metrics() | IDENTITY, evaluation, gallery)
    assert path.stat().st_size < LIMIT - BYTES


def test_pictures_become_smaller_before_they_become_few(short):
    whole = short.pictures(10**12)
    assert len(whole) == 80
    need = sum(p.size for p in whole)
    smaller = short.pictures(int(0.4 * need))
    assert sum(p.size for p in smaller) <= 0.4 * need
    assert len(smaller) >= 40
    shapes = {name: picture_of(uri).shape[:2] for name, uri in smaller[0].uris.items()}
    assert shapes["image"] == shapes["truth"] == shapes["prediction"] < (300, 480)
    assert set(smaller[0].uris) == {
        "image",
        "prediction",
        "confidence",
        "ood",
        "truth",
        "costmap",
        "true_costmap",
    }


def test_a_budget_for_nothing_still_gives_the_worst_frames(short):
    assert len(short.pictures(1)) <= WORST + 1


def test_smaller_labels_keep_to_the_ontology_s_colours(ontology, short):
    colors = {c.color for c in ontology.classes}
    picture = picture_of(short.pictures(10**12)[0].smaller(5000).uris["prediction"])
    assert picture.shape[0] * picture.shape[1] <= 5000
    assert {tuple(int(v) for v in bgr[::-1]) for bgr in picture.reshape(-1, 3)} <= colors


@pytest.mark.parametrize(("width", "height"), [(1920, 1080), (100, 9000), (9000, 10), (320, 240), (1, 1)])
def test_sizes_keep_the_shape_within_the_area(width, height):
    w, h = size_within(width, height)
    assert w * h <= max(AREA, 1)
    assert w <= width
    assert h <= height
    assert w / h == pytest.approx(width / height, rel=0.15) or min(w, h) < 10
