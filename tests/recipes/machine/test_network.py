"""Hosts that answer, and that do not."""

import socket
import time

import pytest

from recipes.machine import network


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    for name in network.PROXIES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
def port():
    """A port of this machine on which somebody listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_one_that_answers_is_enough(port):
    assert network.any_answers(["no-such-host.invalid", "127.0.0.1"], port)


def test_none_that_answers_is_known_soon(port):
    begun = time.monotonic()
    assert not network.any_answers(["no-such-host.invalid"], port)
    assert time.monotonic() - begun < 2 * network.SECONDS + 1


def test_behind_a_proxy_any_may_be_reached(monkeypatch):
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    assert network.any_answers(["no-such-host.invalid"])
