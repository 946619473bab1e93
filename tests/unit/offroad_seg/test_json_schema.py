# SPDX-License-Identifier: Apache-2.0
"""Our own validation says what jsonschema says."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from offroad_seg.json_schema import problems
from offroad_seg.manifest import Manifest, readable_versions, schema
from offroad_seg.ontology import load_ontology

HASH = "0123456789abcdef" * 4


def valid(version: int) -> dict[str, Any]:
    """A manifest with something in every field."""
    manifest = Manifest(
        name="test",
        ontology=load_ontology("ai4mars").to_dict(),
        input_height=32,
        input_width=48,
        mean=(0.5, 0.5, 0.5),
        std=(0.2, 0.2, 0.2),
        pad_value=114,
        precision="fp16",
        backend="tensorrt",
        backends=("tensorrt",),
        versions={"tensorrt": "10.3.0"},
        gpu={"name": "Orin", "compute_capability": "8.7", "driver": "540.4.0"},
        n_classes=4,
        ood={"score": "energy", "threshold": -1.5, "scale": 2.0, "percentile": 99.0},
        files={"model.plan": HASH},
    )
    data = json.loads(manifest.to_json())
    known = schema(version)["properties"]
    return {**{k: v for k, v in data.items() if k in known}, "schema_version": version}


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place in a value, from the whole to the leaves."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(p for key, item in items for p in places(item, (*path, key)))]


leaves = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 20000),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from([0, 1, 1.0, 2.0, 255, 256, 266.0, "8.7", "8", "fp16", "rgb", "", HASH, "../x", "a/b"]),
    st.text(max_size=4),
)
values = st.recursive(
    leaves,
    lambda v: st.lists(v, max_size=4) | st.dictionaries(st.text(max_size=3), v, max_size=3),
    max_leaves=5,
)


def changed(data: dict[str, Any], place: tuple[Any, ...], kind: str, value: Any, name: str) -> Any:
    data = copy.deepcopy(data)
    if not place:
        return value
    holder: Any = data
    for key in place[:-1]:
        holder = holder[key]
    if kind == "delete":
        del holder[place[-1]]
    elif kind == "add" and isinstance(holder[place[-1]], dict):
        holder[place[-1]][name] = value
    else:
        holder[place[-1]] = value
    return data


@pytest.mark.parametrize("version", readable_versions())
def test_both_say_the_same_of_any_change(version: int) -> None:
    jsonschema = pytest.importorskip("jsonschema", reason="jsonschema is not installed")
    validator = jsonschema.Draft202012Validator(schema(version))
    data = valid(version)
    assert validator.is_valid(data)
    assert list(problems(data, schema(version))) == []
    everywhere = places(data)

    @settings(max_examples=150, deadline=None)
    @given(
        st.sampled_from(everywhere),
        st.sampled_from(["replace", "delete", "add"]),
        values,
        st.sampled_from(["surprise", "a/b", "x.onnx", ""]),
    )
    def check(place: tuple[Any, ...], kind: str, value: Any, name: str) -> None:
        other = changed(data, place, kind, value, name)
        found = list(problems(other, schema(version)))
        assert (found == []) is validator.is_valid(other), (other, found)

    check()


@pytest.mark.parametrize("version", readable_versions())
def test_schemas_are_schemas_and_say_what_each_field_is(version: int) -> None:
    jsonschema = pytest.importorskip("jsonschema", reason="jsonschema is not installed")
    jsonschema.Draft202012Validator.check_schema(schema(version))
    assert all(field.get("description") for field in schema(version)["properties"].values())


def test_keyword_that_is_not_known_is_never_skipped() -> None:
    with pytest.raises(ValueError, match="uniqueItems"):
        list(problems([1, 1], {"type": "array", "uniqueItems": True}))


def test_sentences_name_the_place() -> None:
    rules = {
        "type": "object",
        "required": ["a"],
        "properties": {
            "a": {"type": "array", "items": {"type": "object", "properties": {"b": {"enum": [1, 2]}}}}
        },
    }
    assert list(problems({}, rules)) == ["it lacks a"]
    assert list(problems({"a": [{}, {"b": 3}]}, rules)) == ["a[1].b is 3, not 1 or 2"]
    assert list(problems({"a": [{"b": True}]}, rules)) == ["a[0].b is True, not 1 or 2"]
    assert list(problems({"a": 7}, rules)) == ["a is 7, not a list"]
    assert list(problems("x" * 100, {"type": "null"})) == [f"it is '{'x' * 59}…, not null"]
