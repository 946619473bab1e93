# SPDX-License-Identifier: Apache-2.0
"""Errors that say what was wrong, where, and how to mend it.

The command line prints the three parts and exits with 2 for ``InputError`` (bad usage or input) and with 1 for
the rest; the node puts them into its log and diagnostics.
"""

from __future__ import annotations


class OffroadSegError(Exception):
    """Base of every error that this project raises on purpose.

    Args:
        what: What is wrong, in one sentence.
        where: The file, topic, field or argument that it concerns.
        mend: What the user can do about it; a command where there is one.
    """

    exit_code = 1

    def __init__(self, what: str, *, where: str = "", mend: str = "") -> None:
        self.what = what
        self.where = where
        self.mend = mend
        super().__init__(what, where, mend)

    def __str__(self) -> str:
        parts = [self.what]
        if self.where:
            parts.append(f"where: {self.where}")
        if self.mend:
            parts.append(f"mend: {self.mend}")
        return "\n  ".join(parts)

    def one_line(self) -> str:
        """The message on a single line, for diagnostics and throttled logs."""
        return "; ".join(str(self).split("\n  "))


class InputError(OffroadSegError):
    """The user's input or usage is wrong."""

    exit_code = 2


class OntologyError(InputError):
    """An ontology file is wrong, or label values do not belong to it."""


class CameraError(InputError):
    """A camera calibration cannot be used."""


class DepthError(InputError):
    """A depth image is missing or cannot be used."""


class ImageError(InputError):
    """An image has the wrong type, size or layout."""


class BlindError(ImageError):
    """A picture shows nothing: the lens is covered, dirty or blinded."""


class DataError(InputError):
    """A data set is incomplete, damaged, or does not fit the ontology."""


class BagError(InputError):
    """A bag cannot be read or lacks what was asked for."""


class BundleError(InputError):
    """A bundle is missing, damaged, or does not fit this machine or software."""


class TransformError(OffroadSegError):
    """A transform is not known at the time asked for."""


class EngineError(OffroadSegError):
    """Inference failed or gave values that cannot be used."""


class GpuMemoryError(EngineError):
    """The GPU has no room: says how much was asked for and how much is free."""


class GateError(OffroadSegError):
    """A quality gate refused a result: nothing was written."""
