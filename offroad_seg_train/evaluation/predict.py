# SPDX-License-Identifier: Apache-2.0
"""Masks, overlays and confidence of images without labels, of any size."""

from __future__ import annotations

import glob
import itertools
import logging
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from offroad_seg.compile.images import list_images, read_image
from offroad_seg.errors import EngineError, ImageError, InputError, OffroadSegError
from offroad_seg.progress import progress
from offroad_seg.resources import keep_sources, replacing_folder
from offroad_seg_train.data.image_sources import ArraySource, open_source
from offroad_seg_train.data.reading import needs_16_bit
from offroad_seg_train.evaluation.labelling import Labeller, LabelOptions
from offroad_seg_train.evaluation.overlays import OverlayWriter
from offroad_seg_train.evaluation.png import PngWriter

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from numpy.typing import NDArray

    from offroad_seg.ontology import Ontology
    from offroad_seg_train.data.image_sources import ImageSource
    from offroad_seg_train.evaluation.opened import OpenedModel
    from offroad_seg_train.evaluation.tiles import Band

    Rows = Callable[[Band], NDArray[Any]]

RESULTS = ("masks", "overlays", "ids", "confidence")
_COARSE = 4.0
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class PredictOptions:
    """What to write.

    Attributes:
        label: How images are labelled.
        write: Some of ``RESULTS``: ``masks`` hold the ontology's raw values (16-bit where these need it) or its palette
            colours, so that they can be labels; ``ids`` are class ids, 255 = none; ``confidence`` is 0–255 for
            probability 0–1; ``overlays`` are for people.
        overwrite: Replace results that are there.
    """

    label: LabelOptions = field(default_factory=LabelOptions)
    write: tuple[str, ...] = ("masks", "overlays")
    overwrite: bool = False


@dataclass(frozen=True)
class Predicted:
    """What came of it.

    Attributes:
        images: Number of images that were labelled.
        failed: Image → why it could not be.
    """

    images: int
    failed: dict[str, str]


def predict(model: OpenedModel, images: Sequence[Path], out: Path, options: PredictOptions) -> Predicted:
    """Write ``masks/NAME.png``, ``overlays/NAME.jpg`` … for each image, at its own size.

    An image that cannot be labelled is left out and named in the result.

    Args:
        model: What labels them.
        images: Picture files, folders of them, and patterns such as ``photos/*.tif``.
        out: Folder to write.
        options: What to write, and how.

    Raises:
        InputError: ``out`` is not empty, a path or pattern names nothing, two images share a name, or an option is out
            of bounds.
        OffroadSegError: Not one image could be labelled, or the results cannot be written.
    """
    if not options.write or set(options.write) - set(RESULTS):
        raise InputError(
            f"no such results: {', '.join(sorted(set(options.write) - set(RESULTS)))}",
            where="--write",
            mend=f"some of {', '.join(RESULTS)}",
        )
    named = name_images(images)
    keep_sources(out, model.path, *named.values())
    labeller = Labeller(model, options.label)
    failed: dict[str, str] = {}
    with replacing_folder(out, overwrite=options.overwrite) as folder:
        for name, path in progress(named.items(), what="predicting", total=len(named), unit="image"):
            if reason := _attempt(labeller, name, path, folder, options.write):
                failed[str(path)] = reason
        if len(failed) == len(named):
            raise OffroadSegError(
                f"not one of {len(named)} images could be labelled",
                where=next(iter(failed)),
                mend=next(iter(failed.values())),
            )
    return Predicted(len(named) - len(failed), failed)


def name_images(images: Sequence[Path]) -> dict[str, Path]:
    """Name of the result → image: its path below the given folder or the pattern's fixed part; of a file, its own name.

    Names have no suffix.

    Raises:
        InputError: A path or pattern names nothing, or two images would get one name.
    """
    named: dict[str, Path] = {}
    for given in images:
        above = _fixed_part(given)
        for path in _find(given):
            name = path.relative_to(above).with_suffix("").as_posix()
            if name in named:
                raise InputError(
                    f"two images would be called {name}",
                    where=f"{named[name]} and {path}",
                    mend="give the folder above them, or a quoted pattern such as 'photos/*/rgb.jpg', which keeps "
                    "folders apart; else predict them into two folders",
                )
            named[name] = path
    return named


def _fixed_part(given: Path) -> Path:
    """The folder below which results are called by their path: of a pattern, what stands before its first wildcard."""
    if given.is_dir():
        return given
    if given.exists():
        return given.parent
    fixed = itertools.takewhile(lambda part: not glob.has_magic(part), given.parent.parts)
    return Path(*fixed)


def _find(given: Path) -> list[Path]:
    if given.is_dir():
        return list_images(given)
    if given.exists():
        return [given]
    found = [Path(p) for p in sorted(glob.glob(str(given), recursive=True)) if Path(p).is_file()]  # noqa: PTH207 (absolute patterns)
    if not found:
        raise InputError("no such image", where=str(given), mend="give picture files, folders or patterns")
    return found


def _attempt(labeller: Labeller, name: str, path: Path, folder: Path, write: tuple[str, ...]) -> str:
    """Label one image; why it could not be, or an empty string."""
    try:
        _predict_one(labeller, name, path, folder, write)
    except (ImageError, EngineError) as error:
        _LOG.error("%s is left out: %s", path, error.what)
        for result in write:
            _result(folder, result, name).unlink(missing_ok=True)
        return error.what
    except OSError as error:
        raise OffroadSegError(
            f"the results cannot be written: {error.strerror}", where=str(path), mend="is the disk full?"
        ) from None
    return ""


def _predict_one(labeller: Labeller, name: str, path: Path, folder: Path, write: tuple[str, ...]) -> None:
    whole = labeller.options.tile is None
    source = ArraySource(read_image(path)) if whole else open_source(path)
    try:
        box = labeller.model.segmenter.bundle.letterbox
        if whole and max(source.height / box.height, source.width / box.width) > _COARSE:
            _LOG.warning(
                "%s is %d×%d, of which the network sees %d×%d; --tile N labels it at its own resolution",
                path.name, source.width, source.height, box.width, box.height,
            )  # fmt: skip
        _write(labeller, source, name, folder, write)
    finally:
        source.close()


def _write(labeller: Labeller, source: ImageSource, name: str, folder: Path, write: tuple[str, ...]) -> None:
    ontology = labeller.model.ontology
    rows: dict[str, Rows] = {
        "masks": lambda band: raw_mask(band.labels_HW, ontology),
        "ids": lambda band: band.labels_HW,
        "confidence": lambda band: band.confidence_HW,
    }
    with ExitStack() as stack:
        writers: dict[str, PngWriter] = {}
        overlay = None
        if "overlays" in write:
            overlay = OverlayWriter(_result(folder, "overlays", name), source, ontology)
        for band in labeller.bands(source, name):
            for result in (r for r in write if r in rows):
                pixels = rows[result](band)
                if result not in writers:
                    path = _result(folder, result, name)
                    writer = PngWriter(path, source.height, source.width, pixels)
                    writers[result] = stack.enter_context(writer)
                writers[result].write(pixels)
            if overlay is not None:
                overlay.add(band)
    if overlay is not None:
        overlay.save()


def raw_mask(labels_HW: NDArray[np.uint8], ontology: Ontology) -> NDArray[Any]:
    """Class ids as the data set's own masks would hold them, in 8 bits where these suffice."""
    raw = ontology.decode(labels_HW)
    return raw if needs_16_bit(ontology) else raw.astype(np.uint8)


def _result(folder: Path, result: str, name: str) -> Path:
    return folder / result / f"{name}.{'jpg' if result == 'overlays' else 'png'}"
