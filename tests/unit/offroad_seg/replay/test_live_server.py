# SPDX-License-Identifier: Apache-2.0
"""Where the live view listens: on this machine, on a port that is free, and what it says where it cannot."""

from __future__ import annotations

import sys
import time

import pytest

pytest.importorskip("foxglove", reason="foxglove-sdk is not installed")
pytest.importorskip("aiohttp", reason="aiohttp is not installed")

from offroad_seg.errors import InputError
from offroad_seg.replay.live_server import LiveServer
from tests.helpers.viewer import Viewer


@pytest.fixture
def server():
    with LiveServer(port=0) as server:
        yield server


def test_it_listens_on_this_machine_only():
    psutil = pytest.importorskip("psutil")

    def listening(port: int) -> list[str]:
        found = psutil.Process().net_connections("inet")
        return [c.laddr.ip for c in found if c.status == psutil.CONN_LISTEN and c.laddr.port == port]

    with LiveServer(port=0) as server:
        port = server.port
        assert listening(port) == ["127.0.0.1"]
        assert server.is_local
    # The library's own thread closes the socket.
    deadline = time.monotonic() + 60
    while listening(port):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_taken_port_is_said(server):
    with pytest.raises(InputError) as caught:
        LiveServer(port=server.port)
    assert f"port {server.port} is taken" in caught.value.what
    assert "--port" in caught.value.mend


@pytest.mark.parametrize(
    ("host", "port", "word"),
    [("203.0.113.7", 0, "listen"), ("127.0.0.1", 70000, "no port"), ("127.0.0.1", -1, "no port")],
)
def test_an_address_that_is_none_is_said(host, port, word):
    with pytest.raises(InputError, match=word):
        LiveServer(host, port)


def test_without_the_sdk_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "foxglove", None)
    with pytest.raises(InputError) as caught:
        LiveServer(port=0)
    assert "offroad-seg[view]" in caught.value.mend


def test_several_cameras_have_topics_of_their_own():
    with LiveServer(port=0, cameras=("front", "/rear")) as server, Viewer(server.url) as viewer:
        viewer.wait(lambda: len(viewer.channels) == 12)
        assert {"/front/image", "/rear/points", "/costmap", "/tf"} <= set(viewer.channels)
