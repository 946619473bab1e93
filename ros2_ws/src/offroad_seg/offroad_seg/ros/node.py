# SPDX-License-Identifier: Apache-2.0
"""The lifecycle node ``perception``: images in, labels and a costmap out. The work is done in ``session.py``."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any

from diagnostic_msgs.msg import DiagnosticArray
from rclpy.clock import Clock, ClockType, JumpThreshold
from rclpy.duration import Duration
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn

from offroad_seg.errors import OffroadSegError
from offroad_seg.ros.bond import BOND_INSTALLED, Bond
from offroad_seg.ros.diagnostics import COMPONENTS, diagnostic_values, diagnostics_message, memory_mib
from offroad_seg.ros.health import Health, Level
from offroad_seg.ros.inputs import TF_INSTALLED, Inputs
from offroad_seg.ros.loading import describe, load_rig
from offroad_seg.ros.parameters import NodeParameters
from offroad_seg.ros.session import Session
from offroad_seg.ros.statistics import Statistics
from offroad_seg.ros.transitions import answer_impossible_transitions

if TYPE_CHECKING:
    from collections.abc import Sequence

SUCCESS, FAILURE = TransitionCallbackReturn.SUCCESS, TransitionCallbackReturn.FAILURE
ERROR = TransitionCallbackReturn.ERROR

_WATCH_PERIOD_S = 0.1
_DIAGNOSTICS_PERIOD_S = 1.0
_WARN_PERIOD_S = 5.0
_HANGS = "the network of the last life has not answered yet: wait, or restart the process"


class PerceptionNode(LifecycleNode):  # type: ignore[misc]
    """See ``docs/node.md`` for topics, parameters and behaviour.

    Args:
        node_arguments: Passed on to ``rclpy.node.Node``.

    Raises:
        InputError: A parameter that was given on start is wrong.
    """

    def __init__(self, **node_arguments: Any) -> None:
        # Undeclared ones are refused in parameters.py, with a reason; rclpy's own refusal names nothing.
        super().__init__("perception", allow_undeclared_parameters=True, **node_arguments)
        answer_impossible_transitions(self)
        self.health = Health(COMPONENTS)
        self.statistics = Statistics()
        self._session: Session | None = None
        self._left: Session | None = None  # one whose network hangs: it cannot be freed
        self._inputs: Inputs | None = None
        self._bond: Bond | None = None
        self._failed_by = ""
        self._identity: dict[str, str] = {}
        self._last_warnings: dict[str, float] = {}
        self._parameters_in_use = NodeParameters(self, lambda: self._session is not None, self._apply)
        self._diagnostics = self.create_publisher(DiagnosticArray, "/diagnostics", 10)
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self.create_timer(_WATCH_PERIOD_S, self._watch, clock=steady)
        self.create_timer(_DIAGNOSTICS_PERIOD_S, self.publish_diagnostics, clock=steady)
        backwards = JumpThreshold(
            min_forward=None, min_backward=Duration(nanoseconds=-100_000_000), on_clock_change=False
        )
        self._jump_handle = self.get_clock().create_jump_callback(backwards, post_callback=self._on_jump)

    def inputs(self) -> Sequence[Any]:
        """The subscriptions of an active node, for ``FrameExecutor``."""
        return () if self._inputs is None else self._inputs.subscriptions

    # Time and words, for the session.

    def now_ns(self) -> int:
        """ROS time in nanoseconds; 0 while simulated time has not begun."""
        return int(self.get_clock().now().nanoseconds)

    def now_s(self) -> float:
        """The time that watchdogs go by: the steady clock, or simulated time (a paused bag is no stall)."""
        if self.get_parameter("use_sim_time").value:
            return self.now_ns() / 1e9
        return time.monotonic()

    def warn(self, cause: str, text: str, *, error: Exception | None = None) -> None:
        """Log a warning, at most one in some seconds for each cause."""
        now = time.monotonic()
        if now - self._last_warnings.get(cause, -_WARN_PERIOD_S) >= _WARN_PERIOD_S:
            self._last_warnings[cause] = now
            self.get_logger().warning(text)
            if error is not None:
                logging.getLogger(__name__).error("stack trace", exc_info=error)

    # Lifecycle.

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Load the bundle, build the pipeline, run it once."""
        if self._refused_for_hanging("configure"):
            return FAILURE
        self.health.clear("node")
        try:
            settings = self._parameters_in_use.settings()
            rig = load_rig(settings, self._parameters_in_use.declare_costs)
            try:
                self._session = Session(self, rig, settings)
            except BaseException:
                rig.close()
                raise
            self._identity = describe(rig.first)
        except OffroadSegError as error:
            self.get_logger().error(f"configure failed: {error}")
            self.health.set("node", "configure", Level.ERROR, f"configure failed: {error.one_line()}")
            self._free()
            return FAILURE
        self.get_logger().info("configured: " + ", ".join(f"{k} {v}" for k, v in self._identity.items()))
        self._warn_of_missing_transforms(any(settings.mount(c) is None for c in settings.camera_names))
        return super().on_configure(state)

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Subscribe and work."""
        assert self._session is not None
        if self._refused_for_hanging("activate"):
            return FAILURE
        self.health.clear("node", "gave_up")
        result = super().on_activate(state)
        self._session.activate()
        self._inputs = Inputs(self, self._session)
        period_s = float(self.get_parameter("bond_heartbeat_period").value)
        if BOND_INSTALLED and period_s > 0:
            self._drop_bond()
            self._bond = Bond(self, period_s)
        return result

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Unsubscribe and stop; an error of the node leads on to ``on_error``."""
        self._stop()
        if self._failed_by:
            return ERROR
        return super().on_deactivate(state)

    def on_cleanup(self, _state: LifecycleState) -> TransitionCallbackReturn:
        """Free the engine and the publishers."""
        self._free()
        return SUCCESS

    def on_shutdown(self, _state: LifecycleState) -> TransitionCallbackReturn:
        """Stop and free, from any state."""
        self._free()
        return SUCCESS

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Back to unconfigured."""
        reason = self._failed_by or f"a transition from {state.label} failed"
        self._failed_by = ""
        self.get_logger().error(f"{reason}: back to unconfigured")
        self._free()
        return SUCCESS

    def autostart(self) -> None:
        """Configure and activate without a lifecycle manager; if that fails, the node lives and says why."""
        if self.trigger_configure() == SUCCESS:
            self.trigger_activate()
        self.publish_diagnostics()

    def close(self) -> bool:
        """Stop and free before the process ends; in any state, without a transition. False if the network hangs."""
        self._free()
        self._drop_bond()
        return self._left is None

    def publish_diagnostics(self) -> None:
        """Tell how things are, at least as new as the stamp."""
        now_ns = self.now_ns()
        cameras = {} if self._session is None else self._session.camera_statistics()
        values = diagnostic_values(self.statistics, cameras)
        bond = "off" if self._bond is None else self._bond.machine.state.value
        values["node"] = {
            "state": self._state_machine.current_state[1],
            "memory_mib": f"{memory_mib():.1f}",
            "tf2_msgs": "installed" if TF_INSTALLED else "not installed: /tf is not read",
            "bond": bond if BOND_INSTALLED else "not installed",
            **self._identity,
        }
        hardware = self._identity.get("bundle", "none")
        name = self.get_fully_qualified_name().lstrip("/")
        self._diagnostics.publish(diagnostics_message(now_ns, name, hardware, self.health, values))

    def _stop(self) -> None:
        if self._inputs is None or self._session is None:
            return
        if self._bond is not None:
            self._bond.end()
        self._inputs.destroy()
        self._inputs = None
        self._session.deactivate()

    def _free(self) -> None:
        self._stop()
        if self._session is not None:
            if not self._session.destroy():
                self._left = self._session
            self._session = None
        self._identity = {}
        self._parameters_in_use.undeclare_costs()

    def _drop_bond(self) -> None:
        if self._bond is not None:
            self._bond.destroy()
            self._bond = None

    def _refused_for_hanging(self, transition: str) -> bool:
        self._look_after_hanging()
        if self._left is None and not self._session_hangs():
            return False
        self.get_logger().error(f"{transition} refused: {_HANGS}")
        self.health.set("node", "hangs", Level.ERROR, f"{transition} refused: {_HANGS}")
        return True

    def _session_hangs(self) -> bool:
        return self._session is not None and self._session.hangs

    def _look_after_hanging(self) -> None:
        """Free what hung, as soon as it has come back."""
        if self._left is not None and not self._left.hangs:
            self._left.close()
            self._left = None
        still = self._left is not None or (self._inputs is None and self._session_hangs())
        if not still and self.health.clear("node", "hangs"):
            self.get_logger().info("the network that hung has come back: the node can be used again")

    def _apply(self, changes: dict[str, Any]) -> None:
        if self._session is not None:
            self._session.apply(self._parameters_in_use.settings(), changes)

    def _watch(self) -> None:
        self._look_after_hanging()
        if self._bond is not None and self._inputs is not None and self._bond.lost:
            text = "the bond is broken: Nav2's lifecycle manager has ended, or does not hear this node"
            if self.health.set("node", "bond", Level.WARN, text):
                self.get_logger().warning(text)
        else:
            self.health.clear("node", "bond")
        if self._session is None or self._inputs is None:
            return
        reason, is_error = self._session.watch()
        if reason:
            self.get_logger().error(f"deactivating: {reason}")
            self._failed_by = reason if is_error else ""
            self.health.set("node", "gave_up", Level.ERROR, f"deactivated itself: {reason}")
            self.trigger_deactivate()
            self.publish_diagnostics()

    def _on_jump(self, _jump: Any) -> None:
        if self._session is not None and self._inputs is not None:
            self._session.time_ran_back("the ROS clock")

    def _warn_of_missing_transforms(self, no_mount: bool) -> None:
        if no_mount and not TF_INSTALLED:
            text = "no camera_mount.* is given and tf2_msgs is not installed: there will be no costmap"
            self.get_logger().warning(text)
            self.health.set("node", "no_mount", Level.WARN, text)
