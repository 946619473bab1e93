# SPDX-License-Identifier: Apache-2.0
"""Labelled images: layouts on disk, checks, splits, and data sets for training."""
