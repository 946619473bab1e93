# SPDX-License-Identifier: Apache-2.0
"""The tables of ``offroad-seg inspect``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

_MIB = 1 << 20


def bundle_text(report: dict[str, Any], *, color: bool) -> str:
    """What ``inspect_bundle`` found, for people."""
    sections = [
        ("", _identity(report)),
        ("Classes", _classes(report["classes"], color=color)),
        ("Shown when it was made", list(_shown(report))),
        ("Files", _files(report["files"])),
        ("Here", _here(report)),
    ]
    return "\n".join(
        line
        for title, lines in sections
        if lines
        for line in ([f"\n{title}"] if title else []) + [f"  {text}" if title else text for text in lines]
    )


def checkpoint_text(report: dict[str, Any]) -> str:
    """What the trainer found in a checkpoint, for people: every value on its line, mappings indented."""
    return "\n".join(_tree(report, 0))


def _tree(value: dict[str, Any], depth: int) -> Iterable[str]:
    width = max((len(str(k)) for k in value), default=0)
    for key, item in value.items():
        if isinstance(item, dict) and item:
            yield f"{'  ' * depth}{key}"
            yield from _tree(item, depth + 1)
        else:
            shown = f"{item:.4f}" if isinstance(item, float) and abs(item) >= 1e-3 else item
            yield f"{'  ' * depth}{key:<{width}}  {shown}"


def _rows(pairs: Iterable[tuple[str, Any]]) -> list[str]:
    known = [(name, str(value)) for name, value in pairs if value not in (None, "", {}, [])]
    width = max((len(name) for name, _ in known), default=0)
    return [f"{name:<{width}}  {value}" for name, value in known]


def _identity(report: dict[str, Any]) -> list[str]:
    who, size, engine = report["identity"], report["input"], report["engine"]
    portable = engine["backend"] == "portable"
    kind = "portable bundle" if portable else f"{engine['backend']} engine, {engine['precision']}"
    gpu, cpu = engine["gpu"], engine["cpu"]
    return _rows(
        [
            ("bundle", f"{who['name']} ({kind})"),
            ("path", report["path"]),
            ("digest", who["digest"]),
            ("model", _model(who)),
            ("checkpoint", who["checkpoint_sha256"]),
            ("made from", report.get("portable") or who["portable_digest"]),
            ("input", f"{size['width']}×{size['height']} {size['channels'].upper()}"),
            ("runs with", ", ".join(engine["backends"])),
            ("bound to", _words(gpu) or _cpu(cpu)),
            ("made with", ", ".join(f"{k} {v}" for k, v in engine["versions"].items())),
            ("temperature", engine["temperature"] if engine["temperature"] != 1.0 else ""),
            ("out of distribution", _words(engine["ood"])),
        ]
    )


def _model(who: dict[str, Any]) -> str:
    epoch = "" if who["epoch"] is None else f", epoch {who['epoch']}"
    return f"{who['model']}{epoch}" if who["model"] else ""


def _cpu(cpu: dict[str, Any] | None) -> str:
    return f"CPU {cpu.get('model')} [{' '.join(cpu.get('features', []))}]" if cpu else ""


def _words(values: dict[str, Any] | None) -> str:
    if not values:
        return ""
    return ", ".join(
        f"{key.replace('_', ' ')} {' '.join(map(str, value)) if isinstance(value, list) else value}"
        for key, value in values.items()
        if not isinstance(value, dict)
    )


def _classes(classes: list[dict[str, Any]], *, color: bool) -> list[str]:
    width = max((len(c["name"]) for c in classes), default=0)
    return [
        f"{c['id']:>3}  {_swatch(c['color']) if color else ''}{c['name']:<{width}}  {c['color']}  "
        f"{'stands' if c['standing'] else '':<6}  cost {c['cost']}"
        for c in classes
    ]


def _swatch(color: str) -> str:
    red, green, blue = (int(color[i : i + 2], 16) for i in (1, 3, 5))
    return f"\x1b[48;2;{red};{green};{blue}m  \x1b[0m "


def _shown(report: dict[str, Any]) -> Iterable[str]:
    for backend, figures in report["parity"].items():
        if isinstance(figures, dict) and "agreement" in figures:
            yield _parity(backend, figures)
    for backend, figures in report["latency_ms"].items():
        yield (
            f"{backend}: p50 {figures['p50']:.1f} ms, p99 {figures['p99']:.1f} ms over {figures['runs']} runs on "
            f"{figures['device']}"
        )
    for backend, figures in report["memory_mb"].items():
        known = ", ".join(
            f"{where} {amount:.0f} MiB" for where, amount in figures.items() if amount is not None
        )
        if known:
            yield f"{backend}: {known}"


def _parity(backend: str, figures: dict[str, Any]) -> str:
    images = f"{figures['images']} {figures['source']} images"
    text = f"{backend}: {figures['agreement']:.4%} of the labels agree on {images}"
    if figures.get("worst_class"):
        against = "masks" if figures["iou_against"] == "truth" else "reference"
        text += f"; worst class {figures['worst_class']} {figures['worst_iou_change']:+.4f} IoU with the {against}"
    return text


def _files(files: list[dict[str, Any]]) -> list[str]:
    width = max((len(f["name"]) for f in files), default=0)
    marks = {"ok": "✓ hash fits", "missing": "✗ missing", "changed": "✗ changed"}
    return [
        f"{f['name']:<{width}}  {_size(f['bytes']):>10}  {marks.get(f['state'], '✗ not listed in the manifest')}"
        for f in files
    ]


def _size(size: int | None) -> str:
    if size is None:
        return ""
    return f"{size / _MIB:.1f} MiB" if size >= _MIB else f"{size / 1024:.1f} KiB"


def _here(report: dict[str, Any]) -> list[str]:
    problem, here = report["problem"], report["here"]
    if problem is not None:
        return [f"✗ {problem['what']}", *([f"→ {problem['mend']}"] if problem["mend"] else [])]
    lines = []
    if here is not None:
        providers = f" ({', '.join(here['providers'])})" if here["providers"] else ""
        lines.append(
            f"✓ runs with {here['backend']} {here['version']} on {here['device']}{providers}: loaded in "
            f"{here['load_ms']:.0f} ms, first image {here['first_ms']:.0f} ms"
        )
    lines += [f"built before: {e['backend']} {e['precision']}  {e['path']}" for e in report["cached_engines"]]
    return lines
