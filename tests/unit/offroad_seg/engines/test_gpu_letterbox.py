# SPDX-License-Identifier: Apache-2.0
"""The letterbox of the GPU gives the bytes of the letterbox of the CPU, which the network was trained on."""

from __future__ import annotations

import platform
import re
from ctypes import c_int, c_uint64
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from offroad_seg.engines.cuda import DeviceBuffer, Gpu, PinnedArray, Stream
from offroad_seg.engines.gpu_letterbox import GpuLetterbox, resize_table
from offroad_seg.errors import ImageError
from offroad_seg.image import Letterbox
from tests.helpers import kernels

if TYPE_CHECKING:
    from pathlib import Path

SIZES = st.tuples(st.integers(1, 90), st.integers(1, 90))
# OpenCV's own kernels for ARM round differently by one.
TOLERANCE = 0 if platform.machine() == "x86_64" else 1


class Box:
    """A GPU letterbox with what it needs around it."""

    def __init__(self, gpu: Gpu, letterbox: Letterbox) -> None:
        self.stream, self.inner = Stream(gpu), GpuLetterbox(gpu, letterbox)
        self.back = PinnedArray(gpu, (letterbox.height, letterbox.width, 3), np.uint8)
        self.target = DeviceBuffer(gpu, self.back.nbytes)

    def apply(self, image: np.ndarray) -> np.ndarray:
        self.inner.set_size(*image.shape[:2], self.stream)
        self.inner.stage(image)
        self.inner.enqueue(self.target, self.stream)
        self.stream.download(self.back, self.target)
        self.stream.synchronize()
        return self.back.array.copy()

    def close(self) -> None:
        for held in (self.inner, self.stream, self.back, self.target):
            held.close()


def difference(a: np.ndarray, b: np.ndarray) -> int:
    return int(np.abs(a.astype(int) - b.astype(int)).max())


@settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))
@given(source=SIZES, target=SIZES, halve=st.booleans(), seed=st.integers(0, 99))
def test_bytes_are_those_of_opencv(
    gpu: Gpu, source: tuple[int, int], target: tuple[int, int], halve: bool, seed: int
) -> None:
    if halve:  # OpenCV has another way for this
        source = (2 * target[0], 2 * target[1])
    letterbox = Letterbox(*target, pad_value=seed)
    image = np.random.default_rng(seed).integers(0, 256, (*source, 3), np.uint8)
    box = Box(gpu, letterbox)
    try:
        assert difference(box.apply(image), letterbox.apply(image)) <= TOLERANCE
    finally:
        box.close()


@pytest.mark.parametrize(
    ("source", "target"), [((1080, 1920), (266, 476)), ((720, 1280), (544, 960)), ((540, 960), (270, 480))]
)
def test_sizes_of_cameras(gpu: Gpu, source: tuple[int, int], target: tuple[int, int]) -> None:
    image = np.random.default_rng(1).integers(0, 256, (*source, 3), np.uint8)
    letterbox, box = Letterbox(*target), Box(gpu, Letterbox(*target))
    for view in (image, image[:, ::-1], image[::2]):
        assert difference(box.apply(view), letterbox.apply(np.ascontiguousarray(view))) <= TOLERANCE
    box.close()


@given(source=st.integers(1, 4000), target=st.integers(1, 2000), clamp=st.booleans())
def test_table_stays_inside_and_weights_sum_to_one(source: int, target: int, clamp: bool) -> None:
    table = resize_table(source, target, clamp=clamp)
    assert table[:, :2].min() >= 0
    assert table[:, :2].max() <= source - 1
    assert table[:, 2:].min() >= 0
    assert np.abs(table[:, 2:].sum(axis=1) - 2048).max() <= 1
    assert (np.diff(table[:, 0]) >= 0).all()


def test_image_of_another_size_is_refused(gpu: Gpu) -> None:
    box = Box(gpu, Letterbox(8, 12))
    box.inner.set_size(10, 20, box.stream)
    for wrong in (
        np.zeros((20, 10, 3), np.uint8),
        np.zeros((10, 20, 3), np.float32),
        np.zeros((10, 20), np.uint8),
    ):
        with pytest.raises(ImageError, match=r"not uint8 \(10, 20, 3\)"):
            box.inner.stage(wrong)
    with pytest.raises(ImageError, match="image is"):
        box.inner.set_size(0, 20, box.stream)
    box.close()


def test_whole_numbers_in_half_precision_become_bytes(gpu: Gpu) -> None:
    values = np.array([*range(256), -0.0, -3, np.nan, np.inf, -np.inf, 65504], np.float16)
    box = Box(gpu, Letterbox(8, 8))
    source, target = DeviceBuffer(gpu, values.nbytes), DeviceBuffer(gpu, values.size)
    there, back = PinnedArray(gpu, values.shape, np.float16), PinnedArray(gpu, values.shape, np.uint8)
    there.array[:] = values
    box.stream.upload(source, there)
    box.inner.enqueue_narrow(source, target, box.stream)
    box.stream.download(back, target)
    box.stream.synchronize()
    np.testing.assert_array_equal(back.array, [*range(256), 0, 0, 0, 0, 0, 0])
    for held in (source, target, there, back):
        held.close()
    box.close()


def test_ptx_is_made_from_the_source(repo_root: Path) -> None:
    if kernels.nvrtc() is None:
        pytest.skip("NVRTC is not installed (torch brings it)")
    folder = repo_root / kernels.KERNELS
    made = kernels.compile_ptx((folder / "image.cu").read_text())
    kept = (folder / "image.ptx").read_text()
    # Registers may be named otherwise by another version of the compiler; what they do is compared.
    assert re.findall(r"\.param \.\w+ \w+", made) == re.findall(r"\.param \.\w+ \w+", kept)
    instructions = [re.sub(r"%\w+|\$\w+", "", text) for text in (made, kept)]
    assert instructions[0] == instructions[1]


@pytest.mark.parametrize("target", kernels.TARGETS)
def test_ptx_can_be_translated_for_each_gpu(repo_root: Path, tmp_path: Path, target: str) -> None:
    if not kernels.assemblers():
        pytest.skip("ptxas is not installed (torch and triton bring it)")
    done, said = kernels.assemble(repo_root / kernels.KERNELS / "image.ptx", target, tmp_path / "image.cubin")
    if (
        not done
        and re.search("is not defined for option|unknown|not supported", said)
        and "error" not in said
    ):
        pytest.skip(f"no assembler here knows {target}")
    assert done, said
    assert (tmp_path / "image.cubin").stat().st_size > 1000


def test_arguments_are_passed_as_the_kernel_takes_them(repo_root: Path) -> None:
    ptx = (repo_root / kernels.KERNELS / "image.ptx").read_text()
    for name, widths in {
        "letterbox": [c_uint64] * 3 + [c_int] * 9,
        "narrow": [c_uint64] * 2 + [c_int],
    }.items():
        found = re.findall(rf"\.param \.u(\d+) {name}_param", ptx)
        assert [int(bits) // 8 for bits in found] == [8 if w is c_uint64 else 4 for w in widths]
