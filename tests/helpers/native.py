# SPDX-License-Identifier: Apache-2.0
"""The same work twice: by numpy alone, and with the compiled kernels."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

import pytest

from offroad_seg.native import library
from offroad_seg.native.library import find, want

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Result = TypeVar("Result")


@contextmanager
def kernels(wanted: bool) -> Iterator[None]:
    """With the kernels, or without."""
    before = want(wanted)
    try:
        yield
    finally:
        want(before)


def twins(work: Callable[[], Result]) -> tuple[Result, Result]:
    """What some work gives without and with the kernels; it must not hold on to kept buffers. Skips without them.

    Work that asks for no kernel at all is a mistake of the test.
    """
    if find()[0] is None:
        pytest.skip(f"no compiled kernels: {find()[1]}")
    with kernels(False):
        numpy = work()
    calls: list[str] = []
    real = library._function

    def counted(name: str, kinds: str) -> Callable[..., None]:
        def call(*args: object) -> None:
            calls.append(name)
            real(name, kinds)(*args)

        return call

    with kernels(True), pytest.MonkeyPatch.context() as patch:
        patch.setattr(library, "_function", counted)
        native = work()
    assert calls, "no kernel was called"
    return numpy, native
