"""A provider on loopback, where provider files may not point.

Owns: its endpoint's process, the shipped catalogue with that provider added, and the workspace's client there.
Does not own: what is measured. Run as `python -m bench.kit.local_provider PORT` it is `tokenkeep serve` that knows the
provider whose endpoint is on PORT.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from bench.kit.processes import Process, free_port
from tests.kit import builders
from tokenkeep import main as assembly
from tokenkeep.core.model import Provider
from tokenkeep.house import House
from tokenkeep.services.sealing import client_place

DELAY_MS = 20
PROVIDER = "bench"


class WithEndpoint:
    """The shipped catalogue and that provider."""

    def __init__(self, shipped: Any, provider: Provider) -> None:
        self._shipped, self._provider = shipped, provider

    def provider(self, provider_id: str) -> Provider:
        return self._provider if provider_id == self._provider.id else self._shipped.provider(provider_id)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._shipped, name)


def token_endpoint(port: int) -> str:
    return f"http://127.0.0.1:{port}/token"


def know(port: int) -> None:
    """From now on houses that are opened in this process know the provider."""
    provider = builders.provider(
        id=PROVIDER, token_endpoint=token_endpoint(port), hosts=frozenset({f"127.0.0.1:{port}"})
    )
    shipped = assembly._catalog  # noqa: SLF001
    assembly._catalog = lambda given: WithEndpoint(shipped(given), provider)  # type: ignore[assignment,return-value]  # noqa: SLF001


@contextmanager
def local_provider() -> Iterator[int]:
    """Its port, answering every refresh after `DELAY_MS`."""
    port = free_port()
    with Process("-m", "bench.kit.endpoint", str(port), str(DELAY_MS), port=port, pinned=False):
        time.sleep(0.5)
        know(port)
        yield port


async def register(house: House) -> None:
    """The workspace's client at that provider."""
    ((workspace_id, _),) = await house.database.accounts.workspaces()
    plain = builders.client(workspace_id=workspace_id, provider=PROVIDER)
    sealed = await house.cases.clients.envelope.seal(b"client-secret", client_place(plain))
    await house.database.clients.put(
        builders.client(workspace_id=workspace_id, provider=PROVIDER, secret_sealed=sealed)
    )


if __name__ == "__main__":
    from tokenkeep.__main__ import main

    know(int(sys.argv.pop(1)))
    sys.argv.append("serve")
    main()
