"""A provider file, drafted from what an authorization server says of itself.

Owns: what becomes of each member of the metadata, and which servers cannot be spoken to. Does not own: fetching it
(`discovery`), writing it down (`provider_toml`), the rules that every file follows (`provider_rules`).

A draft says less than a file made by hand: metadata does not tell how long tokens live, what a refresh does to them, or
which scopes a flow needs. What is unknown is taken for strict, and the remarks say what an administrator may add.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from urllib.parse import urlsplit

from tokenkeep.adapters.discovery import Metadata
from tokenkeep.adapters.provider_file import CallTable, OAuth, ProviderFile, Quirk, Tokens, TypeTable
from tokenkeep.adapters.toml_lines import Path
from tokenkeep.core.errors import InvalidInput
from tokenkeep.core.model import ClientAuth, Rotation

_ID = re.compile("[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_ADDRESS = re.compile(
    r"https://(?P<host>[A-Za-z0-9][A-Za-z0-9_.-]{0,200}(?::[0-9]{1,5})?)"
    r"(?P<rest>(?:/[A-Za-z0-9._~!$&'()*+,;=:@%/-]*)?(?:\?[A-Za-z0-9._~!$&'()*+,;=:@%/?-]*)?)"
)
_LONGEST_ADDRESS = 1000
_LONGEST_NAME = 200
_WORD = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]{1,200}")
"""A scope token of RFC 6749 section 3.3. Nothing else of the metadata's lists is repeated."""
_MOST_SHOWN = 60

_METHODS = (ClientAuth.BASIC, ClientAuth.POST, ClientAuth.NONE, ClientAuth.PRIVATE_KEY_JWT)
"""In this order: a secret is easiest to register; a key is for servers that take nothing else."""
_SIGN_IN = ("openid", "profile", "email", "offline_access")
_SETUP = {
    ClientAuth.NONE: "Copy the client ID here; there is no secret.",
    ClientAuth.PRIVATE_KEY_JWT: "Upload a public key there, then copy the client ID and the private key (PEM) here.",
}

Remarks = Mapping[Path, Sequence[str]]
"""Key path -> what stands above it, line by line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A file that passes the check as it stands, and what to say about it."""

    file: ProviderFile
    remarks: Remarks


def draft(found: Metadata, *, provider_id: str = "", name: str = "", checked: date) -> Draft:
    """Raises InvalidInput: a bad id or name, or a server that cannot be connected to this way."""
    _refuse(found)
    userinfo = _optional(found, "userinfo_endpoint") if _signs_in(found) else None
    id_, name = provider_id or _id(found.issuer), name or urlsplit(found.issuer).netloc
    _check_names(id_, name)
    oauth, scopes = _oauth(found, signs_in=bool(userinfo)), _sign_in_scopes(found) if userinfo else ()
    docs_url = found.document.get("service_documentation")
    file = ProviderFile(
        id=id_,
        name=name,
        docs_url=docs_url if isinstance(docs_url, str) and _usable(docs_url) else None,
        setup=_setup(name, oauth.client_auth),
        hosts=(urlsplit(userinfo).netloc,) if userinfo else (),
        oauth=oauth,
        tokens=Tokens(rotation=Rotation.UNKNOWN, source=found.source, checked=checked),
        account=_account(userinfo) if userinfo else None,
        types=(TypeTable(name=_type_name(id_), label=name, oauth=True, scopes=scopes),),
    )
    return Draft(file=file, remarks=_remarks(found, file))


def _refuse(found: Metadata) -> None:
    """What no provider file could mend. Raises InvalidInput."""
    for name in found.document:
        if name.endswith("_endpoint"):
            _address(found, name)
    for name in ("authorization_endpoint", "token_endpoint"):
        if name not in found.document:
            raise _odd(found, f"it names no `{name}`.")
    grants, responses = _words(found, "grant_types_supported"), _words(found, "response_types_supported")
    if grants and "authorization_code" not in grants:
        raise _odd(found, "it does not offer the authorization code grant, the only one there is here.")
    if responses and "code" not in responses:
        raise _odd(found, "it does not answer with a code (`response_types_supported`).")
    if found.document.get("require_signed_request_object") is True:
        raise _odd(found, "it wants authorization requests that are signed.")


def _address(found: Metadata, name: str) -> str:
    """The host in lower case, as `hosts` has it. Raises InvalidInput."""
    value = found.document[name]
    parts = _usable(value) if isinstance(value, str) else None
    if parts is None:
        raise _odd(found, f"`{name[:80]}` is no address that begins with `https://`.")
    return f"https://{parts['host'].lower()}{parts['rest']}"


def _optional(found: Metadata, name: str) -> str | None:
    return _address(found, name) if name in found.document else None


def _usable(address: str) -> re.Match[str] | None:
    return _ADDRESS.fullmatch(address) if len(address) <= _LONGEST_ADDRESS else None


def _words(found: Metadata, name: str) -> tuple[str, ...]:
    """A list of words. Empty: it is not told, since RFC 8414 section 2 has no empty lists. Raises InvalidInput."""
    value = found.document.get(name, [])
    if not isinstance(value, list):
        raise _odd(found, f"`{name}` is no list.")
    return tuple(dict.fromkeys(one for one in value if isinstance(one, str) and _WORD.fullmatch(one)))


def _odd(found: Metadata, what: str) -> InvalidInput:
    fix = "Ask whoever runs it to mend its metadata, or write the provider file by hand."
    return InvalidInput(f"What {found.issuer} says of itself cannot be used: {what}", fix=fix)


def _check_names(provider_id: str, name: str) -> None:
    problems = {}
    if not _ID.fullmatch(provider_id):
        problems["id"] = "use lower-case letters, digits and hyphens, 63 at most"
    if not (name.isprintable() and name.strip() and len(name) <= _LONGEST_NAME):
        problems["name"] = f"use one line of at most {_LONGEST_NAME} characters"
    if problems:
        raise InvalidInput("The provider cannot be called that.", fields=problems)


def _id(issuer: str) -> str:
    words = re.sub("[^a-z0-9]+", "-", issuer.removeprefix("https://").lower())
    return words.strip("-")[:63].strip("-")


def _type_name(provider_id: str) -> str:
    """`issuer-example-com` as `issuerExampleComOAuth2`."""
    first, *others = provider_id.split("-")
    stem = first + "".join(word.capitalize() for word in others)
    return ("" if stem[0].isalpha() else "id") + stem[:50] + "OAuth2"


def _setup(name: str, method: ClientAuth) -> str:
    last = _SETUP.get(method, "Copy the client ID and the client secret here.")
    return f"1. Register a client at {name}.\n2. Paste the redirect address shown here, exactly as it is.\n3. {last}\n"


# --- [oauth] ------------------------------------------------------------------------------------------------


def _oauth(found: Metadata, *, signs_in: bool) -> OAuth:
    told, pkce = found.document, _words(found, "code_challenge_methods_supported")
    off = bool(pkce) and "S256" not in pkce
    quirks: tuple[Quirk, ...] = () if signs_in else ("scopes_of_client",)
    return OAuth(
        authorization_endpoint=_address(found, "authorization_endpoint"),
        pushed_authorization_endpoint=_optional(found, "pushed_authorization_request_endpoint"),
        token_endpoint=_address(found, "token_endpoint"),
        revocation_endpoint=_optional(found, "revocation_endpoint"),
        # Only where it comes back with every code: once a file names it, an answer without it is refused.
        issuer=found.issuer if told.get("authorization_response_iss_parameter_supported") is True else None,
        client_auth=_client_auth(found),
        pkce=not off,
        pkce_off_because="The server's metadata lists other methods, but not S256." if off else None,
        authorize_params={"prompt": "consent"} if signs_in and _stays(found) else {},
        quirks=quirks,
    )


def _client_auth(found: Metadata) -> ClientAuth:
    """RFC 8414 section 2: Basic where nothing is told."""
    offered = _words(found, "token_endpoint_auth_methods_supported")
    if not offered:
        return ClientAuth.BASIC
    known = next((method for method in _METHODS if method.value in offered), None)
    if known is None:
        raise _odd(
            found, f"clients must prove themselves in a way that is not known here ({', '.join(offered)[:200]})."
        )
    return known


# --- scopes and account ---------------------------------------------------------------------------------------


def _signs_in(found: Metadata) -> bool:
    """Whether it speaks OpenID Connect: then who connected can be asked."""
    offered = _words(found, "scopes_supported")
    return "userinfo_endpoint" in found.document and (not offered or "openid" in offered)


def _sign_in_scopes(found: Metadata) -> tuple[str, ...]:
    """Enough to sign in and to stay; whatever else there is is for the administrator to choose."""
    offered = _words(found, "scopes_supported")
    return tuple(one for one in _SIGN_IN if one == "openid" or one in offered)


def _stays(found: Metadata) -> bool:
    return "offline_access" in _words(found, "scopes_supported")


def _account(userinfo: str) -> CallTable:
    """OpenID Connect Core section 5.3."""
    return CallTable(url=userinfo, account_id=("sub",), account_name=("name", "email"))


# --- what is said about it --------------------------------------------------------------------------------------


def _remarks(found: Metadata, file: ProviderFile) -> Remarks:
    hosts = "Add the hosts of the API to `hosts`: where nodes may send the token."
    remarks: dict[Path, Sequence[str]] = {
        (): [f"Drafted from {found.source}", *([] if file.hosts else [hosts])],
        ("hosts",): [hosts],
        ("oauth", "authorize_params"): ["Without it offline_access does not count (OpenID Connect Core 11)."],
        ("tokens", "rotation"): ["Metadata does not tell what a refresh does; unknown is treated as strict."],
    }
    grants, scopes = _words(found, "grant_types_supported"), file.types[0].scopes
    if grants and "refresh_token" not in grants:
        remarks["tokens",] = [
            "The server does not list the grant refresh_token: perhaps connections end with the token."
        ]
    if further := [word for word in _words(found, "scopes_supported") if word not in scopes]:
        place: Path = ("types", 0, "scopes" if scopes else "name")
        remarks[place] = ["Further scopes:" if scopes else "Scopes that the client may ask for:", *_listed(further)]
    return remarks


def _listed(words: Sequence[str]) -> list[str]:
    more = [f"and {len(words) - _MOST_SHOWN} more"] if len(words) > _MOST_SHOWN else []
    return [*(f"  {word}" for word in words[:_MOST_SHOWN]), *more]
