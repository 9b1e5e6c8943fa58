"""Filling the holes in a provider's addresses.

Owns: which variables a credential's addresses are filled with: the client's, the credential's own fields, and what came
with the token set. Does not own: the filling itself (`core/injection.expand`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tokenkeep.core.injection import behind_host, expand, holes
from tokenkeep.core.model import Credential, CredentialType, Provider
from tokenkeep.services.ports import Catalog, ClientStore


@dataclass(slots=True, kw_only=True)
class Addresses:
    """Where a credential may be used."""

    catalog: Catalog
    clients: ClientStore

    async def variables(self, credential: Credential, provider: Provider, values: Mapping[str, Any]) -> dict[str, str]:
        """The credential's fields, under the provider's defaults, the client's variables and the credential's own."""
        fields = {name: str(value) for name, value in values.items() if isinstance(value, str | int)}
        if credential.grant is not None and credential.grant.minted:
            return fields  # it has no client, and the provider's variables are those of clients
        filled = fields | {variable.name: variable.default for variable in provider.variables}
        if credential.grant is not None:
            client = await self.clients.get(credential.workspace_id, credential.grant.client)
            filled |= dict(client.variables) if client else {}
        own = {variable.name for variable in provider.variables if variable.asked_of == "credential"}
        return filled | {name: fields[name] for name in own if fields.get(name)}

    async def base_url(
        self, credential: Credential, type_: CredentialType, values: Mapping[str, Any], *, path: str = ""
    ) -> str:
        """Empty where the service has no one address, or the credential does not say which.

        `path` is what the credential puts behind the host; then the address holds a secret.
        """
        provider = self.catalog.provider(type_.provider)
        template = type_.base_url or provider.base_url
        variables = await self.variables(credential, provider, values)
        known = all(variables.get(name) for name in holes(template))
        return expand(behind_host(template, path), variables) if template and known else ""
