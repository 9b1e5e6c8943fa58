"""What is wrong with a way to obtain tokens without a person, on which line, and how to mend it."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from tests.adapters.provider_files import plain, written
from tokenkeep.adapters.data_files import data_directory
from tokenkeep.adapters.provider_reader import read

GOOD = """id = "acme"
name = "Acme"

[[types]]
name = "acmeRobot"
label = "Acme robot"

[[types.fields]]
name = "region"
label = "Region"

[[types.fields]]
name = "clientId"
label = "Client ID"

[[types.fields]]
name = "clientSecret"
label = "Client secret"
kind = "secret"

[[types.fields]]
name = "keyFile"
label = "Key file"
kind = "json"

[[types.fields]]
name = "authentication"
label = "Authentication"
kind = "choice"
options = ["client_secret_basic", "client_secret_post"]

[types.mint]
url = "https://{region}.acme.com/token"
client_auth = "{authentication}"
client_id = "{clientId}"
client_secret = "{clientSecret}"
params = { grant_type = "client_credentials", assertion = "{assertion}" }
source = "https://acme.com/docs"
checked = 2026-11-24

[types.mint.assertion]
key = "{keyFile.private_key}"
claims = { iss = "{keyFile.client_email}", jti = "{random}" }
"""
ASSERTION = GOOD[GOOD.index("[types.mint.assertion]") :]
URL = 'url = "https://{region}.acme.com/token"\n'
CLIENT = 'client_auth = "{authentication}"\nclient_id = "{clientId}"\nclient_secret = "{clientSecret}"\n'
PARAMS = 'params = { grant_type = "client_credentials", assertion = "{assertion}" }\n'

# (what is replaced, by what, the text of the line that is blamed, part of the message, part of the hint)
MISTAKES = [
    ('label = "Acme robot"', 'label = "Acme robot"\noauth = true', "[types.mint]", "not both", "two types"),
    ('name = "region"', 'name = "assertion"', "[types.mint]", "`assertion`", "another name"),
    ('"{clientId}"', '"{clientID}"', 'client_id = "{clientID}"', "`{clientID}`", "Did you mean `{clientId}`?"),
    ("{keyFile.private_key}", "{region.key}", 'key = "{region.key}"', "`{region.key}`", "Known here"),
    (f"{URL}{CLIENT}{PARAMS}", PARAMS, "[types.mint]", "nothing is sent", "Add `url`"),
    (ASSERTION, "", "[types.mint]", "`{assertion}`", "Add [types.mint.assertion]"),
    (', assertion = "{assertion}"', "", "[types.mint.assertion]", "never sent", "params"),
    ("{authentication}", "{region}", 'client_auth = "{region}"', "does not choose", "client_secret_post"),
    ("{authentication}", "basic", 'client_auth = "basic"', "`basic` is no way", "One of"),
    ('client_secret = "{clientSecret}"', "", "client_auth", "needs `client_id` and `client_secret`", "Give both"),
    (PARAMS, f'{PARAMS}method = "GET"\n', 'method = "GET"', "neither parameters", "POST"),
    ("https://{region}.acme.com", "https://{region}.com", "url = ", "anybody's host", "own domain"),
    ("https://{region}.acme.com", "http://acme.com", "url = ", "http://acme.com", ""),
    ("https://{region}.acme.com", "https://acme.com/{clientSecret}", "url = ", "secret into an address", "header"),
    ("{region}.acme.com/token", "{region}.acme.com/{nowhere}", "url = ", "`{nowhere}`", ""),
    ('source = "https://acme.com/docs"\n', "", "[types.mint]", "`source` is missing", "Add it"),
]


def test_the_good_one_is_accepted_by_code_and_schema(tmp_path: Path) -> None:
    file, found = read(written(tmp_path, GOOD))
    assert (found, file is not None) == ([], True)
    schema = json.loads((data_directory("providers") / "schema.json").read_text(encoding="utf-8"))
    assert Draft202012Validator(schema).is_valid(plain(tomllib.loads(GOOD)))


@pytest.mark.parametrize(("old", "new", "line", "message", "hint"), MISTAKES, ids=[each[3] for each in MISTAKES])
def test_each_mistake_is_told_with_its_line(
    tmp_path: Path, old: str, new: str, line: str, message: str, hint: str
) -> None:
    assert GOOD.count(old) >= 1
    text = GOOD.replace(old, new, 1)
    file, found = read(written(tmp_path, text))
    assert file is None
    blamed = [one for one in found if message in one.message]
    assert blamed, found
    assert line in text.splitlines()[blamed[0].line - 1]
    assert hint in blamed[0].hint


def test_an_assertion_alone_is_the_token(tmp_path: Path) -> None:
    file, found = read(written(tmp_path, GOOD.replace(URL + CLIENT + PARAMS, "")))
    assert found == []
    assert file is not None
