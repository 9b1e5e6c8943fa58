"""The catalogue of a campaign: one provider and one credential type per rotation class, all at the fake provider.

Owns: how a class is written down as a provider. Does not own: how it behaves (`provider`).
"""

from __future__ import annotations

from collections.abc import Sequence

from tests.campaigns.provider import CLASSES, GRACE_S, HOSTS
from tests.kit import builders
from tokenkeep.core.errors import NotFound
from tokenkeep.core.model import CredentialType, Provider, Rotation

_ROTATIONS = {
    "none": Rotation.NONE,
    "grace": Rotation.GRACE,
    "strict": Rotation.STRICT,
    "family": Rotation.FAMILY,
    "kills": Rotation.STRICT,
}


def type_name(kind: str) -> str:
    """Of the credential type of a class."""
    return f"{kind}OAuth2"


class CampaignCatalog:
    """`by` names the process that asks; it becomes a part of the address, so that the provider can tell them apart."""

    def __init__(self, port: int, by: str) -> None:
        self._providers = {kind: _provider(kind, port, by) for kind in CLASSES}
        self._types = {
            type_name(kind): builders.credential_type(name=type_name(kind), label=f"Class {kind}", provider=kind)
            for kind in CLASSES
        }

    def provider(self, provider_id: str) -> Provider:
        return _found(self._providers, provider_id)

    def providers(self) -> Sequence[Provider]:
        return list(self._providers.values())

    def type(self, name: str) -> CredentialType:
        return _found(self._types, name)

    def types(self) -> Sequence[CredentialType]:
        return list(self._types.values())

    def reload_if_changed(self) -> bool:
        return False


def _found(shelf, name):
    if name not in shelf:
        raise NotFound
    return shelf[name]


def _provider(kind: str, port: int, by: str) -> Provider:
    address = f"http://{HOSTS[kind]}:{port}/{by}"
    return builders.provider(
        id=kind,
        name=f"Class {kind}",
        token_endpoint=f"{address}/token",
        revocation_endpoint="",
        rotation=_ROTATIONS[kind],
        grace_s=int(GRACE_S) if kind == "grace" else 0,
        kills_old_access_token=kind == "kills",
        hosts=frozenset({HOSTS[kind]}),
    )
