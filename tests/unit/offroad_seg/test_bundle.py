# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
import pickle

import pytest

from offroad_seg.bundle import Bundle, compile_command, find_portable, write_bundle
from offroad_seg.errors import BundleError, InputError
from offroad_seg.manifest import Manifest
from offroad_seg.ontology import load_ontology


def manifest(**changes) -> Manifest:
    fields = {
        "name": "test",
        "ontology": load_ontology("duality_desert").to_dict(),
        "input_height": 32,
        "input_width": 48,
        "mean": (0.5, 0.5, 0.5),
        "std": (0.2, 0.2, 0.2),
        "pad_value": 114,
        "precision": "fp32",
        "backend": "portable",
        "backends": ("onnxruntime",),
    }
    return Manifest(**{**fields, **changes})


@pytest.fixture
def bundle(tmp_path):
    return write_bundle(tmp_path / "b", manifest(), {"model.onnx": b"0123456789"})


def test_round_trip(bundle):
    again = Bundle.load(bundle.path)
    assert again == bundle
    assert again.ontology.n_classes == 10
    assert (again.letterbox.height, again.letterbox.width) == (32, 48)
    assert again.file("model.onnx").read_bytes() == b"0123456789"


def test_a_changed_byte_is_refused_with_the_command_that_mends_it(bundle):
    path = bundle.path / "model.onnx"
    path.write_bytes(b"0123456780")
    with pytest.raises(BundleError, match=r"model\.onnx was changed") as error:
        Bundle.load(bundle.path)
    assert "offroad-seg export" in error.value.mend


def test_a_missing_and_a_stray_file_are_refused(bundle):
    (bundle.path / "extra.bin").write_bytes(b"x")
    with pytest.raises(BundleError, match=r"does not list: extra\.bin"):
        Bundle.load(bundle.path)
    (bundle.path / "extra.bin").unlink()
    (bundle.path / "model.onnx").unlink()
    with pytest.raises(BundleError, match=r"model\.onnx is missing"):
        Bundle.load(bundle.path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema_version": 99}, "schema 99"),
        ({"input_height": -3}, "input_height"),
        ({"input_width": 3.5}, "input_width"),
        ({"std": [0.0, 1, 1]}, "std"),
        ({"mean": [0.1, 0.2]}, "mean"),
        ({"temperature": 0}, "temperature"),
        ({"precision": "fp64"}, "precision"),
        ({"channel_order": "bgr"}, "channel_order"),
        ({"surprise": 1}, "unknown fields surprise"),
        ({"files": {"../evil": "00"}}, "not a name"),
        ({"files": []}, "files"),
        ({"ontology": {"name": "x"}}, "classes"),
    ],
)
def test_a_manifest_edited_by_hand_is_refused(bundle, change, message):
    path = bundle.path / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(BundleError, match=message):
        Bundle.load(bundle.path)


def test_a_manifest_without_a_field_or_that_is_not_json_is_refused(bundle):
    path = bundle.path / "manifest.json"
    data = json.loads(path.read_text())
    del data["parity"]
    path.write_text(json.dumps(data))
    with pytest.raises(BundleError, match="lacks parity"):
        Bundle.load(bundle.path)
    path.write_text("{")
    with pytest.raises(BundleError, match="not JSON"):
        Bundle.load(bundle.path)


def test_a_pickle_or_checkpoint_is_refused_and_never_opened(tmp_path):
    trap = tmp_path / "model.ckpt"

    class Bomb:
        def __reduce__(self):
            return (tmp_path.joinpath("exploded").touch, ())

    trap.write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(BundleError, match="never opened at run time") as error:
        Bundle.load(trap)
    assert f"offroad-seg export {trap}" in error.value.mend
    assert not (tmp_path / "exploded").exists()


def test_missing_and_empty_folders_are_named(tmp_path):
    with pytest.raises(BundleError, match="no such bundle"):
        Bundle.load(tmp_path / "nowhere")
    with pytest.raises(BundleError, match=r"no manifest\.json"):
        Bundle.load(tmp_path)


def test_writing_refuses_a_full_folder_and_harms_nothing(bundle):
    before = sorted(p.read_bytes() for p in bundle.path.iterdir())
    with pytest.raises(InputError, match="not empty"):
        write_bundle(bundle.path, manifest(), {"model.onnx": b"new"})
    assert sorted(p.read_bytes() for p in bundle.path.iterdir()) == before
    write_bundle(bundle.path, manifest(), {"model.onnx": b"new"}, overwrite=True)
    assert Bundle.load(bundle.path).file("model.onnx").read_bytes() == b"new"


def test_a_write_that_fails_leaves_nothing(tmp_path):
    with pytest.raises(FileNotFoundError):
        write_bundle(tmp_path / "b", manifest(), {"model.onnx": tmp_path / "missing.onnx"})
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_not_there_is_named_with_what_can_run(bundle):
    with pytest.raises(BundleError, match=r"holds no model\.plan") as error:
        bundle.file("model.plan")
    assert "onnxruntime" in error.value.mend


def test_a_link_that_leads_out_of_the_bundle_is_refused(bundle, tmp_path):
    outside = tmp_path / "elsewhere.onnx"
    (bundle.path / "model.onnx").rename(outside)
    (bundle.path / "model.onnx").symlink_to(outside)
    with pytest.raises(BundleError, match=r"model\.onnx is a link that leads out of the bundle") as error:
        Bundle.load(bundle.path)
    assert "cp -rL" in error.value.mend
    (bundle.path / "model.onnx").unlink()
    outside.rename(bundle.path / "model.onnx")
    manifest_file = bundle.path / "manifest.json"
    manifest_file.rename(tmp_path / "m.json")
    manifest_file.symlink_to(tmp_path / "m.json")
    with pytest.raises(BundleError, match=r"manifest\.json is a link"):
        Bundle.load(bundle.path)


def test_a_link_to_the_bundle_itself_is_fine(bundle, tmp_path):
    (tmp_path / "current").symlink_to(bundle.path, target_is_directory=True)
    assert Bundle.load(tmp_path / "current").manifest == bundle.manifest


def test_a_folder_and_a_dangling_link_are_no_files(bundle):
    (bundle.path / "folder").mkdir()
    with pytest.raises(BundleError, match="does not list: folder"):
        Bundle.load(bundle.path)
    (bundle.path / "folder").rmdir()
    (bundle.path / "model.onnx").unlink()
    (bundle.path / "model.onnx").symlink_to("nowhere")
    with pytest.raises(BundleError, match=r"model\.onnx is missing"):
        Bundle.load(bundle.path)


def test_class_count_must_fit_the_ontology(tmp_path):
    with pytest.raises(
        BundleError, match="tells 11 classes apart, and the ontology 'duality_desert' names 10"
    ):
        write_bundle(tmp_path / "b", manifest(n_classes=11), {"model.onnx": b"0"})
    assert list(tmp_path.iterdir()) == []
    assert write_bundle(tmp_path / "b", manifest(n_classes=10), {"model.onnx": b"0"})


def test_command_that_mends_an_engine_names_everything(bundle, tmp_path):
    assert compile_command(bundle, "tensorrt") == (
        f"offroad-seg compile {bundle.path} --backend tensorrt --precision fp16 --out {bundle.path}-tensorrt"
    )
    (tmp_path / "my engines").mkdir()
    built = manifest(
        backend="tensorrt",
        backends=("tensorrt",),
        precision="fp16",
        source={"portable_digest": bundle.manifest.digest},
    )
    engine = write_bundle(tmp_path / "my engines" / "e", built, {"model.plan": b"0"})
    # The portable bundle lies elsewhere, and is not known.
    assert compile_command(engine) == (
        "offroad-seg compile PORTABLE_BUNDLE --backend tensorrt --precision fp16 "
        f"--out '{engine.path}' --overwrite"
    )
    beside = write_bundle(tmp_path / "engine", built, {"model.plan": b"0"})
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "manifest.json").write_text("{")
    assert find_portable(beside) == bundle.path
    assert compile_command(beside).startswith(f"offroad-seg compile {bundle.path} --backend tensorrt ")
    assert "--backend onnxruntime --precision fp32" in compile_command(beside, "onnxruntime")
