# SPDX-License-Identifier: Apache-2.0
"""Engines that were built before are found again, and only where everything is the same."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from offroad_seg.bundle import Bundle
from offroad_seg.compile import cache
from offroad_seg.compile.builder import Built, Plan
from offroad_seg.compile.compiler import CompileOptions, compile_bundle, find_cached
from offroad_seg.compile.onnxruntime_builder import OnnxRuntimeBuilder
from offroad_seg.errors import InputError
from offroad_seg.ontology import load_ontology
from tests.helpers.bundles import make_color_bundle

HEIGHT, WIDTH = 18, 32
DESERT = load_ontology("duality_desert")


class CountingBuilder(OnnxRuntimeBuilder):
    """The real builder; says how often it built, and takes its plan from the test."""

    builds = 0
    change: dict = {}  # noqa: RUF012

    def plan(self, bundle: Bundle, precision: str) -> Plan:
        return replace(super().plan(bundle, precision), **self.change)

    def build(self, *args: object) -> Built:
        type(self).builds += 1
        return super().build(*args)  # type: ignore[arg-type]


@pytest.fixture
def builder(monkeypatch: pytest.MonkeyPatch) -> type[CountingBuilder]:
    CountingBuilder.builds, CountingBuilder.change = 0, {}
    monkeypatch.setattr("offroad_seg.compile.compiler.find_builder", lambda *_: CountingBuilder())
    return CountingBuilder


@pytest.fixture
def portable(tmp_path: Path) -> Bundle:
    return make_color_bundle(tmp_path / "portable", DESERT, HEIGHT, WIDTH)


@pytest.fixture
def options(tmp_path: Path) -> CompileOptions:
    return CompileOptions("onnxruntime", cache=tmp_path / "cache")


def test_second_compile_takes_the_engine_from_the_cache(
    tmp_path: Path,
    portable: Bundle,
    options: CompileOptions,
    builder: type[CountingBuilder],
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    assert find_cached(portable, options) is None
    first = compile_bundle(portable, tmp_path / "first", options)
    assert "taken from the cache" not in caplog.text
    second = compile_bundle(portable, tmp_path / "second", options)
    assert "taken from the cache, where it passed the gate on these pictures" in caplog.text
    assert builder.builds == 1
    assert first.manifest == second.manifest
    kept = compile_bundle(portable, None, options)
    assert kept.path == find_cached(portable, options)
    assert kept.manifest == first.manifest
    assert [engine.path for engine in cache.engines_of(tmp_path / "cache", portable.manifest.digest)] == [
        kept.path
    ]
    assert cache.engines_of(tmp_path / "cache", first.manifest.digest) == []


def test_other_pictures_run_only_the_gate(
    tmp_path: Path, portable: Bundle, options: CompileOptions, builder: type[CountingBuilder]
) -> None:
    compile_bundle(portable, tmp_path / "first", options)
    (tmp_path / "images").mkdir()
    cv2.imwrite(str(tmp_path / "images" / "a.png"), np.zeros((30, 60, 3), np.uint8))
    real = compile_bundle(portable, tmp_path / "real", replace(options, images=tmp_path / "images"))
    assert real.manifest.parity["onnxruntime"]["source"] == "real"
    assert builder.builds == 1


@pytest.mark.parametrize(
    "change",
    [
        {"bound_to": {"gpu": "another", "driver": "1"}},
        {"versions": {"onnxruntime": "0.0.1"}},
        {"precision": "int8"},
        {"backend": "other"},
    ],
)
def test_another_gpu_driver_version_precision_or_back_end_is_another_engine(
    tmp_path: Path, portable: Bundle, builder: type[CountingBuilder], change: dict
) -> None:
    plan = builder().plan(portable, "fp32")
    assert cache.entry_path(tmp_path, portable, plan) == cache.entry_path(tmp_path, portable, plan)
    assert cache.entry_path(tmp_path, portable, plan) != cache.entry_path(
        tmp_path, portable, replace(plan, **change)
    )


def test_another_bundle_is_another_engine(
    tmp_path: Path, portable: Bundle, options: CompileOptions, builder: type[CountingBuilder]
) -> None:
    compile_bundle(portable, tmp_path / "first", options)
    other = make_color_bundle(tmp_path / "portable2", DESERT, HEIGHT, WIDTH, sharpness=2e-2)
    compile_bundle(other, tmp_path / "second", options)
    assert builder.builds == 2


def test_damaged_entry_is_built_anew(
    tmp_path: Path, portable: Bundle, options: CompileOptions, builder: type[CountingBuilder]
) -> None:
    entry = compile_bundle(portable, None, options).path
    (entry / "model.onnx").write_bytes(b"half")
    assert find_cached(portable, options) is None
    compile_bundle(portable, None, options)
    assert builder.builds == 2
    assert Bundle.load(entry)


def test_cache_that_cannot_be_written_is_done_without(
    tmp_path: Path, portable: Bundle, builder: type[CountingBuilder], caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("in the way")
    options = CompileOptions("onnxruntime", cache=tmp_path / "file" / "cache")
    compile_bundle(portable, tmp_path / "out", options)
    assert "the cache cannot be used" in caplog.text
    with pytest.raises(InputError, match="nowhere to write"):
        compile_bundle(portable, None, options)
    with pytest.raises(InputError, match="nowhere to write"):
        compile_bundle(portable, None, CompileOptions("onnxruntime"))


def test_place_of_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OFFROAD_SEG_CACHE", str(tmp_path))
    assert cache.default_cache() == tmp_path
    monkeypatch.delenv("OFFROAD_SEG_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache.default_cache() == tmp_path / "offroad_seg" / "engines"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache.default_cache() == Path.home() / ".cache" / "offroad_seg" / "engines"
