# SPDX-License-Identifier: Apache-2.0
"""From the labels of one image to a costmap around the vehicle."""
