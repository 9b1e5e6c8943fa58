"""What a browser's round through a provider begins and ends with.

Owns: the invitation shown before the button, where the browser is sent, and how it came out.
Does not own: the round itself (`connect`).
"""

from __future__ import annotations

from dataclasses import dataclass

from tokenkeep.core.model import Account, ConnectSession, CredentialType, Provider


@dataclass(frozen=True, slots=True, kw_only=True)
class Invitation:
    """What the page before the button shows."""

    session: ConnectSession
    type: CredentialType
    provider: Provider
    workspace_name: str
    scopes: tuple[str, ...]
    further_scopes: tuple[str, ...] = ()  # those of them that the credential to reconnect does not have yet
    reconnects: str  # name of the credential; empty: a new one
    ready: bool  # False: no client is registered


@dataclass(frozen=True, slots=True, kw_only=True)
class Begun:
    """Where to send the browser, and what to leave in it."""

    url: str
    cookie: str
    nonce: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a connection came out."""

    session: ConnectSession
    credential_id: str
    code: str  # for the program that minted the link; empty unless it has to confirm
    account: Account | None
    missing_scopes: tuple[str, ...]  # asked for, not granted
    lost_scopes: tuple[str, ...] = ()  # granted before, not granted any more
    cookie: str
