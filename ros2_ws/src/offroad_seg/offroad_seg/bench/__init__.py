# SPDX-License-Identifier: Apache-2.0
"""How fast a bundle runs on this machine: rates, latency, drops and load, in the terms of Isaac ROS Benchmark."""
