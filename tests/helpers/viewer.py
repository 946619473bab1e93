# SPDX-License-Identifier: Apache-2.0
"""A viewer as Foxglove is one: a WebSocket client that reads the schemas from the server and decodes by them."""

from __future__ import annotations

import asyncio
import base64
import json
import struct
import threading
import time
from typing import TYPE_CHECKING, Any

import aiohttp
import cv2
import numpy as np
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

if TYPE_CHECKING:
    from collections.abc import Callable

PROTOCOL = "foxglove.sdk.v1"


class Viewer:
    """Use as a context manager; its thread receives.

    Args:
        url: ``ws://…``.
        topics: What to subscribe to as soon as it is advertised.
        slow: Subscribe, and then read nothing at all.
        patience_s: Try so long until the server is there.
    """

    def __init__(self, url: str, *topics: str, slow: bool = False, patience_s: float = 0.0) -> None:
        self._url, self._topics, self._slow = url, set(topics), slow
        self._patience_s = patience_s
        self.channels: dict[str, dict[str, Any]] = {}
        self.got: dict[str, list[tuple[int, Any]]] = {}
        self.status: list[dict[str, Any]] = []
        self._by_subscription: dict[int, tuple[str, Any]] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), daemon=True)
        self.error: Exception | None = None

    def __enter__(self) -> Viewer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(60)
        assert not self._thread.is_alive()

    def wait(self, condition: Callable[[], bool], timeout_s: float = 60.0) -> None:
        deadline = time.monotonic() + timeout_s
        while not condition():
            assert self.error is None, self.error
            assert time.monotonic() < deadline, (
                f"only { ({t: len(m) for t, m in self.got.items()}) }, {self.status}"
            )
            time.sleep(0.01)

    def wait_for(self, *topics: str, count: int = 1, timeout_s: float = 60.0) -> None:
        """Wait until each topic has brought so many messages."""
        self.wait(lambda: all(len(self.got.get(t, [])) >= count for t in topics), timeout_s)

    def newest(self, topic: str) -> Any:
        return self.got[topic][-1][1]

    async def _run(self) -> None:
        deadline = time.monotonic() + self._patience_s
        while time.monotonic() < deadline and not self._stop.is_set():
            try:
                host, _, port = self._url.removeprefix("ws://").rpartition(":")
                (await asyncio.open_connection(host, int(port)))[1].close()
                break
            except OSError:
                await asyncio.sleep(0.01)
        try:
            async with (
                aiohttp.ClientSession() as session,
                session.ws_connect(self._url, protocols=[PROTOCOL], max_msg_size=0) as socket,
            ):
                while not self._stop.is_set():
                    if self._slow and self._by_subscription:
                        await asyncio.sleep(0.05)
                        continue
                    try:
                        message = await socket.receive(timeout=0.05)
                    except asyncio.TimeoutError:
                        continue
                    if message.type is aiohttp.WSMsgType.TEXT:
                        await self._control(json.loads(message.data), socket)
                    elif message.type is aiohttp.WSMsgType.BINARY:
                        self._data(message.data)
                    else:
                        return
        except Exception as error:
            self.error = error

    async def _control(self, message: dict[str, Any], socket: Any) -> None:
        if message["op"] == "status":
            self.status.append(message)
        if message["op"] != "advertise":
            return
        wanted = []
        for channel in message["channels"]:
            self.channels[channel["topic"]] = channel
            if channel["topic"] in self._topics:
                wanted.append({"id": channel["id"], "channelId": channel["id"]})
                self._by_subscription[channel["id"]] = (channel["topic"], decoder(channel))
        await socket.send_json({"op": "subscribe", "subscriptions": wanted})

    def _data(self, data: bytes) -> None:
        op, subscription, log_time = struct.unpack_from("<BIQ", data)
        assert op == 1
        topic, kind = self._by_subscription[subscription]
        self.got.setdefault(topic, []).append((log_time, kind.FromString(data[13:])))


def decoder(channel: dict[str, Any]) -> Any:
    """The message class that a channel's own schema describes."""
    assert channel["encoding"] == channel["schemaEncoding"] == "protobuf"
    pool = descriptor_pool.DescriptorPool()
    files = descriptor_pb2.FileDescriptorSet.FromString(base64.b64decode(channel["schema"]))
    for file in files.file:
        pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(channel["schemaName"]))


def picture(message: Any) -> np.ndarray:
    """A foxglove.CompressedImage as RGB (H, W, 3)."""
    bgr = cv2.imdecode(np.frombuffer(message.data, np.uint8), cv2.IMREAD_COLOR)
    return cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)


def stamp(message: Any) -> int:
    return message.timestamp.seconds * 10**9 + message.timestamp.nanos


_TYPES = {1: "u1", 2: "i1", 7: "<f4"}


def packed(message: Any, stride: int) -> np.ndarray:
    """The elements of a foxglove.Grid or PointCloud as a structured array."""
    kind = np.dtype(
        {
            "names": [f.name for f in message.fields],
            "formats": [_TYPES[f.type] for f in message.fields],
            "offsets": [f.offset for f in message.fields],
            "itemsize": stride,
        }
    )
    return np.frombuffer(message.data, kind)
