# SPDX-License-Identifier: Apache-2.0
"""The lifecycle node ``perception``: images in, labels and a costmap out. The work is done in ``session.py``."""

from __future__ import annotations

import logging
import time
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray
from nav_msgs.msg import Odometry
from rclpy.clock import Clock, ClockType, JumpThreshold
from rclpy.duration import Duration
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy
from rclpy.qos_overriding_options import QoSOverridingOptions
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from offroad_seg.errors import OffroadSegError
from offroad_seg.ros.diagnostics import COMPONENTS, diagnostics_message, memory_mib, statistics_values
from offroad_seg.ros.health import Health, Level
from offroad_seg.ros.loading import describe, load_pipeline
from offroad_seg.ros.parameters import NodeParameters
from offroad_seg.ros.session import Session
from offroad_seg.ros.statistics import Statistics

try:
    from tf2_msgs.msg import TFMessage
except ImportError:  # the wheels do not have it: camera_mount.* and odometry stand in
    TFMessage = None

SUCCESS, FAILURE = TransitionCallbackReturn.SUCCESS, TransitionCallbackReturn.FAILURE

_WATCH_PERIOD_S = 0.1
_DIAGNOSTICS_PERIOD_S = 1.0
_WARN_PERIOD_S = 5.0


def _qos(depth: int, *, reliable: bool = False, latched: bool = False) -> QoSProfile:
    return QoSProfile(
        history=HistoryPolicy.KEEP_LAST,
        depth=depth,
        reliability=ReliabilityPolicy.RELIABLE if reliable else ReliabilityPolicy.BEST_EFFORT,
        durability=DurabilityPolicy.TRANSIENT_LOCAL if latched else DurabilityPolicy.VOLATILE,
    )


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
        self.health = Health(COMPONENTS)
        self.statistics = Statistics()
        self._session: Session | None = None
        self._active = False
        self._inputs: list[Any] = []
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
        self.health.clear("node")
        try:
            settings = self._parameters_in_use.settings()
            pipeline = load_pipeline(settings, self._parameters_in_use.declare_costs)
            self._session = Session(self, pipeline, settings)
            self._identity = describe(pipeline)
        except OffroadSegError as error:
            self.get_logger().error(f"configure failed: {error}")
            self.health.set("node", "configure", Level.ERROR, f"configure failed: {error.one_line()}")
            self._free()
            return FAILURE
        self.get_logger().info("configured: " + ", ".join(f"{k} {v}" for k, v in self._identity.items()))
        self._warn_of_missing_transforms(settings.mount() is None)
        return super().on_configure(state)

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Subscribe and work."""
        assert self._session is not None
        result = super().on_activate(state)
        self._session.activate()
        self._subscribe(self._session)
        self._active = True
        return result

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Unsubscribe and stop."""
        self._stop()
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
        self.get_logger().error(f"a transition from {state.label} failed: back to unconfigured")
        self._free()
        return SUCCESS

    def autostart(self) -> None:
        """Configure and activate without a lifecycle manager; if that fails, the node lives and says why."""
        if self.trigger_configure() == SUCCESS:
            self.trigger_activate()
        self.publish_diagnostics()

    def close(self) -> None:
        """Stop and free before the process ends; in any state, without a transition."""
        self._free()

    def publish_diagnostics(self) -> None:
        """Tell how things are."""
        values = statistics_values(self.statistics)
        values["node"] = {
            "state": self._state_machine.current_state[1],
            "memory_mib": f"{memory_mib():.1f}",
            "tf2_msgs": "installed" if TFMessage is not None else "not installed: /tf is not read",
            **self._identity,
        }
        hardware = self._identity.get("bundle", "none")
        name = self.get_fully_qualified_name().lstrip("/")
        self._diagnostics.publish(diagnostics_message(self.now_ns(), name, hardware, self.health, values))

    def _subscribe(self, session: Session) -> None:
        overridable = QoSOverridingOptions.with_default_policies()
        newest = _qos(1)
        if self.get_parameter("image_transport").value == "compressed":
            topic, kind = self.resolve_topic_name("image") + "/compressed", CompressedImage
        else:
            topic, kind = "image", Image
        make = self.create_subscription
        self._inputs = [
            make(kind, topic, session.on_image, newest, qos_overriding_options=overridable),
            make(
                CameraInfo, "camera_info", session.on_camera_info, newest, qos_overriding_options=overridable
            ),
            make(Odometry, "odom", session.on_odometry, _qos(50), qos_overriding_options=overridable),
        ]
        if TFMessage is not None:
            self._inputs += [
                make(
                    TFMessage,
                    "/tf",
                    lambda m: session.on_transforms(m, static=False),
                    _qos(100, reliable=True),
                ),
                make(
                    TFMessage,
                    "/tf_static",
                    lambda m: session.on_transforms(m, static=True),
                    _qos(100, reliable=True, latched=True),
                ),
            ]

    def _stop(self) -> None:
        for subscription in self._inputs:
            self.destroy_subscription(subscription)
        self._inputs = []
        if self._session is not None and self._active:
            self._session.deactivate()
        self._active = False

    def _free(self) -> None:
        self._stop()
        if self._session is not None:
            self._session.destroy()
            self._session = None
        self._identity = {}
        self._parameters_in_use.undeclare_costs()

    def _apply(self, changes: dict[str, Any]) -> None:
        if self._session is not None:
            self._session.apply(self._parameters_in_use.settings(), changes)

    def _watch(self) -> None:
        if self._session is None or not self._active:
            return
        if reason := self._session.watch():
            self.get_logger().error(f"deactivating: {reason}")
            self.health.set("node", "gave_up", Level.ERROR, f"deactivated itself: {reason}")
            self.trigger_deactivate()
            self.publish_diagnostics()

    def _on_jump(self, _jump: Any) -> None:
        if self._session is not None and self._active:
            self._session.time_ran_back("the ROS clock")

    def _warn_of_missing_transforms(self, no_mount: bool) -> None:
        if no_mount and TFMessage is None:
            text = "no camera_mount.* is given and tf2_msgs is not installed: there will be no costmap"
            self.get_logger().warning(text)
            self.health.set("node", "no_mount", Level.WARN, text)
