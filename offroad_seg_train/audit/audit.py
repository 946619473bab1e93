# SPDX-License-Identifier: Apache-2.0
"""The audit from end to end: find the files, read each once, compare, and say what is wrong."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from offroad_seg.errors import InputError, OffroadSegError
from offroad_seg_train.audit.class_checks import class_findings
from offroad_seg_train.audit.duplicate_checks import duplicate_findings
from offroad_seg_train.audit.duplicates import Duplicates, find_duplicates
from offroad_seg_train.audit.file_checks import file_findings
from offroad_seg_train.audit.label_checks import conflict_findings, label_findings
from offroad_seg_train.audit.oddities import Oddity, find_oddities, oddity_findings
from offroad_seg_train.audit.ontology_checks import ontology_findings
from offroad_seg_train.audit.probe import Record, probe_all
from offroad_seg_train.audit.sky import fitting_ontologies
from offroad_seg_train.audit.sky_checks import sky_frame_findings
from offroad_seg_train.audit.sources import Sources, find_sources
from offroad_seg_train.audit.tally import Tally
from offroad_seg_train.data.layouts import data_ontology, find_layout

if TYPE_CHECKING:
    from pathlib import Path

    from offroad_seg.ontology import Ontology
    from offroad_seg_train.audit.finding import Finding, Severity

_MOST_WORKERS = 8
_FITS_NAMED = 4


@dataclass(frozen=True)
class AuditOptions:
    """What to audit.

    Attributes:
        data: What is trained on, or a whole data set that says its parts itself.
        val: Folders that are held out.
        ontology: A label set by name or file; None for the one that the data brings.
        layout: How the folders are laid out; ``auto`` looks at them.
        workers: Threads that read files; 0 chooses by this machine.
        show_progress: Show a bar.
    """

    data: Path
    val: tuple[Path, ...] = ()
    ontology: str | None = None
    layout: str = "auto"
    workers: int = 0
    show_progress: bool = True

    def __post_init__(self) -> None:
        if self.workers < 0:
            raise InputError(f"{self.workers} workers", mend="1 or more, or 0 to choose by this machine")

    @property
    def threads(self) -> int:
        """Threads that read files."""
        return self.workers or min(_MOST_WORKERS, os.cpu_count() or 1)


@dataclass(frozen=True)
class Audit:
    """What an audit found.

    Attributes:
        options: What was asked for.
        ontology: What the values were read by.
        layout: The layout of the first folder.
        sources: All frames.
        records: What each frame showed.
        tally: Sums over all masks.
        duplicates: Pictures that occur more than once.
        oddities: All pictures by how odd they are.
        findings: What is wrong, the worst first.
        seconds: How long each step took.
    """

    options: AuditOptions
    ontology: Ontology
    layout: str
    sources: Sources
    records: list[Record]
    tally: Tally
    duplicates: Duplicates
    oddities: list[Oddity]
    findings: list[Finding]
    seconds: dict[str, float] = field(default_factory=dict)

    def number(self, severity: Severity) -> int:
        """How many findings there are of a severity."""
        return sum(f.severity == severity for f in self.findings)

    @property
    def worst(self) -> Severity | None:
        """The worst severity; None where nothing was found."""
        return max((f.severity for f in self.findings), default=None)


def run_audit(options: AuditOptions) -> Audit:
    """Audit data folders; no file in them stops it.

    Raises:
        DataError: A folder is missing or empty, or has no layout that is known.
        OntologyError: The ontology cannot be loaded.
        OffroadSegError: The extra ``audit`` is not installed.
    """
    _need("imagehash")
    start = time.perf_counter()
    layout = find_layout(options.layout, options.data)
    ontology = data_ontology(layout, options.data, options.ontology)
    sources = find_sources(options.data, options.val, options.layout)
    frames = sources.frames
    seconds = {"listing": time.perf_counter() - start}
    records, tally = [], Tally(ontology)
    probed = probe_all(frames, ontology, options.threads, show_progress=options.show_progress)
    for index, record in enumerate(probed):
        if record.mask is not None:
            tally.add(index, frames[index].part, record.mask)
        records.append(record.slim())
    seconds["reading"] = time.perf_counter() - start - sum(seconds.values())
    duplicates = find_duplicates(frames, records)
    seconds["comparing"] = time.perf_counter() - start - sum(seconds.values())
    oddities = find_oddities(records, duplicates, frames)
    findings = _findings(sources, records, tally, duplicates, oddities)
    seconds["checking"] = time.perf_counter() - start - sum(seconds.values())
    return Audit(
        options, ontology, layout.name, sources, records, tally, duplicates, oddities,
        sorted(findings, key=lambda f: -f.severity), seconds,
    )  # fmt: skip


def _findings(
    sources: Sources, records: list[Record], tally: Tally, duplicates: Duplicates, oddities: list[Oddity]
) -> list[Finding]:
    frames = sources.frames
    truly_fit = fitting_ontologies(tally, sky=True)
    fit = truly_fit or fitting_ontologies(tally, sky=False)
    about_files = [
        *label_findings(frames, records, tally, fit[:_FITS_NAMED]),
        *file_findings(sources, records),
    ]
    dropped = {drop.paths for finding in about_files for drop in finding.drops}
    spoiled = {i for i, frame in enumerate(frames) if frame.paths in dropped}
    conflicts, in_conflict = conflict_findings(frames, records, duplicates, tally.ontology)
    return [
        *ontology_findings(tally, records, truly_fit[:_FITS_NAMED]),
        *about_files,
        *sky_frame_findings(frames, records, tally),
        *conflicts,
        *duplicate_findings(duplicates, sources, in_conflict, spoiled),
        *oddity_findings(records, oddities, frames),
        *class_findings(tally, sources.parts),
    ]


def _need(module: str) -> None:
    try:
        __import__(module)
    except ImportError:
        raise OffroadSegError(
            f"{module} is not installed", where="offroad-seg audit", mend="pip install 'offroad-seg[audit]'"
        ) from None
