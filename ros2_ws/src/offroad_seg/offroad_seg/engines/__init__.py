# SPDX-License-Identifier: Apache-2.0
"""Inference back ends behind one protocol. Nothing here imports a run time before an engine is asked for."""
