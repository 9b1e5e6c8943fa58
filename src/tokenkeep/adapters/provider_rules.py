"""Rules over a whole provider file that its shape alone cannot say.

Owns: what must go together, and what must not. Does not own: the shape (`provider_file`), addresses
(`provider_addresses`), how a credential is put on requests (`provider_injection`), rules over many files (`catalog`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from tokenkeep.adapters.provider_addresses import Finding, call_problems, header_problems
from tokenkeep.adapters.provider_addresses import check as check_addresses
from tokenkeep.adapters.provider_file import FieldTable, OAuth, ProviderFile, Tokens, TypeTable, VariableTable
from tokenkeep.adapters.provider_injection import SECRET_KINDS
from tokenkeep.adapters.provider_injection import check as check_injection
from tokenkeep.adapters.provider_minting import check as check_mint
from tokenkeep.adapters.provider_probing import check as check_probe
from tokenkeep.adapters.toml_lines import Path
from tokenkeep.core.errors import InvalidInput
from tokenkeep.core.field_kinds import Unfit, read
from tokenkeep.core.injection import check_variable
from tokenkeep.core.model import Field, FieldKind, HostFormat, Rotation, Variable

_PROTOCOLS_OWN = frozenset(
    {
        "assertion",
        "client_assertion",
        "client_assertion_type",
        "client_id",
        "client_secret",
        "code",
        "code_challenge",
        "code_challenge_method",
        "code_verifier",
        "grant_type",
        "password",
        "redirect_uri",
        "refresh_token",
        "request",
        "request_uri",
        "response_type",
        "state",
        "username",
    }
)
"""Parameters no file may set: with them it could ask for another grant, such as the implicit or the password one."""

_RESERVED_NAMES = frozenset({"access_token", "client_id", "public_url"})


def check(file: ProviderFile) -> list[Finding]:
    """Everything wrong with a file of the right shape."""
    findings = [*check_addresses(file), *_together(file), *call_problems(("account",), file.account)]
    if file.oauth is not None:
        findings += _oauth(file.oauth)
    if file.tokens is not None:
        findings += _tokens(file.tokens)
    names = [variable.name for variable in file.variables]
    findings += _repeated(("variables",), names)
    for index, variable in enumerate(file.variables):
        findings += _variable(("variables", index), variable)
    for index, table in enumerate(file.types):
        findings += _type(file, ("types", index), table)
    return findings


def _together(file: ProviderFile) -> Iterator[Finding]:
    wanting = [index for index, table in enumerate(file.types) if table.oauth]
    if wanting and file.oauth is None:
        yield Finding(
            ("types", wanting[0], "oauth"), "An OAuth type needs the provider's endpoints.", "Add an [oauth] table."
        )
    if file.oauth is not None and file.tokens is None:
        hint = 'Add a [tokens] table; `rotation = "unknown"` is allowed and treated as strict.'
        yield Finding(("oauth",), "What a refresh does to the refresh token is not said.", hint)
    if file.oauth is None and file.tokens is not None:
        yield Finding(("tokens",), "[tokens] says nothing without an [oauth] table.", "Remove it, or add [oauth].")


def _oauth(oauth: OAuth) -> Iterator[Finding]:
    path: Path = ("oauth",)
    if not oauth.pkce and not oauth.pkce_off_because:
        hint = "Remove the line, or add `pkce_off_because` with the provider's reason."
        yield Finding((*path, "pkce"), "PKCE is switched off without a reason.", hint)
    if oauth.pkce and oauth.pkce_off_because:
        yield Finding((*path, "pkce_off_because"), "PKCE is on, so there is no reason to give.", "Remove this line.")
    for name in ("authorize_params", "token_params", "refresh_params"):
        yield from _parameters((*path, name), getattr(oauth, name))
    yield from header_problems((*path, "token_headers"), oauth.token_headers)
    yield from _repeated((*path, "quirks"), oauth.quirks)
    if oauth.revocation_style != "rfc7009" and not oauth.revocation_endpoint:
        hint = "Add `revocation_endpoint`, or remove this line."
        yield Finding((*path, "revocation_style"), "There is no endpoint to revoke at.", hint)
    if oauth.revoke_on_reconnect and not oauth.revocation_endpoint:
        hint = "Add `revocation_endpoint`, or remove this line."
        yield Finding((*path, "revoke_on_reconnect"), "There is no endpoint to revoke at.", hint)


def _parameters(path: Path, parameters: Mapping[str, str]) -> Iterator[Finding]:
    for name in parameters:
        if name.lower() in _PROTOCOLS_OWN | {"scope", "user_scope"}:
            hint = "Remove it. Only the authorization code grant exists here; scopes belong to the type."
            yield Finding((*path, name), f"`{name}` belongs to the protocol, not to a file.", hint)


def _tokens(tokens: Tokens) -> Iterator[Finding]:
    if tokens.rotation is Rotation.GRACE and not tokens.grace_s:
        hint = "Add `grace_s`: how many seconds a spent refresh token lives on."
        yield Finding(("tokens", "rotation"), "The grace period is not said.", hint)
    if tokens.rotation is not Rotation.GRACE and tokens.grace_s:
        yield Finding(("tokens", "grace_s"), 'Only `rotation = "grace"` has a grace period.', "Remove this line.")
    if tokens.access_expires is False and tokens.access_ttl_s:
        hint = "Remove `access_ttl_s`, or `access_expires = false`."
        yield Finding(("tokens", "access_ttl_s"), "A token that does not end has no length of life.", hint)


def _variable(path: Path, table: VariableTable) -> Iterator[Finding]:
    if table.name in _RESERVED_NAMES:
        yield Finding((*path, "name"), f"`{table.name}` has a meaning of its own.", "Choose another name.")
    if table.format in {HostFormat.HOST, HostFormat.ADDRESS} and table.asked_of == "credential":
        hint = 'Use `asked_of = "client"`, or a `label` within the provider\'s domain.'
        yield Finding((*path, "asked_of"), "Only an administrator may name a whole host.", hint)
    if table.default:
        try:
            check_variable(Variable(name=table.name, label=table.label, format=table.format), table.default)
        except InvalidInput as invalid:
            yield Finding((*path, "default"), invalid.fields[table.name], "Mend the default or the format.")


def _type(file: ProviderFile, path: Path, table: TypeTable) -> Iterator[Finding]:
    names = [field.name for field in table.fields]
    yield from _repeated((*path, "fields"), names)
    yield from _repeated((*path, "aliases"), [table.name, *table.aliases])
    yield from _scopes(file, path, table)
    yield from _parameters((*path, "authorize_params"), table.authorize_params)
    yield from call_problems((*path, "test"), table.test)
    for index, field in enumerate(table.fields):
        yield from _field((*path, "fields", index), field)
    yield from check_mint((*path, "mint"), table)
    yield from check_probe((*path, "probe"), table)
    if table.injection is not None:
        yield from check_injection(file, path, table)
    elif table.test is not None and not table.oauth and table.mint is None:
        hint = "Add [types.injection], or remove the test."
        yield Finding((*path, "test"), "A test needs to know how the credential is sent.", hint)


def _scopes(file: ProviderFile, path: Path, table: TypeTable) -> Iterator[Finding]:
    quirks = file.oauth.quirks if file.oauth is not None else ()
    scopeless = "no_scopes" in quirks
    if table.oauth and not table.scopes and not scopeless and "scopes_of_client" not in quirks:
        hint = "List `scopes`, or give the provider the quirk `no_scopes` or `scopes_of_client`."
        yield Finding((*path, "name"), f"`{table.name}` asks for no scopes.", hint)
    if table.scopes and (scopeless or not table.oauth):
        hint = "Remove them, or the quirk `no_scopes`." if table.oauth else "Remove them, or add `oauth = true`."
        yield Finding((*path, "scopes"), "Scopes would never be asked for.", hint)


def _field(path: Path, table: FieldTable) -> Iterator[Finding]:
    if table.name in _RESERVED_NAMES:
        yield Finding((*path, "name"), f"`{table.name}` has a meaning of its own.", "Choose another name.")
    if (table.kind is FieldKind.CHOICE) != bool(table.options):
        hint = 'Give `options` with `kind = "choice"`, and only with it.'
        yield Finding((*path, "kind"), "Options and kind do not fit together.", hint)
        return
    if table.members and table.kind not in {FieldKind.JSON, FieldKind.MULTILINE}:
        hint = 'Use `kind = "json"` or `kind = "multiline"`, or remove this line.'
        yield Finding((*path, "members"), "Only a document has members.", hint)
    if table.min_length and table.max_length and table.min_length > table.max_length:
        yield Finding((*path, "max_length"), "No value is so long and so short.", "Mend one of the two lengths.")
    if table.default is None:
        return
    if table.kind in SECRET_KINDS:
        yield Finding((*path, "default"), "A secret has no default.", "Remove it; use `placeholder` for an example.")
        return
    field = Field(name=table.name, label=table.label, kind=table.kind, options=table.options)
    try:
        fits = read(field, table.default) == table.default
    except Unfit:
        fits = False
    if not fits:
        yield Finding(
            (*path, "default"), f"The default does not fit the kind `{table.kind}`.", "Mend the default or the kind."
        )


def _repeated(path: Path, names: Iterable[str]) -> Iterator[Finding]:
    seen: set[str] = set()
    for index, name in enumerate(names):
        if name in seen:
            yield Finding((*path, index), f"`{name}` is given twice.", "Keep one.")
        seen.add(name)
