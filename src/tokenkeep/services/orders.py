"""What the refresher asks for a token with, where it is minted from the credential's own values.

Owns: the registration in place of a client's, and how an answer is taken where no consent is behind the grant.
Does not own: what a request consists of (`core/minting`), the refresh (`refresh`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from tokenkeep.core import minting
from tokenkeep.core.errors import NotFound, UnknownType
from tokenkeep.core.judgement import Granted, Refused
from tokenkeep.core.model import Client, FailureKind, Grant, Mint
from tokenkeep.services.ports import Catalog, Envelope, Reads, Registration
from tokenkeep.services.sealing import open_values

REFUSALS = 3
"""So many in a row are believed. Nothing is lost by asking again, but a wrong password may lock an account."""
_REFUSED_STATUSES = frozenset({f"http_{status}" for status in (400, 401, 403, 404, 422)})
"""What services that speak no OAuth answer to a wrong key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Orders:
    """For the refresher: what to ask with, and how to take the answer."""

    reads: Reads
    catalog: Catalog
    envelope: Envelope

    async def registration(self, grant: Grant) -> Registration:
        """In place of a client's. Raises NotFound (the type mints no more), InvalidInput (a value is missing), Quarantined."""
        credential = await self.reads.credential(grant.workspace_id, grant.credential_id)
        mint = self._mint(credential.type) if credential is not None else None
        if credential is None or mint is None:
            raise NotFound()
        order = minting.order(mint, await open_values(self.envelope, credential))
        provider = minting.provider_of(self.catalog.provider(grant.provider), mint, order)
        client = Client(
            id=grant.client,
            workspace_id=grant.workspace_id,
            provider=provider.id,
            client_id=order.client_id,
            secret_sealed=None,
            version=credential.version,
        )
        return Registration(client=client, provider=provider, secret=order.client_secret, redirect_uri="", order=order)

    def _mint(self, type_name: str) -> Mint | None:
        try:
            return self.catalog.type(type_name).mint
        except UnknownType:
            return None


def as_minted(judged: Granted | Refused, grant: Grant) -> Granted | Refused:
    """A refusal is nobody's consent withdrawn: it is tried again a few times, then the values need somebody to mend them."""
    if isinstance(judged, Granted):
        return replace(judged, token_set=replace(judged.token_set, refresh_token=None))
    refused = judged.kind in {FailureKind.GRANT, FailureKind.CLIENT} or judged.code in _REFUSED_STATUSES
    if not refused:
        return judged
    failure = grant.standing.failure
    before = failure.count if failure is not None and failure.kind is FailureKind.CLIENT else 0
    kind = FailureKind.GRANT if before + 1 >= REFUSALS else FailureKind.CLIENT
    code = "values_unusable" if judged.code == "client_misconfigured" else judged.code
    return replace(judged, kind=kind, code=code)
