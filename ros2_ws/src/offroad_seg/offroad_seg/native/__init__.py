# SPDX-License-Identifier: Apache-2.0
"""The hot loops in C, for machines on which a compiler was there at installation; numpy does the same work without."""
