# SPDX-License-Identifier: Apache-2.0
"""One progress bar for every long task."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, TypeVar

from tqdm import tqdm

if TYPE_CHECKING:
    from collections.abc import Iterable

T = TypeVar("T")


def progress(
    items: Iterable[T], *, what: str, total: int | None = None, unit: str = "frame", show: bool = True
) -> Iterable[T]:
    """Yield the items and show how many are done and how long the rest will take.

    On a terminal the bar moves; in a log it says a line every ten seconds, so that a build log stays readable.
    """
    live = sys.stderr.isatty()
    bar: Iterable[T] = tqdm(
        items,
        desc=what,
        total=total,
        unit=unit,
        disable=not show,
        mininterval=0.2 if live else 10.0,
        maxinterval=0.2 if live else 10.0,
        dynamic_ncols=live,
        ascii=not live,
    )
    return bar
