# SPDX-License-Identifier: Apache-2.0
"""Why a file of weights cannot be read, in words."""

from __future__ import annotations

import pickle


def why_unreadable(error: BaseException) -> str:
    """What went wrong when torch read a file, without torch's own advice: that is to switch its safeguard off."""
    if isinstance(error, pickle.UnpicklingError):
        return "it was not saved by torch, or holds more than tensors and plain values, which could be code"
    first = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
    return first.partition(". ")[0]
