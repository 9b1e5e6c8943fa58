"""The document tells the truth about the route table, both ways."""

from __future__ import annotations

import re
from typing import Any

import pytest
from starlette.routing import Route

from tests.web.api_fakes import make_api
from tokenkeep.core.permissions import Scope
from tokenkeep.web.app import OPERATIONS
from tokenkeep.web.codes import CODES
from tokenkeep.web.openapi import problem_codes

# What needs no particular scope: the catalogue is the same for everybody.
SCOPELESS = {"list_credential_types", "get_credential_type", "get_credential_type_icon"}


async def _document() -> dict[str, Any]:
    async with make_api().client(key=None) as client:
        document: dict[str, Any] = (await client.get("/openapi.json")).json()
    return document


async def test_the_document_and_the_routes_name_the_same_calls() -> None:
    routed = {
        (method, re.sub(r":\w+}", "}", route.path))
        for route in make_api().app.routes
        if isinstance(route, Route) and route.path.startswith("/v1/")
        for method in (route.methods or set()) - {"HEAD"}
    }
    described = {(method.upper(), path) for path, item in (await _document())["paths"].items() for method in item}
    assert routed == described


async def test_every_reference_leads_somewhere() -> None:
    document = await _document()
    names = set(re.findall(r"#/components/schemas/(\w+)", str(document)))
    assert names <= set(document["components"]["schemas"])


async def test_the_document_is_valid_openapi() -> None:
    document = await _document()
    assert document["openapi"].startswith("3.1.")
    assert document["info"] == {
        "title": "Tokenkeep",
        "version": "1.2.3",
        "description": document["info"]["description"],
    }
    for path, item in document["paths"].items():
        for operation in item.values():
            named = {parameter["name"] for parameter in operation["parameters"] if parameter["in"] == "path"}
            assert named == set(re.findall(r"{(\w+)}", path))


def test_operation_ids_are_unique() -> None:
    assert len({operation.name for operation in OPERATIONS}) == len(OPERATIONS)


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.name)
def test_every_operation_is_described_and_declares_known_problems(operation: Any) -> None:
    assert operation.summary
    assert set(problem_codes(operation)) <= set(CODES)
    assert operation.scope in Scope if operation.name not in SCOPELESS else operation.scope is None


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.name)
async def test_nothing_is_answered_to_strangers(operation: Any) -> None:
    path = re.sub(r"{\w+(:\w+)?}", "acmeApi", operation.path)
    async with make_api().client(key=None) as client:
        response = await client.request(operation.method, path)
    assert response.status_code == (200 if operation.public else 401)
