# SPDX-License-Identifier: Apache-2.0
"""Runs the node in a process of its own and ends cleanly on SIGINT and SIGTERM, with exit status 0.

If something hangs then, it ends all the same, in bounded time and with status 1: see ``ending.py``.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from offroad_seg.errors import OffroadSegError
from offroad_seg.ros.dds import use_large_image_profile
from offroad_seg.ros.ending import Ending, end_now

if TYPE_CHECKING:
    import threading
    from collections.abc import Sequence

    from rclpy.executors import Executor

    from offroad_seg.ros.node import PerceptionNode

_SPIN_S = 0.2


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point of ``ros2 run offroad_seg perception_node``; arguments as for any ROS node."""
    try:
        return run(arguments)
    except OffroadSegError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code


def run(arguments: Sequence[str] | None = None) -> int:
    """Start the node and spin until a signal comes.

    Raises:
        InputError: A parameter that was given on start is wrong.
    """
    use_large_image_profile()  # before rclpy is initialised: Fast DDS reads it once

    import rclpy
    from rclpy.signals import SignalHandlerOptions

    from offroad_seg.ros.executor import FrameExecutor
    from offroad_seg.ros.node import PerceptionNode

    # rclpy's own handlers tear the context down under a running callback.
    rclpy.init(
        args=list(arguments) if arguments is not None else None,
        signal_handler_options=SignalHandlerOptions.NO,
    )
    ending = Ending()
    executor = FrameExecutor()
    node: PerceptionNode | None = None
    ended_well = True
    try:
        node = PerceptionNode()
        executor.quick = node.inputs
        executor.add_node(node)
        _spin(node, executor, ending.asked)
    finally:
        ending.ignore_signals()
        if node is not None:
            ended_well = node.close()
        executor.shutdown()
        if node is not None:
            node.destroy_node()
        rclpy.try_shutdown()
    if not ended_well:
        # Python would wait for the library in which the network's thread hangs.
        end_now("the network hangs: the process ends without it")
    ending.done()
    return 0


def _spin(node: PerceptionNode, executor: Executor, stop: threading.Event) -> None:
    if node.get_parameter("autostart").value:
        node.autostart()
    else:
        node.get_logger().info("waiting to be configured")
    while not stop.is_set():
        try:
            executor.spin_once(timeout_sec=_SPIN_S)
        except Exception as error:  # noqa: BLE001, PERF203
            # rclpy lets an invalid lifecycle transition, asked for by a client, raise right through the executor.
            node.get_logger().error(f"a callback failed: {type(error).__name__}: {error}")


if __name__ == "__main__":
    sys.exit(main())
