# SPDX-License-Identifier: Apache-2.0
"""torch runs exported programs, and unpickles nothing."""

from __future__ import annotations

import io
import os
import shutil
import zipfile
from typing import TYPE_CHECKING

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")

from offroad_seg.bundle import Bundle, write_bundle  # noqa: E402
from offroad_seg.engines.registry import load_engine  # noqa: E402
from offroad_seg.engines.torch import TorchEngine, check_no_pickle  # noqa: E402
from offroad_seg.errors import BundleError, EngineError  # noqa: E402
from tests.helpers.portable import HEIGHT, WIDTH, make_portable  # noqa: E402

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return make_portable(tmp_path_factory.mktemp("torch"))[1]


def test_info_and_life(bundle: Bundle) -> None:
    engine = TorchEngine(bundle, device="cpu")
    assert (engine.info.backend, engine.info.device, engine.info.version) == (
        "torch",
        "cpu",
        torch.__version__,
    )
    image = np.full((1, HEIGHT, WIDTH, 3), 90, np.uint8)
    first = engine.infer(image)
    image.setflags(write=False)
    np.testing.assert_array_equal(engine.infer(image).labels_BHW, first.labels_BHW)
    with pytest.raises(EngineError, match="the engine takes uint8"):
        engine.infer(np.zeros((1, WIDTH, HEIGHT, 3), np.uint8))
    engine.close()
    engine.close()
    with pytest.raises(EngineError, match="closed"):
        engine.infer(image)


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_cuda_is_refused_where_there_is_none(bundle: Bundle) -> None:
    with pytest.raises(EngineError, match="no CUDA device"):
        TorchEngine(bundle, device="cuda")


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs g++ on a CPU")
def test_compiled_says_the_same(bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    image = np.random.default_rng(1).integers(0, 256, (1, HEIGHT, WIDTH, 3), np.uint8)
    eager, compiled = load_engine(bundle, "torch", "cpu"), load_engine(bundle, "torch-compiled", "cpu")
    expected, found = eager.infer(image), compiled.infer(image)
    assert (found.labels_BHW == expected.labels_BHW).mean() >= 0.999
    assert np.abs(found.confidence_BHW.astype(int) - expected.confidence_BHW).max() <= 1
    assert compiled.info.backend == "torch-compiled"
    assert any(tmp_path.rglob("*"))  # something was compiled
    compiled.close()
    eager.close()


def test_program_that_cannot_be_compiled(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_compiler(*_: object, **__: object) -> object:
        def run(_: object) -> object:
            raise TypeError("no working C++ compiler")

        return run

    monkeypatch.setattr(torch, "compile", no_compiler)
    with pytest.raises(EngineError, match=r"cannot compile the program: no working C\+\+ compiler") as caught:
        load_engine(bundle, "torch-compiled", "cpu")
    assert "backend torch" in caught.value.mend


class Evil:
    """Unpickling it leaves a trace."""

    def __init__(self, trace: str) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (self.trace,)


def with_entry(bundle: Bundle, name: str, data: bytes) -> bytes:
    """The bundle's program with one entry of its archive replaced or added."""
    stream = io.BytesIO()
    with zipfile.ZipFile(bundle.file("model.pt2")) as old, zipfile.ZipFile(stream, "w") as new:
        for entry in old.infolist():
            if not entry.filename.endswith(name):
                new.writestr(entry, old.read(entry))
        top = old.namelist()[0].partition("/")[0]
        new.writestr(f"{top}/{name}", data)
    return stream.getvalue()


def test_pickled_sample_inputs_are_refused_before_they_are_opened(tmp_path: Path, bundle: Bundle) -> None:
    payload = io.BytesIO()
    torch.save(Evil(str(tmp_path / "trace")), payload)
    program = with_entry(bundle, "data/sample_inputs/model.pt", payload.getvalue())
    # The same archive does run code where torch loads it unguarded: the refusal is what protects.
    (tmp_path / "evil.pt2").write_bytes(program)
    with pytest.raises(Exception, match="expected tuple or dict"):
        torch.export.load(tmp_path / "evil.pt2")
    assert (tmp_path / "trace").is_dir()
    (tmp_path / "trace").rmdir()
    evil = write_bundle(tmp_path / "evil", bundle.manifest, {"model.pt2": program})
    with pytest.raises(BundleError, match=r"holds a pickle \(data/sample_inputs/model\.pt\)"):
        TorchEngine(evil)
    assert not (tmp_path / "trace").exists()


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("data/weights/model.pt", b"x"),
        ("data/constants/custom_obj_0", b"x"),
        (
            "data/weights/model_weights_config.json",
            b'{"config": {"a": {"path_name": "w", "use_pickle": true}}}',
        ),
        ("data/constants/model_constants_config.json", b'{"config": {"a": {"path_name": "tensor_0"}}}'),
    ],
)
def test_every_other_place_for_a_pickle_is_refused(
    tmp_path: Path, bundle: Bundle, name: str, data: bytes
) -> None:
    (tmp_path / "a.pt2").write_bytes(with_entry(bundle, name, data))
    with pytest.raises(BundleError, match="holds a pickle"):
        check_no_pickle(tmp_path / "a.pt2")


def test_damaged_archives_are_refused(tmp_path: Path, bundle: Bundle) -> None:
    (tmp_path / "a.pt2").write_bytes(bundle.file("model.pt2").read_bytes()[:-300])
    with pytest.raises(BundleError, match="damaged"):
        check_no_pickle(tmp_path / "a.pt2")
    (tmp_path / "b.pt2").write_bytes(with_entry(bundle, "data/weights/model_weights_config.json", b"[1]"))
    with pytest.raises(BundleError, match="damaged"):
        check_no_pickle(tmp_path / "b.pt2")


def test_archive_that_is_no_program(tmp_path: Path, bundle: Bundle) -> None:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("archive/readme.txt", "hello")
    empty = write_bundle(tmp_path / "empty", bundle.manifest, {"model.pt2": stream.getvalue()})
    with pytest.raises(EngineError, match="cannot load the program"):
        TorchEngine(empty, device="cpu")
