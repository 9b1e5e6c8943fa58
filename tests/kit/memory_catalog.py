"""A catalogue that holds what a test puts into it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tokenkeep.core.errors import NotFound, UnknownType
from tokenkeep.core.model import CredentialType, Provider


class MemoryCatalog:
    """`ports.Catalog` over two lists. Both may be changed at any time, as files can be taken away."""

    def __init__(self, providers: Iterable[Provider], types: Iterable[CredentialType]) -> None:
        self.held = {provider.id: provider for provider in providers}
        self.known = {type_.name: type_ for type_ in types}

    def provider(self, provider_id: str) -> Provider:
        if provider_id not in self.held:
            raise NotFound
        return self.held[provider_id]

    def type(self, name: str) -> CredentialType:
        found = next((type_ for type_ in self.known.values() if name in {type_.name, *type_.aliases}), None)
        if found is None:
            raise UnknownType
        return found

    def types(self) -> Sequence[CredentialType]:
        return sorted(self.known.values(), key=lambda type_: (-type_.popularity, type_.label))

    def providers(self) -> Sequence[Provider]:
        return list(self.held.values())

    def icon(self, type_name: str) -> bytes:
        return f"<svg><title>{self.type(type_name).label}</title></svg>".encode()
