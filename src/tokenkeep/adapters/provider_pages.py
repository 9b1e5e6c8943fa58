"""A page of documentation for each service, made from its provider file.

Owns: what people are told about a service that its file knows: what to set up, what can be connected, how long it lasts,
what can go wrong. Does not own: the file (`provider_file`), writing the pages (`commands`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from tokenkeep.adapters.provider_file import FieldTable, InjectionTable, OAuth, ProviderFile, Tokens, TypeTable

_ROTATIONS = {
    "none": "A refresh token stays valid when it is used.",
    "grace": "A refresh replaces the refresh token; the one before lives on for {grace}, so a lost answer loses nothing.",
    "strict": "A refresh replaces the refresh token and ends the one before at once.",
    "family-revoke": "A refresh replaces the refresh token; using the one before again ends the connection.",
    "unknown": "Whether a refresh ends the refresh token before is not known, so it is treated as if it did.",
}
_TROUBLES = {
    "reauth_invalidates_older_grant": "Connecting the same account a second time can end the first connection.",
    "never_refresh_blindly": "A refresh before it is due does harm, so none is tried early.",
    "expires_in_missing": "{name} does not say how long a token lives. The length is learned from what nodes report as rejected.",
    "invalid_grant_spurious": "{name} sometimes refuses although nothing is wrong; a refusal is believed the second time.",
    "scopes_of_client": "Name the scopes with the client. Without any, {name}'s own default holds, which may be nothing.",
    "scope_on_refresh": "A refresh has to name its scopes again, which is done by itself.",
}
_UNITS = ((86_400, "day"), (3_600, "hour"), (60, "minute"), (1, "second"))


def page(file: ProviderFile) -> str:
    """Markdown."""
    return (
        "\n".join([f"# {file.name}", "", *_introduction(file), *_connecting(file), *_types(file.types)]).rstrip() + "\n"
    )


def index(files: Iterable[ProviderFile]) -> str:
    """The page that leads to all others."""
    rows = [
        f"| [{file.name}]({file.id}.md) | {', '.join(f'`{each.name}`' for each in file.types)} |"
        for file in sorted(files, key=lambda each: each.name.casefold())
    ]
    head = [
        "# Services",
        "",
        "Made by `tokenkeep providers docs`; do not edit.",
        "",
        "| service | credential types |",
        "| --- | --- |",
    ]
    return "\n".join([*head, *rows]) + "\n"


def _introduction(file: ProviderFile) -> Iterator[str]:
    yield f"{file.name}'s own documentation: <{file.docs_url}>." if file.docs_url else f"How {file.name} is kept."
    yield ""


def _connecting(file: ProviderFile) -> Iterator[str]:
    if file.oauth is None or file.tokens is None:
        return
    yield from ("## Set up once", "")
    yield file.setup.strip() or f"Create an OAuth application for the web at {file.name}."
    yield from (
        "",
        "The redirect address stands on the page of the client, under *Settings*: it is another one for each workspace.",
    )
    for variable in file.variables:
        default = f" Left out, it is `{variable.default}`." if variable.default else ""
        yield from ("", f"**{variable.label}** is asked for as well. {variable.help.strip()}{default}".rstrip())
    yield from ("", "## How long it lasts", "")
    yield from (f"- {line}" for line in _lifetimes(file.oauth, file.tokens))
    yield from ("", f"Read in <{file.tokens.source}> on {file.tokens.checked}.{_doubts(file.tokens)}", "")
    if troubles := list(_troubles(file, file.oauth, file.tokens)):
        yield from ("## What can go wrong", "", *(f"- {line}" for line in troubles), "")


def _lifetimes(oauth: OAuth, tokens: Tokens) -> Iterator[str]:
    if tokens.access_expires is False:
        yield "Access tokens have no known end."
    elif tokens.access_ttl_s:
        yield f"An access token lives {_span(tokens.access_ttl_s)} where the answer does not tell."
    else:
        yield "The answer tells how long an access token lives."
    yield _ROTATIONS[tokens.rotation].format(grace=_span(tokens.grace_s or 0))
    if tokens.refresh_idle_ttl_s:
        yield f"A refresh token that is not used for {_span(tokens.refresh_idle_ttl_s)} ends; it is used in time."
    if tokens.refresh_ttl_s:
        yield f"A refresh token lives {_span(tokens.refresh_ttl_s)}."
    if tokens.grant_ttl_s:
        yield f"After {_span(tokens.grant_ttl_s)} a person has to connect again, whatever is done. You are warned before."
    yield (
        "Disconnecting revokes the token."
        if oauth.revocation_endpoint
        else "Disconnecting forgets the token; it cannot be revoked from here."
    )


def _doubts(tokens: Tokens) -> str:
    if not tokens.unsure:
        return ""
    return f" Not certain, and treated with caution: {', '.join(f'`{name}`' for name in tokens.unsure)}."


def _troubles(file: ProviderFile, oauth: OAuth, tokens: Tokens) -> Iterator[str]:
    if tokens.kills_old_access_token:
        yield "A refresh ends the older access token at once, so it happens late; a node may have to ask again."
    if not oauth.pkce:
        yield f"PKCE is not used: {oauth.pkce_off_because}"
    yield from (_TROUBLES[quirk].format(name=file.name) for quirk in oauth.quirks if quirk in _TROUBLES)
    if tokens.access_expires is not False and "invalid_grant" not in oauth.terminal_errors:
        yield f"When somebody withdraws the consent at {file.name}, the connection asks to be made again."


def _types(types: Iterable[TypeTable]) -> Iterator[str]:
    for table in types:
        yield from (f"## {table.label}: `{table.name}`", "")
        if table.description:
            yield from (table.description.strip(), "")
        if table.aliases:
            yield from (f"Also called {', '.join(f'`{name}`' for name in table.aliases)}.", "")
        if table.scopes:
            yield from (f"Asks for {', '.join(f'`{scope}`' for scope in table.scopes)}.", "")
        if table.fields:
            yield from ("| field | what it is | |", "| --- | --- | --- |")
            yield from (_field(field) for field in table.fields)
            yield ""
        yield from (_use(table), "")


def _field(field: FieldTable) -> str:
    needed = "" if field.required else " (optional)"
    return f"| `{field.name}` | {_cell(field.label)}{needed} | {_cell(field.help)} |"


def _use(table: TypeTable) -> str:
    tested = "It can be tested by one call." if table.test is not None else "It is not tested by a call."
    tested = "It can be tested by signing in at the database." if table.probe is not None else tested
    if table.oauth or table.injection is not None:
        return f"Nodes may ask for a ready {_place(table.injection)}. {tested}"
    return f"Nodes read its values. {tested}"


def _place(injection: InjectionTable | None) -> str:
    if injection is None or injection.headers or injection.basic:
        return "header"
    if injection.path:
        return "address; it holds the secret, so keep it out of logs"
    return "query" if injection.query else "member of the body"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _span(seconds: int) -> str:
    """In the largest unit that divides it, or nearly does."""
    for size, unit in _UNITS:
        if seconds >= size and (seconds % size == 0 or seconds >= 20 * size):
            count = round(seconds / size)
            return f"{count:,} {unit}{'' if count == 1 else 's'}"
    return f"{seconds} seconds"
