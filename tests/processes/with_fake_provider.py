"""`tokenkeep` with one more provider in its catalogue: the fake authorization server of the tests, at a loopback address.

Provider files may not name such an address, so it is put behind the catalogue here and nothing else is different. Run as
`python -m tests.processes.with_fake_provider COMMAND…`; TOKENKEEP_TEST_PROVIDER holds the server's address and how it
rotates, separated by a blank.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from tests.kit.authorization_server import AuthorizationServer
from tests.kit.builders import credential_type
from tokenkeep import main as assembly
from tokenkeep.__main__ import cli
from tokenkeep.core.model import CredentialType, Provider, Rotation

URL, _, ROTATION = os.environ["TOKENKEEP_TEST_PROVIDER"].partition(" ")
PROVIDER = AuthorizationServer(url=URL, rotation=Rotation(ROTATION)).provider()
TYPE = credential_type(name="fakeOAuth2", label="Fake account", provider="fake")


class WithFake:
    """A catalogue and one provider more."""

    def __init__(self, shipped: Any) -> None:
        self._shipped = shipped

    def provider(self, provider_id: str) -> Provider:
        return PROVIDER if provider_id == PROVIDER.id else self._shipped.provider(provider_id)

    def providers(self) -> Sequence[Provider]:
        return [*self._shipped.providers(), PROVIDER]

    def type(self, name: str) -> CredentialType:
        return TYPE if name == TYPE.name else self._shipped.type(name)

    def types(self) -> Sequence[CredentialType]:
        return [*self._shipped.types(), TYPE]

    def icon(self, type_name: str) -> bytes:
        return self._shipped.icon("demoOAuth2" if type_name == TYPE.name else type_name)

    def reload_if_changed(self) -> bool:
        return self._shipped.reload_if_changed()


if __name__ == "__main__":
    shipped_catalog = assembly._catalog
    assembly._catalog = lambda settings: WithFake(shipped_catalog(settings))
    cli()
