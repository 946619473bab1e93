# SPDX-License-Identifier: Apache-2.0
"""In what types an engine really computes: the layers after fusion, as TensorRT's inspector or its build log tells.

Two forms are read: lines of ``Name: …, LayerType: …, Inputs: […], Constants: […], Outputs: […]`` (the log, and the
inspector's ONELINE), and the inspector's JSON, whose convolutions carry ``"Weights": {"Type": "Half", "Count": 9408}``.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from dataclasses import dataclass
from typing import Any

HALF = "half"
FLOAT = "float"
OTHER = "other"
_SECTION = re.compile(r"(Inputs|Constants|Weights|Outputs): \[")
_TENSOR = re.compile(r"Dimensions: \[([\d,\s-]*)\][^{}]*?(?:Format/)?Data[Tt]ype: ([^,{}\]]+)")
_TYPE = re.compile(r"LayerType: (\w+)")
# Layers that wait and signal, and reformats, compute nothing.
_HEAVY = re.compile(r"conv|corr|gemm|matmul|matrix|runtime_fusion|einsum", re.IGNORECASE)


@dataclass(frozen=True)
class LayerTypes:
    """What an engine's layers hold and give.

    Attributes:
        layers: Number of layers.
        constants: ``half``, ``float`` or ``other`` → numbers in weights of that type.
        heavy: Type → convolutions and matrix products that give it.
    """

    layers: int
    constants: dict[str, int]
    heavy: dict[str, int]


def read_layers(text: str) -> LayerTypes:
    """Count types in what the inspector or the log says; nothing is counted where it says nothing."""
    stripped = text.strip()
    if stripped.startswith("{"):
        try:
            data = json.loads(stripped)
        except ValueError:
            return LayerTypes(0, {}, {})
        return _from_json(data)
    constants: Counter[str] = Counter()
    heavy: Counter[str] = Counter()
    count = 0
    for line in text.splitlines():
        kind = _TYPE.search(line)
        if kind is None:
            continue
        count += 1
        sections = _sections(line)
        for dims, name in _TENSOR.findall(sections.get("Constants", "") + sections.get("Weights", "")):
            constants[_class_of(name)] += math.prod(int(d) for d in dims.split(",") if d.strip())
        out = _TENSOR.search(sections.get("Outputs", ""))
        if out is not None and _HEAVY.search(kind.group(1)):
            heavy[_class_of(out.group(2))] += 1
    return LayerTypes(count, dict(constants), dict(heavy))


def _sections(line: str) -> dict[str, str]:
    marks = list(_SECTION.finditer(line))
    ends = [m.start() for m in marks[1:]] + [len(line)]
    return {mark.group(1): line[mark.end() : end] for mark, end in zip(marks, ends, strict=True)}


def _class_of(name: str) -> str:
    lowered = name.strip().lower()
    if re.search(r"\bhalf\b|fp16|(?<!b)float16", lowered):
        return HALF
    if re.search(r"\bfloat\b|fp32|float32|tf32", lowered):
        return FLOAT
    return OTHER


def _from_json(data: Any) -> LayerTypes:
    constants: Counter[str] = Counter()
    heavy: Counter[str] = Counter()
    layers = [x for x in data.get("Layers", []) if isinstance(x, dict)] if isinstance(data, dict) else []
    for layer in layers:
        for key in ("Weights", "Bias"):
            held = layer.get(key)
            if isinstance(held, dict) and isinstance(held.get("Count"), int):
                constants[_class_of(str(held.get("Type", "")))] += held["Count"]
        for held in layer.get("Constants") or []:
            constants[_class_of(_type_text(held))] += math.prod(held.get("Dimensions", [0]))
        outputs = layer.get("Outputs") or []
        if outputs and _HEAVY.search(str(layer.get("LayerType", ""))):
            heavy[_class_of(_type_text(outputs[0]))] += 1
    return LayerTypes(len(layers), dict(constants), dict(heavy))


def _type_text(tensor: dict[str, Any]) -> str:
    # TensorRT 10 has "Format/Datatype", which TensorRT 11 splits.
    return str(tensor.get("Datatype") or tensor.get("DataType") or tensor.get("Format/Datatype") or "")
