# SPDX-License-Identifier: Apache-2.0
"""Checking JSON values against the part of JSON Schema (draft 2020-12) that this project's schemas use.

A vehicle does not have the jsonschema package. A schema with a keyword that is not known here is refused, so that no
rule is ever skipped; a test holds this module against jsonschema.
"""

from __future__ import annotations

import math
import operator
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_NOTES = {"$schema", "$id", "title", "description", "default", "examples"}
_SHOWN = 60


def problems(value: Any, schema: dict[str, Any], path: str = "") -> Iterator[str]:
    """What is wrong with a value, one sentence for each rule that it breaks.

    Args:
        value: What ``json.loads`` gave.
        schema: The schema, or a part of it.
        path: Where the value stands, such as ``gpu.name``; empty for the whole document.

    Raises:
        ValueError: The schema uses a keyword that is not known here.
    """
    if unknown := schema.keys() - _NOTES - _RULES.keys():
        raise ValueError(f"schema keywords that are not known here: {', '.join(sorted(unknown))}")
    if "type" in schema and not _has_type(value, schema["type"]):
        yield f"{path or 'it'} is {_show(value)}, not {_type_words(schema['type'])}"
        return
    for keyword, rule in schema.items():
        if keyword in _RULES:
            yield from _RULES[keyword](value, rule, schema, path)


def _has_type(value: Any, types: str | list[str]) -> bool:
    return any(_TYPES[name](value) for name in ([types] if isinstance(types, str) else types))


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


_TYPES: dict[str, Callable[[Any], bool]] = {
    "object": lambda v: isinstance(v, dict),
    "array": lambda v: isinstance(v, list),
    "string": lambda v: isinstance(v, str),
    "boolean": lambda v: isinstance(v, bool),
    "null": lambda v: v is None,
    "number": _is_number,
    "integer": lambda v: _is_number(v) and float(v).is_integer(),  # 266.0 is an integer of JSON Schema
}
_WORDS = {
    "object": "an object",
    "array": "a list",
    "string": "a text",
    "boolean": "true or false",
    "null": "null",
    "number": "a number",
    "integer": "a whole number",
}


def _type_words(types: str | list[str]) -> str:
    return " or ".join(_WORDS[name] for name in ([types] if isinstance(types, str) else types))


def _show(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "…"


def _properties(value: Any, rule: dict[str, Any], _: dict[str, Any], path: str) -> Iterator[str]:
    if isinstance(value, dict):
        for name, part in rule.items():
            if name in value:
                yield from problems(value[name], part, _join(path, name))


def _additional(value: Any, rule: Any, schema: dict[str, Any], path: str) -> Iterator[str]:
    if not isinstance(value, dict):
        return
    others = sorted(value.keys() - schema.get("properties", {}).keys())
    if rule is False and others:
        yield f"{path or 'it'} has unknown fields {', '.join(others)}"
    elif isinstance(rule, dict):
        for name in others:
            yield from problems(value[name], rule, _join(path, name))


def _required(value: Any, rule: list[str], _: dict[str, Any], path: str) -> Iterator[str]:
    if isinstance(value, dict) and (missing := sorted(set(rule) - value.keys())):
        yield f"{path or 'it'} lacks {', '.join(missing)}"


def _property_names(value: Any, rule: dict[str, Any], _: dict[str, Any], path: str) -> Iterator[str]:
    if isinstance(value, dict):
        for name in value:
            if any(problems(name, rule)):
                yield f"{path or 'it'}: {_show(name)} is not a name that is allowed here"


def _items(value: Any, rule: dict[str, Any], _: dict[str, Any], path: str) -> Iterator[str]:
    if isinstance(value, list):
        for index, item in enumerate(value):
            yield from problems(item, rule, f"{path}[{index}]")


def _lengths(least: bool) -> Callable[[Any, int, dict[str, Any], str], Iterator[str]]:
    def check(value: Any, rule: int, _: dict[str, Any], path: str) -> Iterator[str]:
        if isinstance(value, list) and (len(value) < rule if least else len(value) > rule):
            yield f"{path} has {len(value)} entries, not at {'least' if least else 'most'} {rule}"

    return check


def _bounds(keyword: str) -> Callable[[Any, float, dict[str, Any], str], Iterator[str]]:
    holds: Callable[[float, float], bool] = {
        "minimum": operator.ge,
        "maximum": operator.le,
        "exclusiveMinimum": operator.gt,
    }[keyword]
    words = {"minimum": "at least", "maximum": "at most", "exclusiveMinimum": "more than"}[keyword]

    def check(value: Any, rule: float, _: dict[str, Any], path: str) -> Iterator[str]:
        if _is_number(value) and not holds(value, rule):
            yield f"{path} is {_show(value)}, not {words} {rule}"

    return check


def _pattern(value: Any, rule: str, _: dict[str, Any], path: str) -> Iterator[str]:
    if isinstance(value, str) and not re.search(rule, value):
        yield f"{path} is {_show(value)}, which does not match {rule}"


def _enum(value: Any, rule: list[Any], _: dict[str, Any], path: str) -> Iterator[str]:
    # Python takes True for 1; JSON does not.
    if not any(value == v and isinstance(value, bool) == isinstance(v, bool) for v in rule):
        yield f"{path} is {_show(value)}, not {' or '.join(str(v) for v in rule)}"


def _const(value: Any, rule: Any, schema: dict[str, Any], path: str) -> Iterator[str]:
    yield from _enum(value, [rule], schema, path)


def _nothing(*_: Any) -> Iterator[str]:
    yield from ()


_RULES: dict[str, Callable[..., Iterator[str]]] = {
    "type": _nothing,
    "properties": _properties,
    "additionalProperties": _additional,
    "required": _required,
    "propertyNames": _property_names,
    "items": _items,
    "minItems": _lengths(least=True),
    "maxItems": _lengths(least=False),
    "minimum": _bounds("minimum"),
    "maximum": _bounds("maximum"),
    "exclusiveMinimum": _bounds("exclusiveMinimum"),
    "pattern": _pattern,
    "enum": _enum,
    "const": _const,
}


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name
