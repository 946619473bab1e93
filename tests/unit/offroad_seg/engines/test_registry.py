# SPDX-License-Identifier: Apache-2.0
"""Choosing a back end, and refusing what does not fit."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from offroad_seg.engines import registry
from offroad_seg.engines.registry import available_backends, choose_backend, load_engine
from offroad_seg.errors import BundleError, EngineError, InputError
from offroad_seg.ontology import load_ontology
from tests.helpers.bundles import make_color_bundle

if TYPE_CHECKING:
    from pathlib import Path

    from offroad_seg.bundle import Bundle


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return make_color_bundle(tmp_path / "bundle", load_ontology("ai4mars"), 18, 32)


def test_every_back_end_says_whether_it_works() -> None:
    backends = available_backends()
    assert set(backends) == set(registry.ENGINES)
    assert backends["onnxruntime"] == "ok"


def test_portable_bundle_takes_the_first_that_works(bundle: Bundle) -> None:
    assert choose_backend(bundle) == "onnxruntime"
    both = replace(bundle, manifest=replace(bundle.manifest, backends=("torch", "onnxruntime")))
    assert choose_backend(both) == "onnxruntime"
    assert choose_backend(both, "torch") == "torch"
    engine = load_engine(bundle, threads=1)
    assert engine.name == "onnxruntime"
    engine.close()


def test_refusals_name_the_command_that_mends(bundle: Bundle) -> None:
    with pytest.raises(InputError, match="no back end 'openvino'"):
        load_engine(bundle, "openvino")
    with pytest.raises(BundleError, match="does not run with torch, but with onnxruntime") as caught:
        load_engine(bundle, "torch")
    assert "offroad-seg compile" in caught.value.mend
    with pytest.raises(InputError, match="no device 'tpu'"):
        load_engine(bundle, device="tpu")
    with pytest.raises(InputError, match="threads is -1"):
        load_engine(bundle, threads=-1)
    foreign = replace(bundle, manifest=replace(bundle.manifest, backend="neuron", backends=("neuron",)))
    with pytest.raises(BundleError, match="no back end 'neuron'"):
        load_engine(foreign)
    nothing = replace(bundle, manifest=replace(bundle.manifest, backends=("neuron",)))
    with pytest.raises(EngineError, match="no back end on this machine"):
        load_engine(nothing)


def test_nothing_heavy_is_imported_before_an_engine_is_asked_for() -> None:
    code = (
        "import sys, offroad_seg.engines.registry, offroad_seg.engines.onnxruntime, offroad_seg.engines.torch;"
        "bad = {'torch', 'onnxruntime'} & set(sys.modules); sys.exit(str(bad) if bad else 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
