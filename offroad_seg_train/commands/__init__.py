# SPDX-License-Identifier: Apache-2.0
"""The subcommands that the trainer adds to `offroad-seg`."""
