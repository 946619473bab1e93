# SPDX-License-Identifier: Apache-2.0
"""``compare.html``: one file that works from a disk, with everything inside it."""

from __future__ import annotations

import base64
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from offroad_seg.errors import OffroadSegError
from offroad_seg.ontology import load_ontology
from offroad_seg.replay import compare_tables as tables
from offroad_seg.replay.compare_bootstrap import independent
from offroad_seg.replay.live_messages import palette_256
from offroad_seg.resources import write_text

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from offroad_seg.replay.compare import Comparison
    from offroad_seg.replay.compare_frames import Odd

    U8 = NDArray[np.uint8]

WIDTH = 360
_MARK = (214, 51, 132)
"""RGB of pixels that differ: a colour of no ontology here, told apart by those who see no red or green."""


def write_report(path: Path, comparison: Comparison) -> None:
    """Render a comparison."""
    from jinja2 import Environment, StrictUndefined
    from markupsafe import Markup

    folder = files("offroad_seg.replay") / "templates"
    css, own_css, page_js, template = (
        (folder / name).read_text(encoding="utf-8")
        for name in ("report.css", "compare.css", "page.js", "compare.html.j2")
    )
    colors = _colors(comparison)
    first = comparison.aligned.results[0]
    environment = Environment(autoescape=True, undefined=StrictUndefined)
    html = environment.from_string(template).render(
        css=Markup(css + own_css),  # noqa: S704 – our own files
        js=Markup(page_js),  # noqa: S704
        labels=comparison.labels,
        bags=sorted(first.parts),
        frames=len(comparison.aligned.keys),
        passed=comparison.passed,
        verdict=_verdict(comparison),
        gates=tables.gate_rows(comparison),
        notes=comparison.notes(),
        rows=tables.rows(comparison),
        class_rows=tables.class_rows(comparison),
        colors={name: colors[i].tolist() for i, name in enumerate(first.layout.names)},
        agreements=_agreements(comparison, colors),
        identity=_identity(comparison),
        resamples=comparison.resamples,
        seed=comparison.seed,
        lengths=sorted({b.length for b in comparison.blocks}),
        blocks=independent(comparison.blocks),
    )
    write_text(path, html)


def _colors(comparison: Comparison) -> U8:
    """RGB of each class id: of the ontology of that name where it has these classes, else colours far apart."""
    result = comparison.aligned.results[0]
    try:
        ontology = load_ontology(str(result.metrics["bundle"]["ontology"]))
    except OffroadSegError:
        return palette_256()
    return ontology.colors_2563 if tuple(ontology.names) == result.layout.names else palette_256()


def _verdict(comparison: Comparison) -> str:
    failed = sum(v.state != "passed" for v in comparison.verdicts)
    if comparison.verdicts:
        total = len(comparison.verdicts)
        if total == 1:
            return "The gate failed" if failed else "The gate passed"
        return f"{failed} of {total} gates failed" if failed else f"All {total} gates passed"
    states = [c.state for row in tables.rows(comparison) for c in row.cells[1:]]
    if states.count(tables.BETTER) == states.count(tables.WORSE) == 0:
        return "No difference shows"
    return f"{states.count(tables.BETTER)} figures surely better, {states.count(tables.WORSE)} surely worse"


def _agreements(comparison: Comparison, colors: U8) -> list[dict[str, Any]]:
    found = []
    for label, agreement in zip(comparison.labels[1:], comparison.agreements, strict=True):
        if agreement is None or agreement.share is None:
            continue
        found.append(
            {
                "label": label,
                "share": f"{100 * agreement.share:.2f}",
                "odd": [_pictures(odd, colors) for odd in agreement.odd],
            }
        )
    return found


def _pictures(odd: Odd, colors: U8) -> dict[str, Any]:
    one_HW, two_HW = odd.labels
    height, width = one_HW.shape
    size = (WIDTH, max(1, round(height * WIDTH / width))) if width > WIDTH else (width, height)
    image = odd.image_HWC
    if image is None:
        image = np.full((height, width, 3), 128, np.uint8)
    small = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
    grey = cv2.cvtColor(cv2.cvtColor(small, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    # A thin difference must not vanish in the smaller picture: every pixel that differs is carried over.
    differs = cv2.resize((one_HW != two_HW).astype(np.float32), size, interpolation=cv2.INTER_AREA) > 0
    marked = np.where(differs[..., None], np.array(_MARK, np.uint8), (grey // 2 + 90).astype(np.uint8))
    return {
        "bag": odd.key.bag,
        "camera": odd.key.camera,
        "index": odd.index,
        "stamp": f"{odd.key.stamp_ns / 1e9:.3f}",
        "share": f"{100 * odd.share:.1f}",
        "image": _uri(small, ".jpg"),
        "first": _uri(_labels(one_HW, size, colors), ".png"),
        "other": _uri(_labels(two_HW, size, colors), ".png"),
        "differs": _uri(np.asarray(marked, np.uint8), ".png"),
    }


def _labels(labels_HW: U8, size: tuple[int, int], colors: U8) -> U8:
    small = np.asarray(cv2.resize(labels_HW, size, interpolation=cv2.INTER_NEAREST), np.uint8)
    picture: U8 = colors[small]
    return picture


def _uri(rgb: U8, suffix: str) -> str:
    bgr = cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR)
    data = bytes(cv2.imencode(suffix, bgr)[1])
    kind = "jpeg" if suffix == ".jpg" else "png"
    return f"data:image/{kind};base64,{base64.b64encode(data).decode('ascii')}"


def _identity(comparison: Comparison) -> list[dict[str, str]]:
    found = []
    for result in comparison.aligned.results:
        bundle, engine = result.metrics["bundle"], result.metrics.get("engine") or {}
        hashes = ", ".join(f"{name} {digest[:12]}…" for name, digest in bundle.get("files", {}).items())
        ran = " ".join(str(engine[k]) for k in ("backend", "version", "device") if engine.get(k))
        found.append(
            {
                "label": result.label,
                "bundle": f"{bundle['name']}, {bundle.get('input', '')} {bundle.get('precision', '')}",
                "files": hashes,
                "engine": ran,
                "mode": "through the node" if result.metrics.get("mode") == "via_ros" else "offline",
            }
        )
    return found
