# SPDX-License-Identifier: Apache-2.0
"""Whether ROS 2 works on this machine: camera images from one DDS participant to another."""

from __future__ import annotations

import array
import time
from typing import Any

import rclpy
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.qos import qos_profile_sensor_data
from rclpy.utilities import get_rmw_implementation_identifier
from sensor_msgs.msg import Image

IMAGES, WIDTH, HEIGHT = 20, 1280, 720
_CONNECT_S, _RATE_HZ = 5.0, 30.0


def image_round_trip(domain: int) -> dict[str, Any]:
    """Send images at 30 Hz, best effort as a camera does, and count what arrives.

    Args:
        domain: ROS domain to use.

    Returns:
        ``rmw``, ``sent``, ``arrived``, ``median_ms``, or ``error``.
    """
    contexts = [Context(), Context()]
    for context in contexts:
        rclpy.init(context=context, domain_id=domain)
    sender, receiver = (
        rclpy.create_node(f"doctor_{role}", context=context)
        for role, context in zip(("sender", "receiver"), contexts)  # noqa: B905 – both are two
    )
    executor = SingleThreadedExecutor(context=contexts[1])
    executor.add_node(receiver)
    sent_s: dict[str, float] = {}
    took_ms: list[float] = []

    def take(message: Image) -> None:
        took_ms.append(1e3 * (time.monotonic() - sent_s[message.header.frame_id]))

    receiver.create_subscription(Image, "doctor_image", take, qos_profile_sensor_data)
    publisher = sender.create_publisher(Image, "doctor_image", qos_profile_sensor_data)
    try:
        deadline = time.monotonic() + _CONNECT_S
        while publisher.get_subscription_count() == 0:
            if time.monotonic() > deadline:
                return {"error": "two participants on this machine do not find each other"}
            executor.spin_once(timeout_sec=0.05)
        data = array.array("B", bytes(3 * WIDTH * HEIGHT))
        for number in range(IMAGES):
            message = Image(height=HEIGHT, width=WIDTH, encoding="rgb8", step=3 * WIDTH, data=data)
            message.header.frame_id = str(number)
            sent_s[message.header.frame_id] = time.monotonic()
            publisher.publish(message)
            until = time.monotonic() + 1.0 / _RATE_HZ
            while time.monotonic() < until:
                executor.spin_once(timeout_sec=max(0.0, until - time.monotonic()))
    finally:
        executor.shutdown()
        sender.destroy_node()
        receiver.destroy_node()
        for context in contexts:
            rclpy.try_shutdown(context=context)
    median = sorted(took_ms)[len(took_ms) // 2] if took_ms else None
    rmw = get_rmw_implementation_identifier()
    return {"rmw": rmw, "sent": IMAGES, "arrived": len(took_ms), "median_ms": median}
