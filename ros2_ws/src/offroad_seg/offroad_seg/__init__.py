# SPDX-License-Identifier: Apache-2.0
"""Off-road perception at run time: frames in, label images and a traversability costmap out."""

from __future__ import annotations

__version__ = "0.1.0"
