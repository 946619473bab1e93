# SPDX-License-Identifier: Apache-2.0
"""The ROS 2 side: the lifecycle node, its messages and parameters. Only this package imports rclpy."""
