# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import array
import sys
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from offroad_seg.errors import CameraError, ImageError
from offroad_seg.sensor_messages import (
    ENCODINGS,
    camera_from_info,
    check_image,
    compressed_to_rgb,
    depth_to_metres,
    image_to_rgb,
    split_ns,
    stamp_ns,
)

H, W = 6, 10


def header(frame_id="camera_optical_frame", sec=12, nanosec=345):
    return SimpleNamespace(stamp=SimpleNamespace(sec=sec, nanosec=nanosec), frame_id=frame_id)


def image_message(samples, of, *, padding=0, data=None, **changes):
    """A message of raw rows (H, bytes) with ``padding`` bytes of rubbish after each row."""
    rows = np.ascontiguousarray(samples).reshape(samples.shape[0], -1).view(np.uint8)
    padded = np.pad(rows, ((0, 0), (0, padding)), constant_values=0xA5)
    fields = {
        "header": header(),
        "height": samples.shape[0],
        "width": samples.shape[1],
        "encoding": of,
        "is_bigendian": int(sys.byteorder == "big"),
        "step": padded.shape[1],
        "data": array.array("B", padded.tobytes()) if data is None else data,
    }
    return SimpleNamespace(**{**fields, **changes})


@pytest.fixture
def rgb():
    return np.random.default_rng(3).integers(0, 256, (H, W, 3), np.uint8)


def as_encoding(rgb, encoding):
    if encoding == "rgb8":
        return rgb
    if encoding == "bgr8":
        return rgb[..., ::-1]
    alpha = np.full((*rgb.shape[:2], 1), 77, np.uint8)
    return np.concatenate([rgb if encoding == "rgba8" else rgb[..., ::-1], alpha], axis=2)


@pytest.mark.parametrize("padding", [0, 1, 7])
@pytest.mark.parametrize("encoding", ["rgb8", "bgr8", "rgba8", "bgra8"])
def test_colour_encodings_give_the_same_pixels(rgb, encoding, padding):
    image = image_to_rgb(image_message(as_encoding(rgb, encoding), encoding, padding=padding))
    assert image.dtype == np.uint8
    assert image.flags.c_contiguous
    np.testing.assert_array_equal(image, rgb)


@pytest.mark.parametrize("padding", [0, 3])
def test_mono_becomes_grey(padding):
    grey = np.arange(H * W, dtype=np.uint8).reshape(H, W)
    image = image_to_rgb(image_message(grey, "mono8", padding=padding))
    np.testing.assert_array_equal(image, np.repeat(grey[..., None], 3, axis=2))


def test_tight_rgb8_is_not_copied(rgb):
    message = image_message(rgb, "rgb8")
    image = image_to_rgb(message)
    message.data[0] ^= 0xFF
    assert image[0, 0, 0] == rgb[0, 0, 0] ^ 0xFF


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview, lambda b: np.frombuffer(b, np.uint8)])
def test_any_buffer_is_taken(rgb, kind):
    message = image_message(rgb, "rgb8", data=kind(rgb.tobytes()))
    np.testing.assert_array_equal(image_to_rgb(message), rgb)


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_every_encoding_equals_the_kept_converter(encoding):
    """The fast path, padding and all, against rosbags-image on tight rows."""
    converter = pytest.importorskip("rosbags.image")
    _, _, dtype, channels = converter.image.to_cvtype(encoding)
    samples = np.random.default_rng(5).integers(0, np.iinfo(dtype).max, (H, W, channels)).astype(dtype)
    expected = converter.image_to_cvimage(image_message(samples, encoding), "rgb8").astype(int)
    image = image_to_rgb(image_message(samples, encoding, padding=4)).astype(int)
    assert image.shape == (H, W, 3)
    # 16 bits: the converter interpolates first and then scales by 255/65535; we keep the high byte first.
    np.testing.assert_allclose(image, expected, atol=0 if dtype == "uint8" else 2)


@pytest.mark.parametrize("encoding", ["mono16", "rgb16"])
def test_big_endian_samples(encoding):
    channels = 3 if encoding == "rgb16" else 1
    samples = np.random.default_rng(5).integers(0, 65536, (H, W, channels)).astype(np.uint16)
    swapped = image_message(samples.byteswap(), encoding, is_bigendian=int(sys.byteorder != "big"))
    np.testing.assert_array_equal(image_to_rgb(swapped), image_to_rgb(image_message(samples, encoding)))


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"encoding": "32FC1"}, "32FC1"),
        ({"encoding": "nv12"}, "nv12"),
        ({"encoding": ""}, "encoding"),
        ({"step": W * 3 - 1}, "step"),
        ({"step": W}, "step"),
        ({"step": 0}, "step"),
        ({"step": W * 3 + 1}, "data"),
        ({"height": H + 1}, "data"),
        ({"height": H - 1}, "data"),
        ({"width": W + 1}, "step"),
        ({"height": 0}, "0"),
        ({"width": 0}, "0×6"),
        ({"data": array.array("B")}, "0 bytes"),
        ({"height": 2**32 - 1, "width": 2**32 - 1, "step": 2**32 - 1}, "step"),
    ],
)
def test_bad_messages_are_refused_with_the_field(rgb, changes, named):
    message = image_message(rgb, "rgb8", **changes)
    with pytest.raises(ImageError, match=named):
        image_to_rgb(message)
    with pytest.raises(ImageError, match=named):
        check_image(message)


@given(
    height=st.integers(0, 9),
    width=st.integers(0, 9),
    step=st.integers(0, 80),
    encoding=st.sampled_from([*ENCODINGS, "32FC1", "8UC3", "", "nv21", "RGB8"]),
    is_bigendian=st.integers(0, 255),
    length=st.one_of(st.none(), st.integers(0, 700)),
)
def test_no_message_raises_anything_but_image_error(height, width, step, encoding, is_bigendian, length):
    size = height * step if length is None else length
    message = SimpleNamespace(
        header=header(),
        height=height,
        width=width,
        step=step,
        encoding=encoding,
        is_bigendian=is_bigendian,
        data=array.array("B", bytes(size)),
    )
    try:
        image = image_to_rgb(message)
    except ImageError:
        return
    check_image(message)  # what can be converted passes the quick check
    assert image.shape == (height, width, 3)


@pytest.mark.parametrize("extension", [".jpg", ".png"])
def test_compressed(extension):
    blocks = np.kron(np.arange(6, dtype=np.uint8).reshape(2, 3) * 40, np.ones((16, 16), np.uint8))
    rgb = np.stack([blocks, blocks[::-1], 255 - blocks], axis=2)
    _, data = cv2.imencode(extension, rgb[..., ::-1])
    message = SimpleNamespace(header=header(), format="rgb8; x compressed bgr8", data=data.ravel())
    image = compressed_to_rgb(message)
    assert image.shape == (32, 48, 3)
    assert np.abs(image.astype(int) - rgb).mean() <= (0 if extension == ".png" else 5)


@given(st.binary(max_size=64), st.sampled_from(["jpeg", "png", "16UC1; compressedDepth"]))
def test_compressed_rubbish_is_refused(data, format_):
    with pytest.raises(ImageError):
        compressed_to_rgb(SimpleNamespace(header=header(), format=format_, data=array.array("B", data)))


def test_compressed_depth_is_refused_by_name():
    with pytest.raises(ImageError, match="depth"):
        compressed_to_rgb(SimpleNamespace(header=header(), format="16UC1; compressedDepth", data=b"x"))


def test_depth_units_and_holes():
    millimetres = np.array([[0, 1500, 65535], [1, 2, 3]], np.uint16)
    depth = depth_to_metres(image_message(millimetres, "16UC1", padding=2))
    np.testing.assert_allclose(depth[0], [np.nan, 1.5, 65.535], rtol=1e-6)
    metres = np.array([[np.nan, np.inf, -1.0, 0.0, 2.5]], np.float32)
    depth = depth_to_metres(image_message(metres, "32FC1"))
    np.testing.assert_array_equal(depth, np.array([[np.nan] * 4 + [2.5]], np.float32))
    with pytest.raises(ImageError, match="rgb8"):
        depth_to_metres(image_message(np.zeros((2, 2, 3), np.uint8), "rgb8"))


def camera_info(**changes):
    fields = {
        "header": header(),
        "height": 240,
        "width": 320,
        "distortion_model": "plumb_bob",
        "d": np.zeros(5),
        "k": np.array([200.0, 0, 160, 0, 201, 120, 0, 0, 1]),
        "binning_x": 0,
        "binning_y": 0,
        "roi": SimpleNamespace(x_offset=0, y_offset=0, width=0, height=0, do_rectify=False),
    }
    return SimpleNamespace(**{**fields, **changes})


def test_camera_info_with_binning():
    camera = camera_from_info(camera_info(binning_x=2, binning_y=2), (120, 160))
    assert (camera.height, camera.width) == (120, 160)
    assert camera.fx == 100.0
    assert camera.fy == 100.5


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"header": header("")}, "frame_id"),
        ({"k": [float("nan")] * 9}, "finite"),
        ({"d": [0.0, float("inf"), 0, 0, 0]}, "finite"),
        ({"k": [0.0] * 9}, "focal"),
        ({"distortion_model": "mei"}, "mei"),
        ({"width": 640}, "640"),
    ],
)
def test_camera_info_refused(changes, named):
    with pytest.raises(CameraError, match=named):
        camera_from_info(camera_info(**changes), (240, 320))


def test_stamp():
    assert stamp_ns(header()) == 12_000_000_345


@given(st.integers(0, 2**62))
def test_a_stamp_is_split_as_messages_have_it(stamp):
    seconds, rest = split_ns(stamp)
    assert 0 <= rest < 1_000_000_000
    assert stamp_ns(SimpleNamespace(stamp=SimpleNamespace(sec=seconds, nanosec=rest))) == stamp
    assert (seconds, rest) == (stamp // 10**9, stamp % 10**9)
