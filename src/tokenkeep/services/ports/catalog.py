"""Providers and credential types.

Owns: what is asked of the catalogue. Does not own: the files behind it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from tokenkeep.core.model import CredentialType, Provider


class Catalog(Protocol):
    """Providers and credential types, read from their files."""

    def provider(self, provider_id: str) -> Provider:
        """Raises NotFound."""

    def type(self, name: str) -> CredentialType:
        """By name or alias. Raises UnknownType."""

    def types(self) -> Sequence[CredentialType]:
        """All, most popular first, then by label."""

    def providers(self) -> Sequence[Provider]: ...

    def icon(self, type_name: str) -> bytes:
        """SVG octets: the brand's, or a generated letter mark. Raises UnknownType."""
