# SPDX-License-Identifier: Apache-2.0
"""One side of a topic, for a test that runs publisher and subscriber as two processes.

    python interface_peer.py publish TYPE TOPIC DURABILITY   one message, plain JSON on standard input; stays until killed
    python interface_peer.py receive TYPE TOPIC DURABILITY   prints the first message and the publisher's type hash as JSON

TYPE is as ``tf2_msgs/msg/TFMessage``. Fields are set and read one by one, so that nothing of the transport is taken on trust.
"""

from __future__ import annotations

import importlib
import json
import sys
import time
from typing import Any

import rclpy
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rosidl_parser.definition import AbstractNestedType, NamespacedType

TIMEOUT = 90.0
"""Seconds for which the subscriber waits."""


def message_class(name: str) -> type:
    package, kind, message = name.split("/")
    return getattr(importlib.import_module(f"{package}.{kind}"), message)


def fill(message: Any, plain: dict[str, Any]) -> Any:
    """Set every field that ``plain`` names, nested messages and arrays of them too."""
    for slot, kind in zip(message.__slots__, message.SLOT_TYPES, strict=False):
        field = slot.removeprefix("_")
        if field not in plain:
            continue
        value = plain[field]
        if isinstance(kind, NamespacedType):
            value = fill(getattr(message, field), value)
        elif isinstance(kind, AbstractNestedType) and isinstance(kind.value_type, NamespacedType):
            element = message_class("/".join((*kind.value_type.namespaces, kind.value_type.name)))
            value = [fill(element(), item) for item in value]
        setattr(message, field, value)
    return message


def plain(value: Any) -> Any:
    """A message as dicts, lists and numbers."""
    if hasattr(value, "SLOT_TYPES"):
        fields = [slot.removeprefix("_") for slot in value.__slots__ if slot != "_check_fields"]
        return {field: plain(getattr(value, field)) for field in fields}
    if isinstance(value, (str, int, float)):
        return value
    return [plain(item) for item in value]


def quality(durability: str) -> QoSProfile:
    policy = DurabilityPolicy.TRANSIENT_LOCAL if durability == "latched" else DurabilityPolicy.VOLATILE
    return QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE, durability=policy)


def publish(node: rclpy.node.Node, kind: type, topic: str, durability: str) -> None:
    publisher = node.create_publisher(kind, topic, quality(durability))
    message = fill(kind(), json.load(sys.stdin))
    if durability != "latched":
        while publisher.get_subscription_count() == 0:
            time.sleep(0.05)
    publisher.publish(message)
    print("published", flush=True)
    while True:
        rclpy.spin_once(node, timeout_sec=1.0)


def receive(node: rclpy.node.Node, kind: type, topic: str, durability: str) -> int:
    received: list[Any] = []
    node.create_subscription(kind, topic, received.append, quality(durability))
    end = time.monotonic() + TIMEOUT
    while not received and time.monotonic() < end:
        rclpy.spin_once(node, timeout_sec=0.1)
    if not received:
        print(f"nothing on {topic} in {TIMEOUT} s", file=sys.stderr)
        return 1
    (publisher,) = node.get_publishers_info_by_topic(topic)
    # Humble knows no type hashes.
    hash_value = getattr(publisher, "topic_type_hash", None)
    digest = bytes(hash_value.value).hex() if hash_value else ""
    print(
        json.dumps({"type": publisher.topic_type, "hash": digest, "message": plain(received[0])}), flush=True
    )
    return 0


def main() -> int:
    role, name, topic, durability = sys.argv[1:]
    rclpy.init()
    node = rclpy.create_node(f"interface_peer_{role}")
    try:
        kind = message_class(name)
        if role == "publish":
            publish(node, kind, topic, durability)
        return receive(node, kind, topic, durability)
    finally:
        node.destroy_node()
        rclpy.try_shutdown()


if __name__ == "__main__":
    sys.exit(main())
