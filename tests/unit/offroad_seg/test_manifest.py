# SPDX-License-Identifier: Apache-2.0
"""Manifests: versions, the digest, and what a hand could do to them."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from typing import TYPE_CHECKING

import pytest

from offroad_seg.errors import BundleError
from offroad_seg.manifest import SCHEMA_VERSION, Manifest, digest_of, schema
from tests.unit.offroad_seg.test_json_schema import valid

if TYPE_CHECKING:
    from pathlib import Path


def text(**changes: object) -> str:
    data = {**valid(SCHEMA_VERSION), **changes}
    return json.dumps({**data, "digest": digest_of(data)})


def test_schema_has_the_fields_of_the_record() -> None:
    assert {f.name for f in fields(Manifest)} | {"digest"} == set(schema()["properties"])
    assert set(schema()["required"]) == set(schema()["properties"])


def test_round_trip() -> None:
    manifest = Manifest.from_json(text())
    assert Manifest.from_json(manifest.to_json()) == manifest
    assert manifest.digest == json.loads(manifest.to_json())["digest"]
    assert replace(manifest, temperature=1.5).digest != manifest.digest


def test_first_version_is_read_and_comes_back_as_the_newest() -> None:
    old = valid(1)
    assert "digest" not in old
    assert "memory_mb" not in old
    manifest = Manifest.from_json(json.dumps(old))
    assert manifest.schema_version == SCHEMA_VERSION
    assert (manifest.memory_mb, manifest.n_classes, manifest.ood) == ({}, None, None)
    assert Manifest.from_json(manifest.to_json()) == manifest
    with pytest.raises(BundleError, match="unknown fields memory_mb"):
        Manifest.from_json(json.dumps({**old, "memory_mb": {}}))


@pytest.mark.parametrize("version", [SCHEMA_VERSION + 1, 99])
def test_newer_schema_says_what_to_do(version: int) -> None:
    with pytest.raises(
        BundleError, match=f"made by a newer offroad-seg: manifest schema {version}"
    ) as caught:
        Manifest.from_json(text(schema_version=version))
    assert "install the newer offroad-seg" in caught.value.mend


@pytest.mark.parametrize("version", [0, "2", 2.5, True, None, [2]])
def test_what_is_no_version(version: object) -> None:
    with pytest.raises(BundleError, match="manifest schema"):
        Manifest.from_json(text(schema_version=version))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("pad_value", 0),
        ("temperature", 2.0),
        ("name", "x"),
        ("gpu", None),
        ("versions", {"tensorrt": "11.0"}),
    ],
)
def test_edit_by_hand_is_found(field: str, value: object) -> None:
    data = json.loads(text())
    data[field] = value
    with pytest.raises(BundleError, match="edited after the bundle was made") as caught:
        Manifest.from_json(json.dumps(data))
    assert "offroad-seg export" in caught.value.mend


def test_cost_of_a_class_edited_by_hand_is_found_and_the_right_way_told() -> None:
    data = json.loads(text())
    data["ontology"]["classes"][0]["traversability"] = 1
    with pytest.raises(BundleError, match="edited") as caught:
        Manifest.from_json(json.dumps(data))
    assert "class_cost.NAME" in caught.value.mend


def test_layout_of_the_file_does_not_matter() -> None:
    data = json.loads(text())
    turned = dict(reversed(list(data.items())))
    assert Manifest.from_json(json.dumps(turned, indent=7, ensure_ascii=True)) == Manifest.from_json(text())


@pytest.mark.parametrize(
    ("written", "complaint"),
    [
        ("{", "not JSON"),
        ("[]", "not a JSON object"),
        ('{"schema_version": 2, "schema_version": 2}', "stands in it twice"),
        ('{"temperature": NaN}', "NaN is no number"),
        ('{"a":' * 100000, "not JSON"),
    ],
)
def test_what_is_no_manifest(written: str, complaint: str) -> None:
    with pytest.raises(BundleError, match=complaint):
        Manifest.from_json(written)


def test_at_most_three_problems_are_listed() -> None:
    bad = text(input_height=-1, input_width=0, pad_value=999, precision="fp8", temperature=0)
    with pytest.raises(BundleError, match="; and 2 more") as caught:
        Manifest.from_json(bad)
    assert "input_height is -1, not at least 1" in caught.value.what


def test_whole_numbers_may_be_written_as_json_likes() -> None:
    manifest = Manifest.from_json(text(input_height=266.0))
    assert manifest.input_height == 266
    assert isinstance(manifest.input_height, int)


def test_package_that_is_not_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    schema.cache_clear()
    monkeypatch.setattr("offroad_seg.manifest.__file__", str(tmp_path / "manifest.py"))
    with pytest.raises(BundleError, match="a file of this package is missing"):
        Manifest.from_json(text())
    schema.cache_clear()


def test_page_says_what_the_schema_says(repo_root: Path) -> None:
    page = (repo_root / "docs" / "bundle.md").read_text(encoding="utf-8")
    rows = [f"| `{name}` | {field['description']} |" for name, field in schema()["properties"].items()]
    assert "\n".join(["| field | what |", "|---|---|", *rows]) in page
