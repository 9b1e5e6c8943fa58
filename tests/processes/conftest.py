"""Fixtures of tests with real processes: services that are ended whatever happens, and a provider on loopback."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.kit.authorization_server import AuthorizationServer, serve
from tests.processes.service import Service, beside_the_provider


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "processes" in item.path.parts:
            item.add_marker("processes")


@pytest.fixture
def running() -> Iterator[Callable[[Service], Service]]:
    """Registers a service to be killed at the end of the test."""
    known: list[Service] = []

    def register(service: Service) -> Service:
        known.append(service)
        return service

    yield register
    for service in known:
        service.kill()


@pytest.fixture
def service(tmp_path, running) -> Service:
    """A service on SQLite with the demo provider, not started."""
    return running(Service(tmp_path / "service"))


@pytest.fixture
def provider() -> Iterator[AuthorizationServer]:
    """A fake provider that rotates strictly and answers after 0.3 seconds."""
    with serve(delay_before_s=0.3) as found:
        yield found


@pytest.fixture
def beside(tmp_path, running, provider) -> Callable[..., Service]:
    """Makes a service that knows the fake provider."""

    def make(name: str = "service", **settings: Any) -> Service:
        return running(beside_the_provider(tmp_path / name, provider, **settings))

    return make
