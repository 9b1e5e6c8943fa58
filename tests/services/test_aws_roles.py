"""A role that is assumed with stored keys: signed requests, temporary credentials, and what nodes get of them."""

from __future__ import annotations

import hashlib
import hmac
import sys
from urllib.parse import urlsplit

import pytest

from tests.kit.house import House, make_house
from tests.kit.issuer import Asked
from tokenkeep.adapters.catalog import Catalog
from tokenkeep.adapters.data_files import data_directory
from tokenkeep.core.model import State

CATALOG = Catalog.load([data_directory("providers")], demo_public_url="https://keep.example.com")
TYPE = CATALOG.type("awsAssumedRole")
SECRET = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
VALUES = {
    "accessKeyId": "AKIAIOSFODNN7EXAMPLE",
    "secretAccessKey": SECRET,
    "roleArn": "arn:aws:iam::123456789012:role/example",
    "region": "eu-central-1",
}


def answer(house: House, number: int) -> dict[str, object]:
    """As STS answers where JSON is accepted; its end is a time in seconds."""
    credentials = {
        "AccessKeyId": f"ASIA{number}",
        "SecretAccessKey": f"temporary-{number}",
        "SessionToken": f"session-{number}",
        "Expiration": house.clock.now().timestamp() + 3600,
    }
    return {"AssumeRoleResponse": {"AssumeRoleResult": {"Credentials": credentials}}}


async def assumed() -> tuple[House, str]:
    house = await make_house(types=[TYPE], further=[CATALOG.provider("aws")])
    house.issuer.document = lambda number: answer(house, number)  # type: ignore[method-assign]
    view = await house.cases.credentials.create(house.person, type=TYPE.name, name="Role", values=VALUES)
    return house, view.credential.id


def signature(asked: Asked, content: str, *, secret: str) -> str:
    """Signature Version 4, worked out from its description alone."""
    words = dict(part.strip().split("=", 1) for part in asked.headers["authorization"].partition(" ")[2].split(","))
    _, day, region, service, _ = words["Credential"].split("/")
    names = words["SignedHeaders"].split(";")
    lines = "".join(f"{name}:{asked.headers[name].strip()}\n" for name in names)
    parts = [
        asked.method,
        urlsplit(asked.url).path,
        "",
        lines,
        ";".join(names),
        hashlib.sha256(content.encode()).hexdigest(),
    ]
    scope = f"{day}/{region}/{service}/aws4_request"
    request = hashlib.sha256("\n".join(parts).encode()).hexdigest()
    text = "\n".join(["AWS4-HMAC-SHA256", asked.headers["x-amz-date"], scope, request])
    key = f"AWS4{secret}".encode()
    for step in (day, region, service, "aws4_request"):
        key = hmac.new(key, step.encode(), hashlib.sha256).digest()
    return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()


async def test_the_request_is_signed_and_names_the_role() -> None:
    house, id_ = await assumed()
    assert house.state(id_) is State.CONNECTED, house.failure_code(id_)
    (asked,) = house.issuer.journal
    assert asked.url == "https://sts.eu-central-1.amazonaws.com/"
    assert asked.params == {
        "Action": "AssumeRole",
        "Version": "2011-06-15",
        "RoleArn": VALUES["roleArn"],
        "RoleSessionName": "tokenkeep",
    }
    words = asked.headers["authorization"]
    assert "Credential=AKIAIOSFODNN7EXAMPLE/" in words
    assert "/eu-central-1/sts/aws4_request" in words
    assert {"host", "x-amz-date"} <= set(words.split("SignedHeaders=")[1].split(",")[0].split(";"))
    assert words.endswith(f"Signature={signature(asked, asked.content, secret=SECRET)}")
    assert signature(asked, asked.content, secret="another") not in words
    assert SECRET not in repr(asked)


async def test_nodes_get_temporary_credentials_under_the_names_they_know() -> None:
    house, id_ = await assumed()
    name, values = await house.cases.tokens.values(house.node, id_)
    assert name == "awsAssumedRole"
    assert {key: values[key] for key in ("awsKey", "awsSecret", "awsSession", "region")} == {
        "awsKey": "ASIA1",
        "awsSecret": "temporary-1",
        "awsSession": "session-1",
        "region": "eu-central-1",
    }
    assert values["expires_at"] == "2026-11-24T13:01:00Z"
    await house.next_try(id_)
    assert (await house.cases.tokens.values(house.node, id_))[1]["awsKey"] == "ASIA2"


async def test_a_refusal_of_aws_is_the_values_matter() -> None:
    house, id_ = await assumed()
    house.issuer.instead = [(403, {"Error": {"Code": "AccessDenied", "Message": "no", "Type": "Sender"}})]
    await house.next_try(id_)
    assert (house.state(id_), house.failure_code(id_)) == (State.FAILING, "http_403")


async def test_without_the_extra_it_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    house, id_ = await assumed()
    for name in [one for one in sys.modules if one.partition(".")[0] == "botocore"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "botocore", None)
    await house.next_try(id_)
    assert (house.state(id_), house.failure_code(id_)) == (State.FAILING, "signer_missing")
