# SPDX-License-Identifier: Apache-2.0
"""Building device engines from portable bundles, and the gates that they must pass."""
