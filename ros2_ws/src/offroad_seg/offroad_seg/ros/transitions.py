# SPDX-License-Identifier: Apache-2.0
"""An answer for who asks for a lifecycle transition that is impossible now: rclpy raises, and answers nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rclpy.lifecycle import LifecycleNode


def answer_impossible_transitions(node: LifecycleNode) -> None:
    """Let ``change_state`` answer ``success: false`` then, as rclcpp does, and log what is possible.

    Where a later rclpy keeps the service elsewhere, nothing is changed.
    """
    service = getattr(node, "_service_change_state", None)
    if service is None:
        return
    change = service.callback

    def answer(request: Any, response: Any) -> Any:
        possible = {entry[0]: entry[1] for entry in node._state_machine.available_transitions}
        asked = request.transition
        if (asked.label in possible.values()) if asked.label else (asked.id in possible):
            return change(request, response)
        state = node._state_machine.current_state[1]
        names = ", ".join(sorted(set(possible.values()))) or "none"
        node.get_logger().warning(
            f"transition {asked.label or asked.id} refused: the node is {state}; possible: {names}"
        )
        response.success = False
        return response

    service.callback = answer
