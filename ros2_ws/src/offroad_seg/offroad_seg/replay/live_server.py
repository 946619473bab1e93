# SPDX-License-Identifier: Apache-2.0
"""The WebSocket server that a viewer in a browser connects to, through foxglove-sdk; read only."""

from __future__ import annotations

import ipaddress
import threading
from typing import TYPE_CHECKING, Any

from offroad_seg.errors import InputError, OffroadSegError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

NAME = "offroad_seg"
DEFAULT_HOST, DEFAULT_PORT = "127.0.0.1", 8765
BACKLOG = 12
"""Messages for each camera that may wait for one viewer, about two frames; then the oldest is dropped."""
OF_CAMERA = {
    "image": "CompressedImage",
    "labels": "CompressedImage",
    "overlay": "CompressedImage",
    "confidence": "CompressedImage",
    "points": "PointCloud",
}
"""Topic (below the camera's name, where there are several) → foxglove schema."""
OF_VEHICLE = {"costmap": "Grid", "tf": "FrameTransforms"}
KEPT = ("costmap", "tf")
"""Topics whose last message a new viewer gets at once, as a latched topic in ROS."""


def check_installed() -> None:
    """Look whether foxglove-sdk is there.

    Raises:
        InputError: It is not; with the command that installs it.
    """
    try:
        import foxglove  # noqa: F401
    except ImportError:
        raise InputError(
            "the live view needs foxglove-sdk, which is not installed", mend="pip install 'offroad-seg[view]'"
        ) from None


class LiveServer:
    """Use as a context manager. ``send`` may be called from any thread and never waits for a viewer.

    Args:
        host: Address to listen on; only ``127.0.0.1`` and ``::1`` keep it on this machine.
        port: 0 takes any free one.
        cameras: Their names where there are several; else the topics have no name before them.

    Raises:
        InputError: foxglove-sdk is missing, the port is taken, or the address is none of this machine.
    """

    def __init__(
        self,
        host: str = DEFAULT_HOST,
        port: int = DEFAULT_PORT,
        *,
        cameras: Sequence[str] = (),
    ) -> None:
        check_installed()
        import foxglove
        from foxglove import channels

        foxglove.set_log_level("WARNING")
        self.host = host
        self._context = foxglove.Context()
        self._lock = threading.Lock()
        self._kept: dict[str, tuple[Any, int]] = {}
        self._cameras = tuple(cameras) if len(cameras) > 1 else ()
        kinds = {
            self.topic(camera, topic): kind
            for camera in self._cameras or ("",)
            for topic, kind in OF_CAMERA.items()
        }
        self._channels: dict[str, Any] = {
            topic: getattr(channels, f"{kind}Channel")(f"/{topic}", context=self._context)
            for topic, kind in {**kinds, **OF_VEHICLE}.items()
        }
        try:
            self._server = foxglove.start_server(
                name=NAME,
                host=host,
                port=port,
                context=self._context,
                message_backlog_size=BACKLOG * max(1, len(self._cameras)),
                server_listener=_Listener(self._repeat),  # type: ignore[arg-type]
            )
        except (RuntimeError, OverflowError) as error:
            raise _cannot_listen(host, port, str(error)) from None

    @property
    def port(self) -> int:
        """The port that it listens on."""
        return int(self._server.port)

    @property
    def url(self) -> str:
        """What a viewer is given."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"ws://{host}:{self.port}"

    @property
    def is_local(self) -> bool:
        """Whether only this machine can connect."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"

    def topic(self, camera: str, topic: str) -> str:
        """The full name of one of ``OF_CAMERA`` of a camera."""
        return f"{camera.strip('/')}/{topic}" if camera in self._cameras else topic

    def wanted(self, topic: str) -> bool:
        """Whether somebody looks at a topic: what nobody sees is not worked out."""
        return bool(self._channels[topic].has_sinks())

    def any_wanted(self) -> bool:
        """Whether somebody looks at anything."""
        return any(self.wanted(topic) for topic in self._channels)

    def send(self, topic: str, message: Any, stamp_ns: int) -> None:
        """Give a message to those who look."""
        if topic in KEPT:
            with self._lock:
                self._kept[topic] = (message, stamp_ns)
        self._channels[topic].log(message, log_time=max(0, stamp_ns))

    def warn(self, topic: str, text: str) -> None:
        """Show a problem in the viewer; empty takes it away."""
        if text:
            from foxglove.websocket import StatusLevel

            self._server.publish_status(text, StatusLevel.Warning, f"{NAME}/{topic}")
        else:
            self._server.remove_status([f"{NAME}/{topic}"])

    def restart_time(self) -> None:
        """What comes now is another time: viewers forget what they have."""
        with self._lock:
            self._kept.clear()
        self._server.clear_session()

    def close(self) -> None:
        """Stop listening; viewers are disconnected."""
        self._server.stop()
        for channel in self._channels.values():
            channel.close()

    def __enter__(self) -> LiveServer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _repeat(self, name: str) -> None:
        topic = name.lstrip("/")
        with self._lock:
            kept = self._kept.get(topic)
        if kept is not None:
            self._channels[topic].log(kept[0], log_time=max(0, kept[1]))


class _Listener:
    """foxglove's ``ServerListener``: only what is needed; an error in it would be swallowed by the server."""

    def __init__(self, repeat: Callable[[str], None]) -> None:
        self._repeat = repeat

    def on_subscribe(self, _client: Any, channel: Any) -> None:
        self._repeat(channel.topic)

    def on_unsubscribe(self, _client: Any, _channel: Any) -> None:
        pass


def _cannot_listen(host: str, port: int, text: str) -> OffroadSegError:
    where = f"{host}:{port}"
    if "already in use" in text:
        return InputError(
            f"port {port} is taken: another live view or foxglove_bridge may run",
            where=where,
            mend="end it, or choose another with --port (0 takes any free one)",
        )
    if "ermission denied" in text:
        return InputError(f"port {port} is not allowed", where=where, mend="choose one from 1024 to 65535")
    if "out of range" in text or not 0 <= port <= 65535:
        return InputError(f"{port} is no port", where="--port", mend="give 0 to 65535")
    return InputError(
        f"the live view cannot listen there: {text.removeprefix('FoxgloveError: ')}",
        where=where,
        mend="give an address of this machine with --host",
    )
