# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from offroad_seg.engines.registry import load_engine
from offroad_seg.errors import EngineError, ImageError, InputError
from offroad_seg.ontology import load_ontology
from offroad_seg.segmenter import Segmenter
from offroad_seg.types import Frame
from tests.helpers.bundles import make_color_bundle

ONTOLOGY = load_ontology("duality_desert")


def frame(labels_HW: np.ndarray, stamp_ns: int = 0) -> Frame:
    return Frame(ONTOLOGY.colorize(labels_HW), stamp_ns, "camera_optical_frame")


def stripes(height: int, width: int, first: int = 0) -> np.ndarray:
    """One broad vertical stripe a class."""
    return (
        np.repeat((np.arange(5) + first) % ONTOLOGY.n_classes, width // 5)[None, :]
        .repeat(height, 0)
        .astype(np.uint8)
    )


@pytest.fixture(scope="module")
def segmenter(tmp_path_factory):
    bundle = make_color_bundle(tmp_path_factory.mktemp("bundle") / "b", ONTOLOGY, 64, 160)
    engine = load_engine(bundle, backend="onnxruntime", device="cpu", threads=1)
    yield Segmenter(bundle, engine)
    engine.close()


@pytest.mark.parametrize(("height", "width"), [(64, 160), (180, 320), (96, 320), (50, 40), (300, 200)])
def test_labels_come_back_at_the_images_size_and_place(segmenter, height, width):
    truth = stripes(height, width, first=2)
    result = segmenter.segment(frame(truth, stamp_ns=7))
    assert result.labels_HW.shape == result.confidence_HW.shape == (height, width)
    assert (result.stamp_ns, result.frame_id) == (7, "camera_optical_frame")
    # Away from the stripes' edges, where resizing mixes colours, every pixel is right and sure.
    edges = np.abs((np.arange(width) + 0.5) % (width / 5) - width / 10) > width / 10 - max(4, 0.03 * width)
    assert (result.labels_HW == truth)[:, ~edges].all()
    assert (result.confidence_HW[:, ~edges] > 250).all()
    assert 0.5 < result.mean_confidence <= 1.0
    # A bundle of three outputs says nothing of what it has not seen before.
    assert result.ood_HW is None
    assert result.network is None or result.network.ood_HW is None


def test_results_stay_valid_until_the_next_but_one_call(segmenter):
    first = segmenter.segment(frame(stripes(180, 320, 0)))
    kept = first.labels_HW.copy()
    second = segmenter.segment(frame(stripes(180, 320, 4)))
    np.testing.assert_array_equal(first.labels_HW, kept)
    third = segmenter.segment(frame(stripes(180, 320, 2)))
    assert not np.shares_memory(second.labels_HW, third.labels_HW)
    assert np.shares_memory(first.labels_HW, third.labels_HW)


def test_the_networks_own_pixels_come_along_and_outlive_the_next_call(segmenter):
    truth = stripes(360, 640, 3)
    result = segmenter.segment(frame(truth))
    # 360 × 640 into 64 × 160 is 64 × 114, with padding left and right that must not come along.
    assert result.network.labels_HW.shape == result.network.confidence_HW.shape == (64, 114)
    shrunk = truth[0, ((np.arange(114) + 0.5) * 640 / 114).astype(int)]
    assert (result.network.labels_HW == shrunk).mean() > 0.95
    kept = result.network.labels_HW.copy()
    segmenter.segment(frame(stripes(360, 640, 0)))
    np.testing.assert_array_equal(result.network.labels_HW, kept)
    # An image with fewer pixels than the network sees says all itself.
    assert segmenter.segment(frame(stripes(50, 40))).network is None


def test_images_of_changing_sizes_do_not_disturb_each_other(segmenter):
    for height, width in ((180, 320), (64, 160), (180, 320), (300, 200)):
        truth = stripes(height, width, 1)
        result = segmenter.segment(frame(truth))
        assert (result.labels_HW == truth).mean() > 0.9


def test_every_stage_is_timed(segmenter):
    segmenter.segment(frame(stripes(180, 320)))
    assert set(segmenter.timings_ms) == {"letterbox", "engine", "restore"}
    assert all(v > 0 for v in segmenter.timings_ms.values())


def test_logits_that_are_not_finite_are_an_error(tmp_path):
    bundle = make_color_bundle(tmp_path / "b", ONTOLOGY, 64, 160, sharpness=float("nan"))
    broken = Segmenter(bundle, load_engine(bundle, backend="onnxruntime", device="cpu", threads=1))
    with pytest.raises(EngineError, match="logits are not finite"):
        broken.segment(frame(stripes(180, 320)))
    with pytest.raises(EngineError, match="logits are not finite"):
        broken.warm_up()


def test_an_engine_that_does_not_fit_the_bundle_is_an_error(tmp_path):
    bundle = make_color_bundle(tmp_path / "b", ONTOLOGY, 64, 160)
    other = make_color_bundle(tmp_path / "other", ONTOLOGY, 32, 160)
    wrong = Segmenter(bundle, load_engine(other, backend="onnxruntime", device="cpu", threads=1))
    with pytest.raises(EngineError):
        wrong.segment(frame(stripes(180, 320)))
    # A score that the bundle promises must come: its absence would read as "nothing is strange".
    ood = {"score": "energy", "threshold": 0.0, "scale": 1.0, "percentile": 99.0}
    promising = replace(bundle, manifest=replace(bundle.manifest, ood=ood))
    silent = Segmenter(promising, load_engine(bundle, backend="onnxruntime", device="cpu", threads=1))
    with pytest.raises(EngineError, match="no OOD score"):
        silent.segment(frame(stripes(180, 320)))


def test_images_that_are_not_rgb_are_refused(segmenter):
    with pytest.raises(ImageError):
        segmenter.segment(Frame(np.zeros((20, 30), np.uint8), 0, "c"))
    with pytest.raises(ImageError):
        segmenter.segment(Frame(np.zeros((20, 30, 3), np.float32), 0, "c"))


def upright(segmenter, **options):
    return Segmenter(segmenter.bundle, segmenter.engine, **options)


@pytest.mark.parametrize("size", [(100, 60), (640, 360), (33, 77)])
def test_labels_can_have_a_size_of_their_own(segmenter, size):
    truth = stripes(180, 320)
    result = upright(segmenter, output_size=size).segment(frame(truth))
    width, height = size
    assert result.labels_HW.shape == result.confidence_HW.shape == (height, width)
    columns = ((np.arange(width) + 0.5) / width * 320).astype(int)
    edges = np.abs((columns + 0.5) % 64 - 32) > 24
    assert (result.labels_HW == truth[0, columns])[:, ~edges].all()
    assert result.network is not None  # the mapping reads all that the network said


@pytest.mark.parametrize("rotation", [90, 180, 270])
def test_the_network_sees_an_image_upright_and_its_labels_lie_as_the_image_came(segmenter, rotation):
    """The camera delivers what `rotation` degrees clockwise set upright."""
    plain = segmenter.segment(frame(stripes(180, 320)))
    camera_image = np.rot90(stripes(180, 320), rotation // 90)  # counter-clockwise: the camera's way of lying
    turned = upright(segmenter, rotation=rotation)
    result = turned.segment(frame(np.ascontiguousarray(camera_image)))
    assert result.labels_HW.shape == camera_image.shape
    np.testing.assert_array_equal(
        np.rot90(result.network.labels_HW, -rotation // 90), plain.network.labels_HW
    )
    np.testing.assert_array_equal(np.rot90(result.labels_HW, -rotation // 90), plain.labels_HW)
    np.testing.assert_array_equal(np.rot90(result.confidence_HW, -rotation // 90), plain.confidence_HW)


@pytest.mark.parametrize("options", [{"rotation": 45}, {"output_size": (0, 4)}, {"output_size": (9000, 4)}])
def test_impossible_views_are_refused(segmenter, options):
    with pytest.raises(InputError, match="camera_rotation|output_size"):
        upright(segmenter, **options)
