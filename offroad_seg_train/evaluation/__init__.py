# SPDX-License-Identifier: Apache-2.0
"""What a model is worth on labelled images, and what it says of unlabelled ones."""
