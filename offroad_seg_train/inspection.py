# SPDX-License-Identifier: Apache-2.0
"""What a checkpoint is, for ``offroad-seg inspect``."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from offroad_seg_train.checkpoint import RECORD_KEY, epochs_done, network_state, read_checkpoint

if TYPE_CHECKING:
    from pathlib import Path

    from offroad_seg.types import JsonDict


def describe_checkpoint(path: Path) -> JsonDict:
    """Recipe and figures of a checkpoint, plain values. It is read without running any code in it.

    Raises:
        InputError: The file is missing, damaged, or not a checkpoint of this trainer.
    """
    data = read_checkpoint(path)
    record = data[RECORD_KEY]
    epoch = epochs_done(data)
    return {
        "path": str(path),
        "kind": "checkpoint",
        "name": record["name"],
        "written_by": record["version"],
        "epoch": epoch,
        "parameters": sum(value.numel() for value in network_state(data).values()),
        "ontology": record["ontology"].get("name"),
        "classes": ", ".join(str(c.get("name")) for c in record["ontology"].get("classes", [])),
        "trained_at": f"{record['letterbox']['width']}×{record['letterbox']['height']}",
        "validation": _figures(path, epoch),
        "recipe": record["config"],
        "run_with": f"offroad-seg export {path} --height H --width W --out BUNDLE",
    }


def _figures(path: Path, epoch: int) -> JsonDict:
    """The figures of that epoch from the run that the checkpoint lies in; empty where it was moved elsewhere."""
    file = path.resolve().parent.parent / "metrics.jsonl"
    try:
        rows = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    except (OSError, ValueError):
        return {}
    row = next((r for r in rows if isinstance(r, dict) and r.get("epoch") == epoch), {})
    figures = row.get("val", {})
    return {k: v for k, v in figures.items() if isinstance(v, (int, float))}
