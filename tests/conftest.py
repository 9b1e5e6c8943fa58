"""For every test: no connection beyond this machine, property tests that repeat, and a loud list of what was lacking."""

from __future__ import annotations

import ipaddress
import os
import socket
import sys
from collections.abc import Iterator
from typing import Any

import hypothesis
import pytest

hypothesis.settings.register_profile("ci", deadline=None, derandomize=True, max_examples=60, database=None)
hypothesis.settings.register_profile("deep", deadline=None, max_examples=2000, database=None)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))

_REAL_CONNECT, _REAL_CONNECT_EX = socket.socket.connect, socket.socket.connect_ex


class ReachedOut(RuntimeError):
    """A test tried to connect beyond this machine."""


def _stays_here(sock: socket.socket, address: Any) -> bool:
    if sock.family not in (socket.AF_INET, socket.AF_INET6):
        return True
    try:
        return ipaddress.ip_address(address[0].partition("%")[0]).is_loopback
    except ValueError:
        return address[0] == "localhost"


@pytest.fixture(autouse=True)
def reached_out(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    """The addresses a test tried to connect to beyond loopback. It fails for them even where it swallowed the error."""
    tried: list[Any] = []

    def guard(real: Any) -> Any:
        def connect(sock: socket.socket, address: Any) -> Any:
            if not _stays_here(sock, address):
                tried.append(address)
                raise ReachedOut(f"a test tried to connect to {address}")
            return real(sock, address)

        return connect

    monkeypatch.setattr(socket.socket, "connect", guard(_REAL_CONNECT))
    monkeypatch.setattr(socket.socket, "connect_ex", guard(_REAL_CONNECT_EX))
    yield tried
    if tried:
        pytest.fail(f"connections beyond this machine: {tried}")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The browser comes last: its driver keeps an event loop running for good, beside which no other can."""
    items.sort(key=lambda item: "browser" in item.path.parts)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """What could not be tested here must not look as if it had passed."""
    kit = sys.modules.get("tests.kit.lacking")  # not imported: no test asked for anything
    lacking = kit.LACKING if kit else []
    if lacking:
        terminalreporter.section("NOT TESTED: something was lacking", sep="!", red=True, bold=True)
        for each in lacking:
            terminalreporter.line(f"  {each}", red=True)
