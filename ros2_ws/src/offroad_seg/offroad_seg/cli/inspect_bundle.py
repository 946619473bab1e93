# SPDX-License-Identifier: Apache-2.0
"""Everything that can be told of a bundle, also of a damaged one."""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from offroad_seg.bundle import MANIFEST_NAME, Bundle, find_portable, read_manifest, sha256_of
from offroad_seg.errors import OffroadSegError, OntologyError
from offroad_seg.manifest import PORTABLE
from offroad_seg.ontology import Ontology

if TYPE_CHECKING:
    from pathlib import Path

    from offroad_seg.manifest import Manifest


def inspect_bundle(path: Path, *, load: bool = True) -> tuple[dict[str, Any], OffroadSegError | None]:
    """Look at a bundle.

    Args:
        path: Its folder.
        load: Load its engine and run one grey image, as the node's ``configure`` does.

    Returns:
        What was found, plain values; and the error that keeps it from being used, or None. ``identity`` is missing
        where there is no manifest that can be read.
    """
    report: dict[str, Any] = {"path": str(path), "kind": "bundle", "problem": None}
    try:
        manifest = read_manifest(path)
    except OffroadSegError:
        # Bundle.load says the same, or better: that there is no folder at all.
        return _failed(report, _refusal(path))
    report |= _told(manifest, path)
    try:
        bundle = Bundle.load(path)
        report["portable"] = str(find_portable(bundle) or "") or None
        report["cached_engines"] = _cached(manifest)
        report["here"] = _run_once(bundle) if load else None
    except OffroadSegError as error:
        return _failed(report, error)
    return report, None


def _refusal(path: Path) -> OffroadSegError:
    try:
        Bundle.load(path)
    except OffroadSegError as error:
        return error
    raise AssertionError("a manifest that cannot be read was loaded")


def _failed(report: dict[str, Any], error: OffroadSegError) -> tuple[dict[str, Any], OffroadSegError]:
    problem = {"what": error.what, "where": error.where, "mend": error.mend}
    return {**report, "problem": problem, "here": None}, error


def _told(manifest: Manifest, path: Path) -> dict[str, Any]:
    """What the manifest says, in the order in which people ask."""
    recipe = manifest.source.get("recipe")
    return {
        "identity": {
            "name": manifest.name,
            "digest": manifest.digest,
            "schema_version": manifest.schema_version,
            "model": manifest.source.get("model"),
            "epoch": manifest.source.get("epoch"),
            "checkpoint_sha256": manifest.source.get("checkpoint_sha256"),
            "recipe": recipe.get("name") if isinstance(recipe, dict) else None,
            "portable_digest": manifest.source.get("portable_digest"),
        },
        "input": {
            "width": manifest.input_width,
            "height": manifest.input_height,
            "channels": manifest.channel_order,
            "pad_value": manifest.pad_value,
            "mean": list(manifest.mean),
            "std": list(manifest.std),
        },
        "ontology": manifest.ontology.get("name"),
        "classes": _classes(manifest),
        "engine": {
            "backend": manifest.backend,
            "backends": list(manifest.backends),
            "precision": manifest.precision,
            "versions": manifest.versions,
            "gpu": manifest.gpu,
            "cpu": manifest.source.get("compiled_on"),
            "temperature": manifest.temperature,
            "ood": manifest.ood,
        },
        "parity": manifest.parity,
        "latency_ms": manifest.latency_ms,
        "memory_mb": manifest.memory_mb,
        "files": _files(manifest, path),
    }


def _classes(manifest: Manifest) -> list[dict[str, Any]]:
    try:
        ontology = Ontology.from_dict(manifest.ontology)
    except OntologyError:
        return []
    return [
        {
            "id": c.id,
            "name": c.name,
            "color": "#{:02x}{:02x}{:02x}".format(*c.color),
            "cost": c.cost,
            "standing": c.standing,
        }
        for c in ontology.classes
    ]


def _files(manifest: Manifest, path: Path) -> list[dict[str, Any]]:
    """Every file that should be there and every one that is, with whether it is what it should be."""
    found = []
    for name, expected in manifest.files.items():
        file = path / name
        there = file.is_file()
        size = file.stat().st_size if there else None
        state = "missing" if not there else "ok" if sha256_of(file) == expected else "changed"
        found.append({"name": name, "bytes": size, "sha256": expected, "state": state})
    found.extend(
        {"name": file.name, "bytes": None, "sha256": None, "state": "not listed"}
        for file in sorted(path.iterdir())
        if file.name not in manifest.files and file.name != MANIFEST_NAME
    )
    return found


def _cached(manifest: Manifest) -> list[dict[str, Any]]:
    """Engines of a portable bundle that were built on this machine and kept."""
    from offroad_seg.compile.cache import default_cache, engines_of

    if manifest.backend != PORTABLE or not default_cache().is_dir():
        return []
    return [
        {"path": str(e.path), "backend": e.manifest.backend, "precision": e.manifest.precision}
        for e in engines_of(default_cache(), manifest.digest)
    ]


def _run_once(bundle: Bundle) -> dict[str, Any]:
    """Load the engine and run one grey image.

    Raises:
        OffroadSegError: It does not run here; says what mends it.
    """
    from offroad_seg.engines.registry import load_engine

    started = time.perf_counter()
    engine = load_engine(bundle)
    try:
        loaded = time.perf_counter()
        box = bundle.letterbox
        engine.infer(np.full((1, box.height, box.width, 3), box.pad_value, np.uint8))
        ran = time.perf_counter()
        return {
            **asdict(engine.info),
            "load_ms": round(1e3 * (loaded - started), 1),
            "first_ms": round(1e3 * (ran - loaded), 1),
        }
    finally:
        engine.close()
