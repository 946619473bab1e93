# SPDX-License-Identifier: Apache-2.0
"""Bundles: a folder with a model and a manifest that proves what it is.

A bundle holds no pickle. Loading verifies the hash of every file before any of them is opened by a run time, and
refuses with the command that mends it.
"""

from __future__ import annotations

import hashlib
import shlex
import shutil
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from offroad_seg import resources
from offroad_seg.errors import BundleError, OntologyError
from offroad_seg.image import Letterbox, Normalization
from offroad_seg.manifest import EXPORT_AGAIN, PORTABLE, Manifest
from offroad_seg.ontology import Ontology

if TYPE_CHECKING:
    from collections.abc import Mapping

MANIFEST_NAME = "manifest.json"
_CHUNK = 1 << 20
CHECKPOINT_SUFFIXES = frozenset({".ckpt", ".pt", ".pth", ".pkl", ".pickle"})
_MAX_MANIFEST_BYTES = 16 << 20


@dataclass(frozen=True)
class Bundle:
    """A verified bundle.

    Attributes:
        path: Its folder.
        manifest: What it says of itself.
        ontology: The label set, checked.
        letterbox: How images are fitted to the network.
        normalization: What the graph does to the pixels.
    """

    path: Path
    manifest: Manifest
    ontology: Ontology
    letterbox: Letterbox
    normalization: Normalization

    @classmethod
    def load(cls, path: str | Path, *, verify: bool = True) -> Bundle:
        """Read a bundle and verify it.

        Args:
            path: The folder.
            verify: Check the hash of every file. Only tools that have just written the bundle may skip it.

        Raises:
            BundleError: There is no bundle, or something in it is missing, changed or unknown.
        """
        path = Path(path)
        if not path.is_dir():
            raise _not_a_bundle(path)
        manifest_path = path / MANIFEST_NAME
        manifest = read_manifest(path)
        if verify:
            _verify_files(path, manifest)
        try:
            ontology = Ontology.from_dict(manifest.ontology, where=f"{manifest_path}: ontology")
        except OntologyError as error:
            raise BundleError(error.what, where=error.where, mend=EXPORT_AGAIN) from None
        if manifest.n_classes not in (None, ontology.n_classes):
            raise BundleError(
                f"the network tells {manifest.n_classes} classes apart, and the ontology '{ontology.name}' names "
                f"{ontology.n_classes}",
                where=str(manifest_path),
                mend=f"{EXPORT_AGAIN}, from the checkpoint that was trained with this ontology",
            )
        return cls(
            path=path,
            manifest=manifest,
            ontology=ontology,
            letterbox=Letterbox(manifest.input_height, manifest.input_width, manifest.pad_value),
            normalization=Normalization(manifest.mean, manifest.std),
        )

    def file(self, name: str) -> Path:
        """Path of one of the bundle's files.

        Raises:
            BundleError: The manifest does not list it.
        """
        if name not in self.manifest.files:
            raise BundleError(
                f"the bundle holds no {name}",
                where=str(self.path),
                mend=f"it can run with: {', '.join(self.manifest.backends)}",
            )
        return self.path / name


def write_bundle(
    out: str | Path, manifest: Manifest, files: Mapping[str, Path | bytes], *, overwrite: bool = False
) -> Bundle:
    """Write a bundle whole or not at all, and load it back.

    Args:
        out: The folder to make.
        manifest: Everything but ``files``, which is filled in here.
        files: Name → the file to copy, or its bytes.
        overwrite: Replace an existing bundle.

    Raises:
        InputError: ``out`` is not empty and ``overwrite`` is false.
        BundleError: A file name is not a plain name.
    """
    out = Path(out)
    with resources.replacing_folder(out, overwrite=overwrite) as folder:
        hashes: dict[str, str] = {}
        for name, content in files.items():
            _check_name(name, str(out))
            target = folder / name
            if isinstance(content, Path):
                shutil.copyfile(content, target)
            else:
                target.write_bytes(content)
            hashes[name] = sha256_of(target)
        complete = replace(manifest, files=hashes)
        (folder / MANIFEST_NAME).write_text(complete.to_json(), encoding="utf-8")
        # Read back what was written, so that no bundle is ever put in place that would be refused later.
        Bundle.load(folder)
    return Bundle.load(out, verify=False)


def read_manifest(path: Path) -> Manifest:
    """The manifest of a bundle's folder, checked; the files are not looked at.

    Raises:
        BundleError: There is none, it cannot be read, or it is wrong.
    """
    file = path / MANIFEST_NAME
    if not file.is_file():
        raise BundleError(
            "this folder is not a bundle: it has no manifest.json", where=str(path), mend=EXPORT_AGAIN
        )
    _check_inside(file, path)
    try:
        if file.stat().st_size > _MAX_MANIFEST_BYTES:
            raise BundleError("the manifest is too large to be one", where=str(file), mend=EXPORT_AGAIN)
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BundleError(
            f"the manifest cannot be read: {error}", where=str(file), mend=EXPORT_AGAIN
        ) from None
    return Manifest.from_json(text, where=str(file))


def compile_command(bundle: Bundle, backend: str | None = None) -> str:
    """The command that makes an engine of this bundle on this machine.

    Args:
        bundle: An engine that does not fit here, or the portable bundle.
        backend: The back end that is wanted; None takes the bundle's own.
    """
    manifest, path = bundle.manifest, bundle.path
    compiled = manifest.backend != PORTABLE
    backend = backend or (manifest.backend if compiled else "onnxruntime")
    if compiled and backend == manifest.backend:
        precision, out = manifest.precision, f"{_quoted(path)} --overwrite"
    else:
        precision = "fp16" if backend.startswith("tensorrt") else "fp32"
        out = _quoted(path.with_name(f"{path.name}-{backend}"))
    portable = find_portable(bundle) if compiled else path
    source = "PORTABLE_BUNDLE" if portable is None else _quoted(portable)
    return f"offroad-seg compile {source} --backend {backend} --precision {precision} --out {out}"


def find_portable(bundle: Bundle) -> Path | None:
    """The portable bundle that an engine was built from: where it lay then, or beside the engine; else None."""
    digest = bundle.manifest.source.get("portable_digest")
    if not digest:
        return None
    for file in sorted(bundle.path.resolve().parent.glob(f"*/{MANIFEST_NAME}")):
        # Whatever else lies there may be no bundle, or a damaged one.
        with suppress(BundleError):
            if read_manifest(file.parent).digest == digest:
                return bundle.path.parent / file.parent.name
    if noted := bundle.manifest.source.get("portable_path"):
        with suppress(BundleError, OSError):
            if read_manifest(Path(noted)).digest == digest:
                return Path(noted)
    return None


def sha256_of(path: Path) -> str:
    """SHA-256 of a file, as hexadecimal text."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def _quoted(path: Path) -> str:
    return shlex.quote(str(path))


def _check_inside(file: Path, folder: Path) -> None:
    """Refuse a link that leads out of the bundle: what it leads to may change without the bundle."""
    if file.resolve().parent != folder.resolve():
        raise BundleError(
            f"{file.name} is a link that leads out of the bundle",
            where=str(file),
            mend="copy the bundle with its files: cp -rL BUNDLE COPY",
        )


def _not_a_bundle(path: Path) -> BundleError:
    if path.is_file() and path.suffix.lower() in CHECKPOINT_SUFFIXES:
        return BundleError(
            "this is a checkpoint or a pickle, not a bundle; it is never opened at run time",
            where=str(path),
            mend=f"offroad-seg export {_quoted(path)} --height H --width W --out BUNDLE",
        )
    if path.is_file():
        return BundleError("a bundle is a folder, this is a file", where=str(path), mend=EXPORT_AGAIN)
    return BundleError("there is no such bundle", where=str(path), mend=EXPORT_AGAIN)


def _check_name(name: str, where: str) -> None:
    if (
        not name
        or name == MANIFEST_NAME
        or name in (".", "..")
        or "/" in name
        or "\\" in name
        or "\0" in name
    ):
        raise BundleError(f"{name!r} is not a name for a file of a bundle", where=where)


def _verify_files(path: Path, manifest: Manifest) -> None:
    for name, expected in manifest.files.items():
        _check_name(name, str(path))
        file = path / name
        if not file.is_file():
            raise BundleError(f"{name} is missing from the bundle", where=str(path), mend=EXPORT_AGAIN)
        _check_inside(file, path)
        found = sha256_of(file)
        if found != expected:
            raise BundleError(
                f"{name} was changed after the bundle was made (SHA-256 {found[:12]}…, expected {expected[:12]}…)",
                where=str(file),
                mend=f"copy the bundle again, or make it again: {EXPORT_AGAIN}",
            )
    stray = sorted(p.name for p in path.iterdir() if p.name not in manifest.files and p.name != MANIFEST_NAME)
    if stray:
        raise BundleError(
            f"files that the manifest does not list: {', '.join(stray)}", where=str(path), mend="remove them"
        )
