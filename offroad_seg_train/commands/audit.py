# SPDX-License-Identifier: Apache-2.0
"""``offroad-seg audit``: what is wrong with a labelled data set, before it is trained on."""

from __future__ import annotations

from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING

from offroad_seg.cli.command import Command

if TYPE_CHECKING:
    import argparse

    from offroad_seg_train.audit.audit import Audit

_WIDTH, _INDENT = 110, " " * 9
_EPILOG = """examples:
  offroad-seg audit data/desert --ontology duality_desert --out audit
  offroad-seg audit data/train --val data/val --ontology my_classes.yaml --out audit --fix-list audit/drop.txt
  offroad-seg audit data/desert --out audit --fail-on warning        # for a build that refuses bad data

exit status: 0 nothing at or above --fail-on, 1 something, 2 bad usage or input
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "data", type=Path, metavar="DATA", help="what is trained on, or a data set that says its parts itself"
    )
    parser.add_argument(
        "--val", type=Path, action="append", default=[], metavar="DIR",
        help="a folder that is held out; may be given again",
    )  # fmt: skip
    parser.add_argument(
        "--ontology",
        metavar="NAME",
        help="what the mask values mean, by name or YAML file (the data set's own)",
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder to write")
    parser.add_argument(
        "--layout", default="auto", metavar="L", help="docs/data.md lists them (auto: look at the folder)"
    )
    parser.add_argument(
        "--fix-list", type=Path, metavar="FILE", help="also write the files to leave out, with the reasons"
    )
    parser.add_argument(
        "--fail-on", default="error", choices=("error", "warning", "never"),
        help="exit with 1 where a finding is at least so bad (error)",
    )  # fmt: skip
    parser.add_argument(
        "--workers",
        type=int,
        default=0,
        metavar="N",
        help="threads that read files (0: as many as there are cores)",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace what is in DIR")


def run(args: argparse.Namespace) -> int:
    """Audit, write the results, and say what was found."""
    from offroad_seg import resources
    from offroad_seg.errors import InputError
    from offroad_seg_train.audit.audit import AuditOptions, run_audit
    from offroad_seg_train.audit.audit_json import to_text
    from offroad_seg_train.audit.finding import Severity
    from offroad_seg_train.audit.fix_list import fix_list, to_drop
    from offroad_seg_train.audit.report import report_html

    if args.fix_list is not None and args.fix_list.is_dir():
        raise InputError(
            "the fix list is a folder", where=str(args.fix_list), mend="give a file, such as drop.txt"
        )
    options = AuditOptions(
        data=args.data, val=tuple(args.val), ontology=args.ontology, layout=args.layout, workers=args.workers
    )
    resources.keep_sources(args.out, options.data, *options.val)
    with resources.replacing_folder(args.out, overwrite=args.overwrite) as folder:
        audit = run_audit(options)
        resources.write_text(folder / "audit.json", to_text(audit))
        resources.write_text(folder / "audit.html", report_html(audit))
    print("\n".join(lines(audit)))
    print(f"report: {args.out / 'audit.html'}   figures: {args.out / 'audit.json'}")
    if args.fix_list is not None:
        resources.write_text(args.fix_list, fix_list(audit.findings))
        print(f"{to_drop(audit.findings)} frames or files to leave out: {args.fix_list}")
    limit = {"error": Severity.ERROR, "warning": Severity.WARNING}.get(args.fail_on)
    failed = limit is not None and audit.worst is not None and audit.worst >= limit
    return 1 if failed else 0


def lines(audit: Audit) -> list[str]:
    """What was found, as lines of text; the worst last, where a terminal shows it."""
    from offroad_seg_train.audit.finding import Severity, count

    said = []
    for finding in reversed(audit.findings):
        said.append(f"{finding.severity.word.upper():<8} {finding.title}")
        if finding.severity == Severity.ERROR:
            said += [
                fill(text, _WIDTH, initial_indent=_INDENT, subsequent_indent=_INDENT)
                for text in (finding.text, f"mend: {finding.mend}")
            ]
    total = ", ".join(count(audit.number(s), s.word) for s in reversed(Severity))
    parts = ", ".join(audit.sources.parts) if len(audit.sources.parts) > 1 else ""
    frames = count(len(audit.sources.frames), "labelled image") + (f" ({parts})" if parts else "")
    return [*said, f"{frames}, ontology {audit.ontology.name}: {total}"]


COMMAND = Command(
    name="audit",
    help="find what is wrong with labelled images: broken files, duplicates, leaks, odd images, a wrong ontology",
    add_arguments=add_arguments,
    run=run,
    epilog=_EPILOG,
)
