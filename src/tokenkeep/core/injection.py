"""How a credential is put on a request, and how addresses get their holes filled.

Owns: `{name}` templates, the `Authorization` a credential amounts to, the shapes a variable may have.
Does not own: sending (`adapters/outbound`), nor which templates a file may contain (`adapters/provider_rules`).

Values come from people and providers, so nothing they hold may change the meaning of what surrounds them: header
values cannot break the line (T67), address parts cannot move the host (T40).
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

from tokenkeep.core.errors import InvalidInput
from tokenkeep.core.model import Call, HostFormat, Injection, Variable
from tokenkeep.core.secret import Secret

BEARER = Injection(headers={"Authorization": "Bearer {access_token}"})
"""What an OAuth type does when its file says nothing (RFC 6750 section 2.1)."""

_HOLE = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}")
_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_NAME = rf"{_LABEL}(?:\.{_LABEL})*"
_SHAPES = {
    HostFormat.LABEL: (re.compile(_LABEL), "letters, digits and hyphens, such as `my-team`"),
    HostFormat.HOST: (re.compile(rf"({_NAME})(?::([0-9]{{1,5}}))?"), "a host name, such as `gitlab.example.com`"),
    HostFormat.TENANT: (re.compile(_NAME), "an identifier, a domain or a word, such as `common`"),
}
_LONGEST_HOST = 253  # RFC 1035 section 2.3.4, as text
_LAST_PORT = 65535
_FIELD_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110 section 5.1
_FRAMING = frozenset(
    {
        "connection",
        "content-length",
        "host",
        "keep-alive",
        "proxy-authorization",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
"""Headers that frame the message or name its target: never a credential's to set."""
_BASE = re.compile(rf"https://{_NAME}(?::[0-9]{{1,5}})?(?:/[A-Za-z0-9._~%/-]*)?", re.IGNORECASE)
_HOST_PART = re.compile(r"[A-Za-z0-9.-]+")
_HOST_AND_PORT = re.compile(r"[A-Za-z0-9.-]+(?::[0-9]{1,5})?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Injected:
    """What to add to a request. Holds opened secrets, so its `repr` shows no part."""

    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    query: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: Mapping[str, str] = field(default_factory=dict, repr=False)  # JSON members or form fields
    path: str = field(default="", repr=False)  # percent-encoded, begins the path of every address; empty: none


def holes(template: str) -> tuple[str, ...]:
    """The names a template asks for, in order."""
    return tuple(_HOLE.findall(template))


def authorize(injection: Injection, values: Mapping[str, Any], *, access_token: Secret | None) -> Injected:
    """What carries this credential: headers, query parameters, members of the body, the beginning of the path.

    A part whose template names an empty or missing value is left out: that is how optional fields work.

    Raises:
        InvalidInput: a value cannot stand where it is put, or nothing is left to authorise with.
    """
    known = {name: _text(value) for name, value in values.items()}
    known["access_token"] = access_token.reveal() if access_token else ""
    headers = {_header_name(name, known): _header_value(name, text) for name, text in _filled(injection.headers, known)}
    if injection.basic is not None:
        headers |= _basic(injection.basic, known)
    injected = Injected(
        headers=headers,
        query=dict(_filled(injection.query, known)),
        body=dict(_filled(injection.body, known)),
        path=_path(injection.path, known),
    )
    if injected == Injected():
        raise InvalidInput("This credential holds nothing that could authorise a request.")
    return injected


def exposes(injection: Injection, secrets: Collection[str]) -> bool:
    """Whether one of `secrets` stands in the address itself, which logs on the way write down."""
    templates = (injection.path, *injection.query.values())
    return any(name in secrets for template in templates for name in holes(template))


def behind_host(template: str, path: str) -> str:
    """An address with `path` right behind its host, or behind the hole that holds a whole address.

    `path` comes from `authorize`: encoded, so that nothing in it is taken for a hole.
    """
    end = _authority_end(template)
    return template[:end] + path + template[end:]


def carried(call: Call, injected: Injected) -> Call:
    """The call with its path and body filled. Headers and query go beside it, as they do for every request."""
    body = _with_members(call, injected.body) if injected.body else call.body
    return replace(call, url=behind_host(call.url, injected.path), body=body)


def check_variable(variable: Variable, value: str) -> str:
    """`value` in the form that is kept, once it has the variable's shape: in lower case unless it is a whole address.

    Raises:
        InvalidInput: it has another shape; `fields` names the variable.
    """
    if variable.format is HostFormat.ADDRESS:
        return _base_address(variable.name, value.strip())
    shape, example = _SHAPES[variable.format]
    folded = value.strip().lower()
    matched = shape.fullmatch(folded)
    if not matched or len(folded) > _LONGEST_HOST or _port_too_large(folded):
        raise _unfit(variable.name, f"{variable.label} must be {example}: no scheme, path or spaces.")
    return folded


def expand(template: str, variables: Mapping[str, Any]) -> str:
    """An address with its holes filled.

    A hole inside the host takes only host characters, one at the very start takes a whole https address (a field of
    kind `url`), and any other is percent-encoded; so no value can move the request to another host.

    Raises:
        InvalidInput: a value is missing or does not fit; `fields` names it.
    """
    authority_ends = _authority_end(template)

    def fill(hole: re.Match[str]) -> str:
        name, value = hole.group(1), _text(variables.get(hole.group(1)))
        if not value:
            raise _unfit(name, "This is needed for the address.")
        if hole.start() == 0:
            return _base_address(name, value)
        if hole.start() < authority_ends:
            return _host_part(name, value, whole=hole.end() == authority_ends)
        return _path_part(name, value)

    return _HOLE.sub(fill, template)


def hosts(templates: Iterable[str], variables: Mapping[str, Any]) -> frozenset[str]:
    """Where a credential may be sent: host names in lower case, with a port unless it is 443.

    A template is a host (`api.example.com`, `{host}`) or a hole that holds a whole address (`{supabaseUrl}`). One whose
    value is missing allows nothing.

    Raises:
        InvalidInput: a value does not fit.
    """
    usable = [template for template in templates if all(_text(variables.get(name)) for name in holes(template))]
    return frozenset(_host_of(template, variables) for template in usable)


def _host_of(template: str, variables: Mapping[str, Any]) -> str:
    names = holes(template)
    is_address = len(names) == 1 and _text(variables[names[0]]).lower().startswith("https://")
    address = expand(template if is_address else f"https://{template}", variables)
    return urlsplit(address).netloc.lower().removesuffix(":443")


def _filled(templates: Mapping[str, str], known: Mapping[str, str]) -> list[tuple[str, str]]:
    wanted = {name: holes(name) + holes(template) for name, template in templates.items()}
    present = [name for name, needs in wanted.items() if all(known.get(need) for need in needs)]
    return [(name, _fill(templates[name], known)) for name in present]


def _fill(template: str, known: Mapping[str, str]) -> str:
    return _HOLE.sub(lambda hole: known.get(hole.group(1), ""), template)


def _path(template: str, known: Mapping[str, str]) -> str:
    if not all(known.get(name) for name in holes(template)):
        return ""
    return _HOLE.sub(lambda hole: _path_part(hole.group(1), known[hole.group(1)]), template)


def _with_members(call: Call, members: Mapping[str, str]) -> str:
    """The call's own body with these added: a form where its headers say so, else JSON."""
    types = [value for name, value in call.headers.items() if name.lower() == "content-type"]
    if types and types[0].startswith("application/x-www-form-urlencoded"):
        return urlencode([*parse_qsl(call.body, keep_blank_values=True), *members.items()])
    return json.dumps({**json.loads(call.body or "{}"), **members})


def _text(value: object) -> str:
    if isinstance(value, Secret):
        return value.reveal()
    return "" if value is None else str(value)


def _header_name(template: str, known: Mapping[str, str]) -> str:
    name = _fill(template, known)
    if not _FIELD_NAME.fullmatch(name) or name.lower() in _FRAMING:
        raise _unfit(next(iter(holes(template)), template), "This cannot be used as the name of a header.")
    return name


def _header_value(name: str, text: str) -> str:
    if not text.isascii() or not text.isprintable():
        raise InvalidInput(f"The value for the header `{name}` holds a line break or a character headers cannot carry.")
    return text


def _basic(templates: tuple[str, str], known: Mapping[str, str]) -> dict[str, str]:
    user, password = (_fill(template, known) for template in templates)
    if not user and not password:
        return {}
    if ":" in user or not (user + password).isprintable():
        raise InvalidInput(
            "The user name or password cannot be sent: RFC 7617 forbids `:` in the name and line breaks."
        )
    return {"Authorization": f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}"}


def _authority_end(template: str) -> int:
    start = template.find("://") + 3 if "://" in template else 0
    found = re.search(r"[/?#]", template[start:])
    return start + found.start() if found else len(template)


def _base_address(name: str, value: str) -> str:
    if not _BASE.fullmatch(value) or ".." in value or _port_too_large(urlsplit(value).netloc):
        raise _unfit(name, "This must be an address that begins with `https://`, without user, query or fragment.")
    return value.rstrip("/")


def _host_part(name: str, value: str, *, whole: bool) -> str:
    if not (_HOST_AND_PORT if whole else _HOST_PART).fullmatch(value) or _port_too_large(value):
        raise _unfit(name, "This becomes part of a host name: only letters, digits, dots and hyphens are possible.")
    return value


def _path_part(name: str, value: str) -> str:
    if value in {".", ".."}:
        raise _unfit(name, "This cannot be part of an address.")
    return quote(value, safe=":")  # RFC 3986 section 3.3 lets it stand, and bot tokens have one


def _port_too_large(host: str) -> bool:
    _, _, port = host.partition(":")
    return bool(port) and int(port) > _LAST_PORT


def _unfit(name: str, message: str) -> InvalidInput:
    return InvalidInput("A part of the address or request does not fit.", fields={name: message})
