# SPDX-License-Identifier: Apache-2.0
"""The driver layer, the kernels and an engine on a real GPU: what the other tests show on a driver without one.

    pytest -m gpu tests/unit/offroad_seg/engines

Nothing but NVIDIA's driver is needed for most of it; TensorRT for RTX where it is installed and supports the GPU.
"""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from offroad_seg.bundle import write_bundle
from offroad_seg.compile.compiler import CompileOptions, compile_bundle
from offroad_seg.engines.base import ImageEngine
from offroad_seg.engines.cuda import DeviceBuffer, Gpu, PinnedArray, Stream, why_no_gpu
from offroad_seg.engines.gpu_letterbox import GpuLetterbox
from offroad_seg.engines.registry import available_backends, load_engine
from offroad_seg.errors import BundleError, GpuMemoryError
from offroad_seg.image import Letterbox
from offroad_seg.ontology import load_ontology
from tests.helpers.bundles import make_color_bundle

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.gpu
SIZES = [
    ((1080, 1920), (266, 476)),
    ((720, 1280), (544, 960)),
    ((540, 960), (270, 480)),
    ((37, 91), (45, 77)),
]


@pytest.fixture
def real() -> Iterator[Gpu]:
    gpu = Gpu()
    yield gpu
    gpu.close()
    gpu.close()


def test_it_says_what_it_is(real: Gpu) -> None:
    free, total = real.memory()
    assert 0 < free <= total
    assert real.name
    assert float(real.compute_capability) >= 7.5
    assert why_no_gpu() == ""
    real.use()  # the question above gave its own context back, and took this thread's with it


@pytest.mark.parametrize(("source", "target"), SIZES)
@pytest.mark.parametrize("recorded", [False, True])
def test_letterbox_gives_the_bytes_of_the_host(
    real: Gpu, source: tuple[int, int], target: tuple[int, int], recorded: bool
) -> None:
    letterbox, stream = Letterbox(*target), Stream(real)
    box = GpuLetterbox(real, letterbox)
    there, back = DeviceBuffer(real, 3 * target[0] * target[1]), PinnedArray(real, (*target, 3), np.uint8)
    box.set_size(*source, stream)

    def work() -> None:
        box.enqueue(there, stream)
        stream.download(back, there)

    work()
    stream.synchronize()
    graph = stream.capture(work) if recorded else None
    for seed in range(3):
        image = np.random.default_rng(seed).integers(0, 256, (*source, 3), np.uint8)
        box.stage(image)
        work() if graph is None else graph.launch(stream)
        stream.synchronize()
        np.testing.assert_array_equal(back.array, letterbox.apply(image))
    for held in (graph, box, stream, there, back):
        if held is not None:
            held.close()


def test_whole_numbers_in_half_precision_become_bytes(real: Gpu) -> None:
    values = np.array([*range(256), -3, np.nan, np.inf], np.float16)
    box, stream = GpuLetterbox(real, Letterbox(8, 8)), Stream(real)
    source, target = DeviceBuffer(real, values.nbytes), DeviceBuffer(real, values.size)
    there, back = PinnedArray(real, values.shape, np.float16), PinnedArray(real, values.shape, np.uint8)
    there.array[:] = values
    stream.upload(source, there)
    box.enqueue_narrow(source, target, stream)
    stream.download(back, target)
    stream.synchronize()
    np.testing.assert_array_equal(back.array, [*range(256), 0, 0, 0])
    for held in (box, stream, source, target, there, back):
        held.close()


def test_memory_comes_back_and_too_much_is_refused(real: Gpu) -> None:
    DeviceBuffer(real, 1 << 20).close()
    before, total = real.memory()
    for _ in range(50):
        DeviceBuffer(real, 64 << 20).close()
    assert before - real.memory()[0] < 64 << 20
    with pytest.raises(GpuMemoryError, match=r"MiB were asked for, \d+ MiB of \d+ MiB are free"):
        DeviceBuffer(real, 2 * total)
    DeviceBuffer(real, 1 << 20).close()  # it is no fault that stays


def test_another_thread_and_torch_beside_it(real: Gpu) -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed")
    if not torch.cuda.is_available():
        pytest.skip("this torch cannot use the GPU")
    mine = torch.ones(1000, device="cuda")
    failed: list[BaseException] = []

    def work() -> None:
        try:
            gpu = Gpu()
            stream, memory = Stream(gpu), DeviceBuffer(gpu, 1 << 20)
            stream.synchronize()
            memory.close()
            stream.close()
            gpu.close()
            assert (
                float(torch.ones(10, device="cuda").sum()) == 10
            )  # after its context was taken from this thread
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert failed == []
    Gpu().close()
    assert float(mine.sum()) == 1000


@pytest.mark.parametrize("backend", ["tensorrt", "tensorrt-rtx"])
def test_engine_is_built_and_agrees(tmp_path: Path, backend: str) -> None:
    if (reason := available_backends()[backend]) != "ok":
        pytest.skip(reason)
    ontology = load_ontology("duality_desert")
    portable = make_color_bundle(tmp_path / "portable", ontology, 45, 77)
    bundle = compile_bundle(portable, tmp_path / "engine", CompileOptions(backend, "fp16"))
    engine, host = load_engine(bundle), load_engine(portable, "onnxruntime", "cpu")
    assert isinstance(engine, ImageEngine)
    for seed in range(4):
        labels = np.random.default_rng(seed).integers(0, ontology.n_classes, (90, 160)).astype(np.uint8)
        image = ontology.colorize(labels)
        ours = engine.infer_image(image)
        theirs = host.infer(portable.letterbox.apply(image)[None])
        assert (ours.labels_BHW == theirs.labels_BHW).mean() >= 0.995
    engine.close()
    host.close()
    wrong = replace(bundle.manifest, versions={**bundle.manifest.versions, backend: "0.0"})
    with pytest.raises(BundleError, match="built by"):
        load_engine(write_bundle(tmp_path / "wrong", wrong, {"model.plan": bundle.path / "model.plan"}))
