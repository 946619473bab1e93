# SPDX-License-Identifier: Apache-2.0
"""Training: recipe, loading, module, schedule, and the record of a run."""
