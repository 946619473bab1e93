# SPDX-License-Identifier: Apache-2.0
"""The manifest of a bundle: what an engine is, what it was made from, and what it was shown to do."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, field, fields
from typing import TYPE_CHECKING, Any

from offroad_seg.errors import BundleError

if TYPE_CHECKING:
    from offroad_seg.types import JsonDict

SCHEMA_VERSION = 1
PORTABLE = "portable"
PRECISIONS = ("fp32", "fp16", "int8")

_SPATIAL_LIMIT = 16384


@dataclass(frozen=True)
class Manifest:
    """Everything that must hold for a bundle to be used.

    Attributes:
        name: Name of the model, for people.
        ontology: The label set, inline, as ``Ontology.to_dict`` gives it.
        input_height: Rows of the network's input.
        input_width: Columns of it.
        mean: Normalisation inside the graph, RGB of 0–1.
        std: Likewise.
        pad_value: Grey of the letterbox's padding.
        channel_order: Always ``rgb``.
        precision: ``fp32``, ``fp16`` or ``int8``.
        backend: ``portable``, or the one back end that this engine was built for.
        backends: Back ends that can run it.
        temperature: Divides the logits before the softmax, so that confidence is calibrated.
        versions: Package → version that built it.
        gpu: Name, compute capability and driver where the engine is bound to a GPU, else None.
        source: The checkpoint's SHA-256, recipe, model name.
        parity: What the gate measured.
        latency_ms: What was measured when it was built.
        files: File name → SHA-256, every file of the bundle but the manifest.
        schema_version: Version of this record.
    """

    name: str
    ontology: JsonDict
    input_height: int
    input_width: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    pad_value: int
    precision: str
    backend: str
    backends: tuple[str, ...]
    temperature: float = 1.0
    channel_order: str = "rgb"
    versions: dict[str, str] = field(default_factory=dict)
    gpu: JsonDict | None = None
    source: JsonDict = field(default_factory=dict)
    parity: JsonDict = field(default_factory=dict)
    latency_ms: JsonDict = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)
    schema_version: int = SCHEMA_VERSION

    def to_json(self) -> str:
        """As JSON text, keys in the order of the fields."""
        return json.dumps(asdict(self), indent=2, ensure_ascii=False, allow_nan=False) + "\n"

    @classmethod
    def from_json(cls, text: str, *, where: str = "manifest.json") -> Manifest:
        """Parse and check.

        Raises:
            BundleError: Not JSON, another schema version, or a field missing, unknown or out of bounds.
        """
        try:
            data = json.loads(text)
        except json.JSONDecodeError as error:
            raise BundleError(f"the manifest is not JSON: {error}", where=where, mend=_EXPORT_AGAIN) from None
        if not isinstance(data, dict):
            raise BundleError("the manifest is not a JSON object", where=where, mend=_EXPORT_AGAIN)
        version = data.get("schema_version")
        if version != SCHEMA_VERSION:
            raise BundleError(
                f"manifest schema {version!r}; this software reads {SCHEMA_VERSION}",
                where=where,
                mend=_EXPORT_AGAIN,
            )
        known = {f.name for f in fields(cls)}
        if missing := sorted(known - data.keys()):
            raise BundleError(f"the manifest lacks {', '.join(missing)}", where=where, mend=_EXPORT_AGAIN)
        if unknown := sorted(data.keys() - known):
            raise BundleError(
                f"the manifest has unknown fields {', '.join(unknown)}", where=where, mend=_EXPORT_AGAIN
            )
        _check_fields(data, where)
        for name in ("mean", "std", "backends"):
            data[name] = tuple(data[name])
        return cls(**data)


_EXPORT_AGAIN = "offroad-seg export CHECKPOINT --height H --width W --out BUNDLE"


def _check_fields(data: dict[str, Any], where: str) -> None:
    def need(condition: bool, name: str, meaning: str) -> None:
        if not condition:
            raise BundleError(f"{name} is {data[name]!r}, not {meaning}", where=where, mend=_EXPORT_AGAIN)

    for name in ("input_height", "input_width"):
        value = data[name]
        need(type(value) is int and 0 < value <= _SPATIAL_LIMIT, name, "a size in pixels")
    for name in ("mean", "std"):
        need(isinstance(data[name], list) and len(data[name]) == 3, name, "three numbers")
        need(all(_is_number(v) for v in data[name]), name, "three finite numbers")
    need(all(v > 0 for v in data["std"]), "std", "three positive numbers")
    need(_is_number(data["temperature"]) and data["temperature"] > 0, "temperature", "a positive number")
    need(type(data["pad_value"]) is int and 0 <= data["pad_value"] <= 255, "pad_value", "0–255")
    need(data["precision"] in PRECISIONS, "precision", " or ".join(PRECISIONS))
    need(data["channel_order"] == "rgb", "channel_order", "rgb")
    need(isinstance(data["name"], str), "name", "a text")
    need(isinstance(data["backend"], str), "backend", "a text")
    backends = data["backends"]
    need(
        isinstance(backends, list) and all(isinstance(b, str) for b in backends),
        "backends",
        "a list of names",
    )
    for name in ("versions", "source", "parity", "latency_ms", "files", "ontology"):
        need(isinstance(data[name], dict), name, "an object")
    need(data["gpu"] is None or isinstance(data["gpu"], dict), "gpu", "an object or null")
    need(
        all(isinstance(k, str) and isinstance(v, str) for k, v in data["files"].items()),
        "files",
        "names and hashes",
    )


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
