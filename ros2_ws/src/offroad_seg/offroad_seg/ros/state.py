# SPDX-License-Identifier: Apache-2.0
"""Asking a running node for its lifecycle state: what a container's health check does."""

from __future__ import annotations

import time

import rclpy
from lifecycle_msgs.srv import GetState
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor

from offroad_seg.errors import OffroadSegError


def lifecycle_state(name: str, timeout_s: float) -> str:
    """The state of a lifecycle node, such as ``active``.

    Args:
        name: The node's full name, such as ``/perception``.
        timeout_s: How long to wait for it and for its answer, s.

    Raises:
        OffroadSegError: Nobody of that name answers in time.
    """
    deadline = time.monotonic() + timeout_s
    context = Context()
    rclpy.init(context=context)
    node = rclpy.create_node("offroad_seg_state", context=context)
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(node)
    try:
        client = node.create_client(GetState, f"/{name.strip('/')}/get_state")
        if client.wait_for_service(timeout_s):
            answer = client.call_async(GetState.Request())
            executor.spin_until_future_complete(answer, max(0.0, deadline - time.monotonic()))
            if answer.done() and answer.result() is not None:
                return str(answer.result().current_state.label)
    finally:
        executor.shutdown()
        node.destroy_node()
        rclpy.try_shutdown(context=context)
    raise OffroadSegError(
        f"no lifecycle node answers after {timeout_s:g} s",
        where=name,
        mend="is it running, on this ROS_DOMAIN_ID, under this name? `ros2 node list` shows them",
    )
