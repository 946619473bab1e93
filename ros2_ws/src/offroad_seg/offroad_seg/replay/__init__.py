# SPDX-License-Identifier: Apache-2.0
"""A bag in, numbers and pictures out."""
