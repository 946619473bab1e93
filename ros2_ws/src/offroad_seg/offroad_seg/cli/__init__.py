# SPDX-License-Identifier: Apache-2.0
"""The `offroad-seg` command and its runtime subcommands."""
