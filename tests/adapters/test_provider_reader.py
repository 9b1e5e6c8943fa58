"""What is wrong with a provider file, on which line, and how to mend it."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import msgspec
import pytest
from jsonschema import Draft202012Validator

from tests.adapters.provider_files import GOOD, changed, plain, written
from tokenkeep.adapters.data_files import data_directory
from tokenkeep.adapters.provider_file import ProviderFile, Quirk
from tokenkeep.adapters.provider_reader import Problem, _judge, read
from tokenkeep.core.protocol import QUIRKS

SCHEMA = json.loads((data_directory("providers") / "schema.json").read_text(encoding="utf-8"))
VALIDATOR = Draft202012Validator(SCHEMA, format_checker=Draft202012Validator.FORMAT_CHECKER)


def schema_accepts(text: str) -> bool:
    return VALIDATOR.is_valid(plain(tomllib.loads(text)))


def problems(folder: Path, text: str) -> list[Problem]:
    file, found = read(written(folder, text))
    assert (file is None) == bool(found)
    return found


# (what is replaced, by what, the text of the line that is blamed, part of the message, part of the hint)
SHAPE_MISTAKES = [
    (
        'quirks = ["error_in_200"]',
        "pkcee = true",
        "pkcee = true",
        "`pkcee` is no key of [oauth]",
        "Did you mean `pkce`?",
    ),
    ('rotation = "strict"', 'rotation = "strickt"', 'rotation = "strickt"', '"strickt"', "Did you mean `strict`?"),
    ('rotation = "strict"', "", "[tokens]", "`rotation` is missing", "family-revoke"),
    ('source = "https://acme.com/docs"', "", "[tokens]", "`source` is missing", "Add it to [tokens]"),
    ("checked = 2026-11-24", 'checked = "soon"', 'checked = "soon"', '"soon"', "date"),
    ('"error_in_200"', '"error_in_2OO"', "quirks = ", '"error_in_2OO"', "Did you mean `error_in_200`?"),
    ('id = "acme"', 'id = "Acme Inc"', 'id = "Acme Inc"', '"Acme Inc"', "lower-case"),
    (
        'id = "acme"',
        'id = "acme"\nrotation = "none"',
        'rotation = "none"',
        "no key of the top",
        "It belongs in [tokens]",
    ),
    (
        'token_endpoint = "https://{team}',
        'token_endpoint = "http://{team}',
        "token_endpoint",
        "token_endpoint",
        "https://",
    ),
    ('format = "label"', 'format = "regex"', 'format = "regex"', '"regex"', "Use one of: label, host, tenant"),
    ('name = "acmeApi"', 'name = "acme-api"', 'name = "acme-api"', '"acme-api"', "letters and digits"),
    ('kind = "secret"', 'kind = "password"', 'kind = "password"', '"password"', "secret"),
    ("oauth = true", 'oauth = "yes"', 'oauth = "yes"', '"yes"', "bool"),
    ('url = "https://api.acme.com/ping"', "", "[types.test]", "`url` is missing", "[types.test]"),
    ('hosts = ["api', 'hosts = ["https://api', "hosts = ", "https://api", "without `https://`"),
    ('quirks = ["error_in_200"]', 'grant_type = "password"', "grant_type", "`grant_type` is no key", "Known here"),
    ('quirks = ["error_in_200"]', "authorize_params = { a = 1 }", "authorize_params", "authorize_params", "text"),
    ('quirks = ["error_in_200"]', 'client_auth = "basic"', "client_auth", '"basic"', "client_secret_basic"),
    (
        'headers = { Authorization = "Bearer {key}" }',
        'path = "bot{key}"',
        "path = ",
        "`path` cannot be",
        "beginning of a path",
    ),
    (
        'headers = { Authorization = "Bearer {key}" }',
        'path = "/bot{key}?x"',
        "path = ",
        "`path` cannot be",
        "beginning of a path",
    ),
    ('headers = { Authorization = "Bearer {key}" }', "body = { key = 1 }", "body = ", "body", "text"),
]

INJECTED = 'headers = { Authorization = "Bearer {key}" }'

RULE_MISTAKES = [
    ('quirks = ["error_in_200"]', "pkce = false", "pkce = false", "without a reason", "pkce_off_because"),
    ('quirks = ["error_in_200"]', 'pkce_off_because = "x"', "pkce_off_because", "PKCE is on", "Remove"),
    ('"https://{team}.acme.com/token"', '"https://{tean}.acme.com/token"', "token_endpoint", "`{tean}`", "`{team}`?"),
    ('"https://{team}.acme.com/token"', '"https://{team}.com/token"', "token_endpoint", "anybody's host", "own domain"),
    (
        '"https://{team}.acme.com/token"',
        '"https://{team}.co.uk/token"',
        "token_endpoint",
        "anybody's host",
        "own domain",
    ),
    (
        '"https://{team}.acme.com/token"',
        '"https://acme.com.{team}/token"',
        "token_endpoint",
        "anybody's host",
        "own domain",
    ),
    ('"https://{team}.acme.com/token"', '"{team}/token"', "token_endpoint", "beginning of an address", "https://"),
    ('"https://{team}.acme.com/token"', '"{public_url}/token"', "token_endpoint", "`{public_url}`", "Known here"),
    ('"https://{team}.acme.com/token"', '"https://a@acme.com/token"', "token_endpoint", "user name", "before `@`"),
    ('"https://{team}.acme.com/token"', '"https://acme.com/token\\u0000"', "token_endpoint", "control", "one line"),
    ('hosts = ["api.acme.com", ', "hosts = [", "[account]\nurl = ", "`hosts` does not list", "api.acme.com"),
    ('scopes = ["read"]', "", 'name = "acmeOAuth2"', "asks for no scopes", "no_scopes"),
    ('quirks = ["error_in_200"]', 'quirks = ["no_scopes"]', 'scopes = ["read"]', "never be asked for", "no_scopes"),
    ('aliases = ["acmeKey"]', 'scopes = ["x"]', 'scopes = ["x"]', "never be asked for", "oauth = true"),
    ("Bearer {key}", "Bearer {kee}", "headers = ", "`{kee}`", "`{key}`?"),
    ("Bearer {key}", "Bearer {access_token}", "headers = ", "`{access_token}`", "Known here"),
    ("headers = { Authorization", "query = { Authorization", "query = ", "ends up in logs", "secret_in_query_because"),
    ('headers = { Authorization = "Bearer {key}" }', "headers = {}", "[types.injection]", "nothing", "headers"),
    (INJECTED, 'path = "/bot{key}"', "path = ", "path ends up in logs", "secret_in_path_because"),
    (INJECTED, 'path = "/bot{kee}"', "path = ", "`{kee}`", "`{key}`?"),
    (INJECTED, f'path = "/bot"\n{INJECTED}', "path = ", "carries nothing", "base_url"),
    (INJECTED, 'path = "/../{region}"', "path = ", "must not climb", "Remove"),
    (INJECTED, 'path = "/{region}"', "path = ", "where this path begins", "base_url"),
    (INJECTED, 'body = { key = "{kee}" }', "body = ", "`{kee}`", "`{key}`?"),
    (INJECTED, 'body = { key = "{key}" }', "[types.test]", "GET has no body", "POST"),
    (
        f"{INJECTED}\n\n[types.test]\n",
        'body = { key = "{key}" }\n\n[types.test]\nmethod = "POST"\nbody = "[1]"\n',
        "body = ",
        "cannot be added",
        "JSON object",
    ),
    ("acme.com/ping", "acme.com/ping/{key}", 'ping/{key}"', "secret into an address", "header"),
    ('rotation = "strict"', 'rotation = "grace"', 'rotation = "grace"', "grace period", "grace_s"),
    ('rotation = "strict"', 'rotation = "strict"\ngrace_s = 5', "grace_s = 5", "Only", "Remove"),
    ('format = "label"', 'format = "host"\nasked_of = "credential"', "asked_of", "administrator", "client"),
    ('format = "label"', 'format = "label"\ndefault = "a.b"', 'default = "a.b"', "Team must be", "Mend"),
    ('options = ["eu", "us"]', "", 'kind = "choice"', "do not fit", "options"),
    ('default = "eu"', 'default = "asia"', 'default = "asia"', "does not fit", "Mend"),
    ('kind = "secret"', 'kind = "secret"\ndefault = "x"', 'default = "x"', "no default", "placeholder"),
    ('aliases = ["acmeKey"]', 'aliases = ["acmeApi"]', "aliases = ", "given twice", "Keep one"),
    ('name = "region"', 'name = "key"', "[[types.fields]]", "`key` is given twice", "Keep one"),
    ('name = "region"', 'name = "access_token"', 'name = "access_token"', "meaning of its own", "another name"),
    (
        'quirks = ["error_in_200"]',
        'authorize_params = { response_type = "token" }',
        "authorize_params",
        "protocol",
        "code grant",
    ),
    (
        'quirks = ["error_in_200"]',
        'authorize_params = { request_uri = "urn:x" }',
        "authorize_params",
        "protocol",
        "Remove",
    ),
    (
        'quirks = ["error_in_200"]',
        'pushed_authorization_endpoint = "https://{team}.com/par"',
        "pushed_authorization_endpoint",
        "anybody's host",
        "own domain",
    ),
    (
        'quirks = ["error_in_200"]',
        'token_params = { grant_type = "password" }',
        "token_params",
        "protocol",
        "code grant",
    ),
    (
        'scopes = ["read"]',
        'scopes = ["read"]\nauthorize_params = { state = "1" }',
        "authorize_params",
        "protocol",
        "Remove",
    ),
    (
        'quirks = ["error_in_200"]',
        'revocation_style = "bearer"',
        "revocation_style",
        "no endpoint",
        "revocation_endpoint",
    ),
    (
        'quirks = ["error_in_200"]',
        "revoke_on_reconnect = true",
        "revoke_on_reconnect",
        "no endpoint",
        "revocation_endpoint",
    ),
]


@pytest.mark.parametrize(("old", "new", "line", "message", "hint"), SHAPE_MISTAKES + RULE_MISTAKES)
def test_a_mistake_is_found_on_its_line_with_a_hint(
    tmp_path: Path, old: str, new: str, line: str, message: str, hint: str
) -> None:
    text = changed((old, new))
    found = problems(tmp_path, text)
    first = found[0]
    blamed = (
        "\n".join(text.splitlines()[first.line - 2 : first.line]) if "\n" in line else text.splitlines()[first.line - 1]
    )
    assert line in blamed
    assert message in first.message
    assert hint in first.hint
    assert str(first).startswith(f"{tmp_path / 'acme.toml'}:{first.line}: ")


@pytest.mark.parametrize(("old", "new"), [mistake[:2] for mistake in SHAPE_MISTAKES])
def test_the_published_schema_refuses_what_the_reader_refuses(old: str, new: str) -> None:
    assert not schema_accepts(changed((old, new)))


@pytest.mark.parametrize("file", sorted(data_directory("providers").glob("*.toml")), ids=lambda file: file.name)
def test_schema_and_reader_accept_the_shipped_files(file: Path) -> None:
    assert read(file)[1] == []
    errors = VALIDATOR.iter_errors(plain(tomllib.loads(file.read_text(encoding="utf-8"))))
    assert [error.message for error in errors] == []


def test_the_good_file_is_good(tmp_path: Path) -> None:
    assert problems(tmp_path, GOOD) == []
    assert schema_accepts(GOOD)


def test_the_schema_is_a_schema_that_refuses_unknown_keys_everywhere() -> None:
    Draft202012Validator.check_schema(SCHEMA)
    tables = [SCHEMA, *(table for table in SCHEMA["$defs"].values() if table["type"] == "object")]
    assert [table.get("additionalProperties") for table in tables] == [False] * len(tables)


def test_the_quirks_are_those_the_protocol_knows() -> None:
    assert set(Quirk.__args__) == set(QUIRKS)  # type: ignore[attr-defined]
    assert set(SCHEMA["$defs"]["oauth"]["properties"]["quirks"]["items"]["enum"]) == set(QUIRKS)


def places(tree: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    return [*([path] if path else []), *(found for key, value in inner for found in places(value, (*path, key)))]


ODD = [
    None,
    1,
    -1,
    2.5,
    True,
    "",
    "x",
    "x y",
    "https://a.com",
    "{team}",
    "2026-13-01",
    [],
    ["x"],
    [1],
    {},
    {"x": 1},
    {"x": "y"},
]
"""Values for a place they do not belong to. None: the key is gone."""


@pytest.mark.parametrize("path", places(tomllib.loads(GOOD)), ids=lambda path: ".".join(map(str, path)))
def test_reader_and_schema_agree_whatever_stands_at_a_place(tmp_path: Path, path: tuple[Any, ...]) -> None:
    file = tmp_path / "odd.toml"
    for value in ODD:
        tree = tomllib.loads(GOOD)
        parent = tree
        for part in path[:-1]:
            parent = parent[part]
        if value is None:
            del parent[path[-1]]
        else:
            parent[path[-1]] = value
        try:
            msgspec.convert(tree, ProviderFile)
            shaped = True
        except msgspec.ValidationError:
            shaped = False
        accepted = VALIDATOR.is_valid(plain(tree))
        _, found = _judge(file, GOOD, tree)
        assert shaped or found
        assert accepted == shaped or (shaped and found), value


def test_all_mistakes_come_at_once(tmp_path: Path) -> None:
    text = changed(
        ('rotation = "strict"', ""),
        ('quirks = ["error_in_200"]', 'pkcee = 1\nclient_auth = "x"'),
        ('kind = "secret"', 'kind = "password"'),
        ('name = "acmeApi"', "name = 5"),
        ('format = "label"', ""),
    )
    found = problems(tmp_path, text)
    wanted = {"`rotation` is missing.", "`pkcee` is no key of [oauth].", "`format` is missing."}
    assert wanted <= {problem.message for problem in found}
    assert len(found) == 6


def test_an_oauth_type_needs_endpoints_and_a_rotation_class(tmp_path: Path) -> None:
    bare = 'id = "a"\nname = "A"\n[[types]]\nname = "a"\nlabel = "A"\noauth = true\nscopes = ["x"]\n'
    assert [problem.line for problem in problems(tmp_path, bare)] == [6]
    ends = '[oauth]\nauthorization_endpoint = "https://a.com/a"\ntoken_endpoint = "https://a.com/t"\n'
    found = problems(tmp_path, bare + ends)
    assert [(problem.line, "rotation" in problem.hint) for problem in found] == [(8, True)]
    assert not schema_accepts(bare + ends)


@pytest.mark.parametrize(
    "lines",
    [
        'body = { key = "{key}" }\n\n[types.test]\nmethod = "POST"',
        'body = { key = "{key}" }\n\n[types.test]\nmethod = "POST"\nbody = \'{"a": 1}\'',
        'body = { key = "{key}" }\n\n[types.test]\nmethod = "POST"\nbody = "a=1"\nheaders = { Content-Type = "application/x-www-form-urlencoded" }',
        'path = "/bot{key}"\nsecret_in_path_because = "Nowhere else."\n\n[types.test]',
        'path = "/{region}"\nheaders = { A = "{key}" }\nquery = { r = "{region}" }\n\n[types.test]',
    ],
)
def test_a_credential_may_stand_anywhere(tmp_path: Path, lines: str) -> None:
    text = changed(
        (f"{INJECTED}\n\n[types.test]", lines), ('aliases = ["acmeKey"]', 'base_url = "https://api.acme.com"')
    )
    assert problems(tmp_path, text) == []
    assert schema_accepts(text)


def test_a_test_needs_an_injection(tmp_path: Path) -> None:
    text = changed(('[types.injection]\nheaders = { Authorization = "Bearer {key}" }', ""))
    assert "how the credential is sent" in problems(tmp_path, text)[0].message


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [("id = \n", 1, "not TOML"), ('id = "a"\nname = "b\n', 2, "not TOML"), ("id = 1\nid = 2", 2, "not TOML")],
)
def test_what_is_not_toml_is_told_with_its_line(tmp_path: Path, text: str, line: int, message: str) -> None:
    (problem,) = problems(tmp_path, text)
    assert (problem.line, message in problem.message) == (line, True)


def test_what_cannot_be_read_is_told(tmp_path: Path) -> None:
    assert "cannot be read" in read(tmp_path / "absent.toml")[1][0].message
    (tmp_path / "latin.toml").write_bytes(b'id = "\xff"')
    assert "UTF-8" in read(tmp_path / "latin.toml")[1][0].message
    assert "larger than" in problems(tmp_path, GOOD + "#" * 300_000)[0].message
