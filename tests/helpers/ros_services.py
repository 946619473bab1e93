# SPDX-License-Identifier: Apache-2.0
"""The node's services, asked by a test."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState, GetState
from rcl_interfaces.srv import SetParameters
from rclpy.parameter import Parameter

if TYPE_CHECKING:
    from collections.abc import Callable

PATIENCE_S = 60.0
"""How long what must come is waited for, on the busiest machine: it costs nothing where it comes early."""


class Services:
    """What a client asks the node ``perception`` in its namespace.

    A service's client is kept: a new one is not known to the node at first, and the node's answer is then lost.
    """

    node: Any

    def __init__(self) -> None:
        self._services: dict[str, Any] = {}

    def spin_until(self, condition: Callable[[], bool], timeout_s: float = PATIENCE_S) -> bool:
        """Work on what comes until something holds; False if it never does."""
        raise NotImplementedError

    def set_parameter(self, name: str, value: Any) -> Any:
        request = SetParameters.Request(parameters=[Parameter(name, value=value).to_parameter_msg()])
        return self.call(SetParameters, "perception/set_parameters", request).results[0]

    def change_state(self, transition: int, timeout_s: float = PATIENCE_S) -> bool:
        name = "perception/change_state"
        if name not in self._services:
            self._service(ChangeState, name)
            self.state()  # when this one is answered, the node knows the other one too
        request = ChangeState.Request(transition=Transition(id=transition))
        return bool(self.call(ChangeState, name, request, timeout_s, times=1).success)

    def state(self) -> str:
        return str(self.call(GetState, "perception/get_state", GetState.Request()).current_state.label)

    def call(
        self, kind: Any, name: str, request: Any, timeout_s: float = PATIENCE_S, *, times: int = 3
    ) -> Any:
        """Ask, and ask again where no answer comes, so many times.

        Raises:
            TimeoutError: None came.
        """
        client = self._service(kind, name)
        assert self.spin_until(client.service_is_ready), f"no service {name}"
        for _ in range(times):
            future = client.call_async(request)
            if self.spin_until(future.done, timeout_s / times):
                return future.result()
            client.remove_pending_request(future)
        raise TimeoutError(f"{name} did not answer")

    def _service(self, kind: Any, name: str) -> Any:
        if name not in self._services:
            self._services[name] = self.node.create_client(kind, name)
        return self._services[name]
