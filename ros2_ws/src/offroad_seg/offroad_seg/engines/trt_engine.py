# SPDX-License-Identifier: Apache-2.0
"""A plan on the GPU: one implementation for TensorRT and TensorRT-RTX, which share their run time's interface.

All memory is taken when the engine is loaded, none for a frame. A frame is one copy into pinned memory, one launch of a
recorded CUDA graph (upload, letterbox, network, download) on a stream of its own, and one wait.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import numpy as np

from offroad_seg.engines.base import INPUT, OOD_OUTPUT, OUTPUTS, EngineInfo, EngineOutput, check_input
from offroad_seg.engines.cuda import DeviceBuffer, Gpu, PinnedArray, Stream
from offroad_seg.engines.cuda_driver import out_of_memory
from offroad_seg.engines.gpu_letterbox import GpuLetterbox
from offroad_seg.engines.trt_log import LogBook, make_logger
from offroad_seg.engines.trt_plan import LOGIT_SUM, check_gpu, check_version, deserialize, read_tensors
from offroad_seg.errors import EngineError, GpuMemoryError, ImageError, InputError

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

    from numpy.typing import NDArray

    from offroad_seg.bundle import Bundle
    from offroad_seg.engines.cuda import Graph
    from offroad_seg.engines.trt_plan import PlanTensor

    U8 = NDArray[np.uint8]

_LOG = logging.getLogger(__name__)


class TrtEngine:
    """``InferenceEngine`` over a plan, which also takes images that are not yet letterboxed.

    Args:
        bundle: A verified bundle with ``model.plan``.
        trt: ``tensorrt`` or ``tensorrt_rtx``.
        name: Of the back end, and of the package in the manifest's versions.
        device: ``cuda`` or ``auto``.
        gpu: Where it runs; None takes the first that is visible. The engine closes it.
        use_graph: Record the work of a frame and launch it as one; off only to compare.

    Attributes:
        info: What really runs.
        graphs: What is recorded: ``pixels``, ``image 1280×720`` for each size of image; nothing where it could not be.

    Raises:
        InputError: A CPU is asked for.
        BundleError: The plan does not fit this GPU, this version, or the manifest.
        GpuMemoryError: The GPU has no room for it.
        EngineError: There is no GPU, or the run time failed.
    """

    info: EngineInfo
    _stream: Stream
    _letterbox: GpuLetterbox
    _pixels: PinnedArray
    _output: EngineOutput

    def __init__(
        self,
        bundle: Bundle,
        trt: ModuleType,
        name: str,
        *,
        device: str = "auto",
        gpu: Gpu | None = None,
        use_graph: bool = True,
    ) -> None:
        self.name = name
        self._trt: Any = trt
        self._runtime: Any = None
        self._engine: Any = None
        self._context: Any = None
        self._called = f"{name} {self._trt.__version__}"
        self._where = str(bundle.path)
        self._use_graph = use_graph
        self._held: list[Any] = []
        self._shape = (1, bundle.manifest.input_height, bundle.manifest.input_width, 3)
        self._graphs: dict[str, Graph] = {}
        self._gpu: Gpu | None = gpu
        try:
            if device == "cpu":
                raise InputError(
                    f"{name} runs on a GPU only",
                    where="device cpu",
                    mend="device auto, or backend onnxruntime",
                )
            check_version(bundle, name, self._trt.__version__)
            self._gpu = found = gpu or Gpu()
            check_gpu(bundle, found.name, found.compute_capability)
            self._open(bundle, found)
        except BaseException:
            self.close()
            raise
        self.info = EngineInfo(
            backend=name,
            version=self._trt.__version__,
            device=found.name,
            precision=bundle.manifest.precision,
        )

    @property
    def graphs(self) -> tuple[str, ...]:
        """See the class."""
        return tuple(self._graphs)

    def infer(self, image_BHWC: U8) -> EngineOutput:
        """See ``InferenceEngine.infer``.

        Raises:
            EngineError: The pixels do not fit, the engine is closed, or the run time failed.
        """
        gpu = self._ready()
        pixels = check_input(image_BHWC, self._shape)
        gpu.use()
        np.copyto(self._pixels.array, pixels)
        self._launch("pixels", self._enqueue_pixels)
        return self._finish()

    def infer_image(self, image_HWC: U8) -> EngineOutput:
        """Letterbox on the GPU, and run: the same result as ``infer`` of the letterboxed image.

        Args:
            image_HWC: uint8 RGB of any size, as the camera gave it. It goes to the GPU once.

        Raises:
            ImageError: Not uint8 RGB.
            EngineError: The engine is closed, or the run time failed.
        """
        gpu = self._ready()
        if image_HWC.dtype != np.uint8 or image_HWC.ndim != 3 or image_HWC.shape[2] != 3:
            raise ImageError(f"an image is uint8 (H, W, 3), not {image_HWC.dtype} {image_HWC.shape}")
        gpu.use()
        height, width = image_HWC.shape[:2]
        if (height, width) != self._letterbox.size:
            dropped = self._letterbox.set_size(height, width, self._stream)
            if dropped is not None and (recorded := self._graphs.pop(_graph_of(*dropped), None)):
                recorded.close()
        self._letterbox.stage(image_HWC)
        self._launch(_graph_of(height, width), self._enqueue_image)
        return self._finish()

    def inspect(self) -> str:
        """The engine's layers, as the run time's inspector tells them."""
        self._ready()
        inspector = self._engine.create_engine_inspector()
        text: str = inspector.get_engine_information(self._trt.LayerInformationFormat.JSON)
        return text

    def close(self) -> None:
        """Free the GPU's memory; safe to call twice."""
        if self._gpu is None:
            return
        # What an interrupted frame left under way still writes into this memory.
        self._gpu.settle()
        for graph in self._graphs.values():
            graph.close()
        self._graphs.clear()
        # The context before its engine, the engine before its run time.
        self._context = self._engine = self._runtime = None
        for held in reversed(self._held):
            held.close()
        self._held.clear()
        self._gpu.close()
        self._gpu = None

    def _make_context(self) -> Any:
        """The execution context, which takes the memory for intermediate results."""
        return self._engine.create_execution_context()

    def _open(self, bundle: Bundle, gpu: Gpu) -> None:
        self._book = LogBook()
        self._logger = make_logger(self._trt, self._book)
        self._runtime = self._trt.Runtime(self._logger)
        self._engine = deserialize(self._runtime, bundle, self._book, called=self._called)
        tensors = read_tensors(self._trt, self._engine, bundle)
        self._context = self._make_context()
        if self._context is None:
            needed = getattr(self._engine, "device_memory_size_v2", None)
            raise self._failed("could not be loaded", needed)
        self._stream = self._hold(Stream(gpu))
        self._letterbox = self._hold(GpuLetterbox(gpu, bundle.letterbox))
        self._pixels = self._hold(PinnedArray(gpu, self._shape, np.uint8))
        self._device: dict[str, DeviceBuffer] = {}
        self._bytes: dict[str, DeviceBuffer] = {}
        self._host: dict[str, PinnedArray] = {}
        for name, tensor in tensors.items():
            self._bind(gpu, name, tensor)
        arrays = {name: pinned.array for name, pinned in self._host.items()}
        labels, confidence, mean = (arrays[name] for name in OUTPUTS)
        self._output = EngineOutput(labels, confidence, mean, arrays.get(OOD_OUTPUT))
        # Lazy loading of kernels, and what the run time compiles at first, must not fall into the first frame.
        self._pixels.array.fill(bundle.letterbox.pad_value)
        # A recorded graph goes up to the GPU with its first launch: hence twice.
        for _ in range(2):
            self._launch("pixels", self._enqueue_pixels)
            self._stream.synchronize()

    def _bind(self, gpu: Gpu, name: str, tensor: PlanTensor) -> None:
        buffer = self._device[name] = self._hold(DeviceBuffer(gpu, tensor.nbytes))
        if not self._context.set_tensor_address(tensor.name, buffer.address):
            raise EngineError(f"{self._called} does not take memory for '{name}'", where=self._where)
        if name == INPUT:
            return
        kind = np.float32 if tensor.dtype == np.float32 else np.uint8
        pinned = self._host[name] = self._hold(PinnedArray(gpu, tensor.shape, kind))
        if tensor.dtype == np.float16:
            self._bytes[name] = self._hold(DeviceBuffer(gpu, pinned.nbytes))

    def _hold(self, thing: Any) -> Any:
        self._held.append(thing)
        return thing

    def _ready(self) -> Gpu:
        if self._gpu is None:
            raise EngineError("the engine is closed", mend="load it again")
        return self._gpu

    def _launch(self, kind: str, enqueue: Callable[[], None]) -> None:
        """Launch what is recorded; else do it, and record it for the next time."""
        recorded = self._graphs.get(kind)
        if recorded is not None:
            recorded.launch(self._stream)
            return
        # TensorRT wants to have run once before it is recorded.
        enqueue()
        if not self._use_graph:
            return
        self._stream.synchronize()
        # TensorRT for RTX says beforehand whether it takes memory while it runs, which cannot be recorded.
        can_record = getattr(self._context, "is_stream_capturable", None)
        try:
            if can_record is not None and not can_record(self._stream.handle):
                raise EngineError("the run time says so")
            self._graphs[kind] = self._stream.capture(enqueue)
        except GpuMemoryError:
            raise
        except EngineError as error:
            self._use_graph = False
            _LOG.info(
                "the work of a frame cannot be recorded as a CUDA graph (%s); it is launched piece by piece",
                error.what,
            )

    def _enqueue_pixels(self) -> None:
        self._stream.upload(self._device[INPUT], self._pixels)
        self._enqueue_network()

    def _enqueue_image(self) -> None:
        self._letterbox.enqueue(self._device[INPUT], self._stream)
        self._enqueue_network()

    def _enqueue_network(self) -> None:
        if not self._context.execute_async_v3(self._stream.handle):
            raise self._failed("failed")
        for name, pinned in self._host.items():
            source = self._device[name]
            if name in self._bytes:
                self._letterbox.enqueue_narrow(source, self._bytes[name], self._stream)
                source = self._bytes[name]
            self._stream.download(pinned, source)

    def _finish(self) -> EngineOutput:
        self._stream.synchronize()
        # The graph says so by itself, unless the run time reckoned as if there were no NaN.
        if not np.isfinite(self._host[LOGIT_SUM].array).all():
            self._output.mean_confidence_B.fill(np.nan)
        return self._output

    def _failed(self, what: str, needed: int | None = None) -> EngineError:
        # Told once: an error that was got over must not be taken for the cause of a later one.
        cause, asked_for = self._book.cause(), self._book.bytes_asked
        ran_out = self._book.out_of_memory
        self._book.errors.clear()
        memory = None if self._gpu is None else self._gpu.driver.memory()
        short = needed is not None and memory is not None and needed > memory[0]
        if short or ran_out:
            asked = asked_for or needed
            return out_of_memory(
                f"{self._called} {what}: the GPU has no room", asked, memory, where=self._where
            )
        return EngineError(
            f"{self._called} {what}: {cause}",
            where=self._where,
            mend="load the engine again; where that does not help, compile it again on this machine",
        )


def _graph_of(height: int, width: int) -> str:
    return f"image {width}×{height}"
