# SPDX-License-Identifier: Apache-2.0
"""The manifest of a bundle: what an engine is, what it was made from, and what it was shown to do.

Its form is written down in ``schema/manifest-v2.json``. A manifest of an older version is read, checked against the
schema of its own version, and comes back as the newest with defaults for what is new; only the newest is written.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field, fields
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from offroad_seg import __version__
from offroad_seg.errors import BundleError
from offroad_seg.json_schema import problems

if TYPE_CHECKING:
    from offroad_seg.types import JsonDict

SCHEMA_VERSION = 2
PORTABLE = "portable"
PRECISIONS = ("fp32", "fp16", "int8")
OOD_SCORES = ("max_logit", "energy")

_DIGEST = "digest"
_SHOWN = 3


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
        memory_mb: Memory that loading and the first image took when it was built, for each back end.
        n_classes: Classes that the network tells apart; None where the maker did not know. Must fit the ontology.
        calibration: What the temperature was fitted on, and the calibration error before and after; None where it
            was not fitted.
        ood: How the graph's ``ood`` output is made (``engines.base``); None where it has none. ``score``
            (``max_logit``: minus the largest logit; ``energy``: minus the logarithm of the sum of their exponentials),
            ``threshold`` and ``scale`` in units of that score, the ``percentile`` of validation pixels that the
            threshold is, and ``fitted_on``. For an engine that was compiled on real pictures also ``level``, the value
            of its output from which a pixel is out of distribution in place of 128, and ``level_fitted_on``.
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
    memory_mb: JsonDict = field(default_factory=dict)
    n_classes: int | None = None
    calibration: JsonDict | None = None
    ood: JsonDict | None = None
    files: dict[str, str] = field(default_factory=dict)
    schema_version: int = SCHEMA_VERSION

    def to_json(self) -> str:
        """As JSON text, keys in the order of the fields, the digest last."""
        data = {**asdict(self), _DIGEST: self.digest}
        return json.dumps(data, indent=2, ensure_ascii=False, allow_nan=False) + "\n"

    @property
    def digest(self) -> str:
        """SHA-256 of the whole record, and so of the bundle: the hashes of all files are in it."""
        return digest_of(asdict(self))

    @classmethod
    def from_json(cls, text: str, *, where: str = "manifest.json") -> Manifest:
        """Parse and check.

        Raises:
            BundleError: Not JSON; another schema version; a field missing, unknown or out of bounds; or edited after it
                was written.
        """
        data = _parse(text, where)
        version = data.get("schema_version")
        if type(version) is not int or version not in readable_versions():
            raise _foreign_version(version, where)
        if found := list(problems(data, schema(version))):
            listed = "; ".join(found[:_SHOWN]) + (
                f"; and {len(found) - _SHOWN} more" if found[_SHOWN:] else ""
            )
            raise BundleError(f"the manifest is wrong: {listed}", where=where, mend=EXPORT_AGAIN)
        if _DIGEST in data and data.pop(_DIGEST) != digest_of(data):
            raise BundleError(
                "the manifest was edited after the bundle was made: its digest does not fit",
                where=where,
                mend=f"copy the bundle again, or make it again: {EXPORT_AGAIN}; what classes cost is set without "
                "editing it, by the node's parameters class_cost.NAME",
            )
        for name in ("mean", "std", "backends"):
            data[name] = tuple(data[name])
        for name in ("input_height", "input_width", "pad_value"):
            data[name] = int(data[name])
        data["schema_version"] = SCHEMA_VERSION
        known = {f.name for f in fields(cls)}
        return cls(**{k: v for k, v in data.items() if k in known})


EXPORT_AGAIN = "offroad-seg export CHECKPOINT --height H --width W --out BUNDLE"


@lru_cache(maxsize=4)
def schema(version: int = SCHEMA_VERSION) -> dict[str, Any]:
    """The JSON schema of a version of the manifest, as it ships with this package.

    Raises:
        BundleError: The package is not whole.
    """
    path = Path(__file__).with_name("schema") / f"manifest-v{version}.json"
    try:
        data: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BundleError(
            f"a file of this package is missing: {error.strerror}", where=str(path), mend="install it again"
        ) from None
    return data


def readable_versions() -> range:
    """Versions of the manifest that this software reads."""
    return range(1, SCHEMA_VERSION + 1)


def digest_of(data: JsonDict) -> str:
    """SHA-256 of a record as canonical JSON: keys sorted, no blanks, no digest of its own."""
    rest = {k: v for k, v in data.items() if k != _DIGEST}
    text = json.dumps(rest, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _parse(text: str, where: str) -> dict[str, Any]:
    try:
        data = json.loads(text, object_pairs_hook=_no_duplicates, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise BundleError(f"the manifest is not JSON: {error}", where=where, mend=EXPORT_AGAIN) from None
    if not isinstance(data, dict):
        raise BundleError("the manifest is not a JSON object", where=where, mend=EXPORT_AGAIN)
    return data


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    data = dict(pairs)
    if len(data) != len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"{next(n for n in names if names.count(n) > 1)!r} stands in it twice")
    return data


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no number of JSON")


def _foreign_version(version: Any, where: str) -> BundleError:
    oldest, newest = readable_versions()[0], readable_versions()[-1]
    text = f"manifest schema {version!r}; this software ({__version__}) reads {oldest} to {newest}"
    if isinstance(version, int) and version > newest:
        return BundleError(
            f"the bundle was made by a newer offroad-seg: {text}",
            where=where,
            mend=f"install the newer offroad-seg here, or make the bundle with {__version__}: {EXPORT_AGAIN}",
        )
    return BundleError(text, where=where, mend=EXPORT_AGAIN)
