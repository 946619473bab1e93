# SPDX-License-Identifier: Apache-2.0
"""The offline trainer: data, models, training, evaluation and export for offroad_seg."""

from __future__ import annotations

from offroad_seg import __version__

__all__ = ["__version__"]
