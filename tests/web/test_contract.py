"""The running API against its own document: no crash, and nothing that the document does not promise."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from typing import Any
from unittest import SkipTest

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import CHECKS, load_all_checks

from tests.kit.house import PUBLIC_URL, House, make_house
from tests.web.api_fakes import TEMPLATES
from tokenkeep.core.permissions import Scope
from tokenkeep.web import app
from tokenkeep.web.app import OPERATIONS
from tokenkeep.web.operations import Operation
from tokenkeep.web.services import Services, WebConfig

pytestmark = pytest.mark.slow

# Random text is accepted by the schema and still names no type, no redirect target, no credential: that is a 400.
TOO_STRICT = {"positive_data_acceptance"}
FEW = settings(max_examples=12, suppress_health_check=list(HealthCheck), deadline=None)


@dataclass
class Served:
    """A house with its web, and one of everything to act on."""

    house: House
    application: Any
    key: str
    ids: dict[str, str]


def _services(house: House) -> Services:
    cases = house.cases
    return Services(
        credentials=cases.credentials,
        verification=cases.verification,
        tokens=cases.tokens,
        token_reads=cases.token_reads,
        service_keys=cases.service_keys,
        accounts=cases.accounts,
        clients=cases.clients,
        connect=cases.connect,
        connect_sessions=cases.connect_sessions,
        webhooks=cases.outsiders.webhooks,
        status=cases.status,
        catalog=house.catalog,
        metrics=lambda: b"",
        observe=lambda *_: None,
        access=lambda *_: None,
        monotonic=house.clock.monotonic,
    )


async def _serve() -> Served:
    house = await make_house()
    config = WebConfig(
        public_url=PUBLIC_URL,
        demo=False,
        return_origins=(),
        trusted_proxies=(),
        version="1.0.0",
        templates=TEMPLATES,
    )
    _, key = await house.cases.service_keys.create(
        house.person, name="contract", scopes=list(Scope), credential_ids=None, expires_at=None
    )
    served = Served(house=house, application=app.build(_services(house), config), key=key.reveal(), ids={})
    await _furnish(served)
    return served


async def _furnish(served: Served) -> None:
    """One of everything, again: a case before may have deleted it."""
    house = served.house
    await house.register()
    credential = await house.cases.credentials.create(
        house.person, type="acmeApi", name="static", values={"apiKey": "ak-1"}
    )
    session, _ = await house.cases.connect_sessions.create(house.person, type="acmeOAuth2")
    key, _ = await house.cases.service_keys.create(
        house.person, name="spare", scopes=["connect"], credential_ids=None, expires_at=None
    )
    webhooks = house.cases.outsiders.webhooks
    listed = await webhooks.list(house.person)
    endpoint = listed[0] if listed else (await webhooks.create(house.person, url="https://hooks.example"))[0]
    await webhooks.edit(house.person, endpoint.id, disabled=False)
    served.ids = {
        "credential_id": credential.credential.id,
        "type_name": "acmeApi",
        "provider": "acme",
        "session_id": session.id,
        "key_id": key.id,
        "webhook_id": endpoint.id,
        "delivery_id": (await webhooks.test(house.person, endpoint.id)).id,
    }


@pytest.fixture(scope="module")
def served() -> Served:
    return asyncio.run(_serve())


@pytest.fixture(scope="module")
def api_schema(served: Served) -> Any:
    return schemathesis.openapi.from_asgi("/openapi.json", served.application, headers={"Host": "keep.test"})


load_all_checks()


def _described(api_schema: Any, operation: Operation) -> Any:
    return api_schema[operation.template][operation.method]


def _check(case: Any, served: Served) -> None:
    excluded = [check for check in CHECKS.get_all() if check.__name__ in TOO_STRICT]
    case.call_and_validate(headers=_headers(served), excluded_checks=excluded)


def _headers(served: Served) -> dict[str, str]:
    return {"Authorization": f"Bearer {served.key}", "Host": "keep.test"}


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.name)
def test_whatever_is_sent_is_answered_as_documented(operation: Operation, served: Served, api_schema: Any) -> None:
    @FEW
    @given(case=_described(api_schema, operation).as_strategy(generation_mode=GenerationMode.POSITIVE))
    def fits(case: Any) -> None:
        _check(case, served)

    @FEW
    @given(case=_described(api_schema, operation).as_strategy(generation_mode=GenerationMode.NEGATIVE))
    def does_not_fit(case: Any) -> None:
        _check(case, served)

    fits()
    with contextlib.suppress(SkipTest):  # an operation without parameters and body cannot be asked wrongly
        does_not_fit()


@pytest.mark.parametrize("operation", [each for each in OPERATIONS if each.path_names], ids=lambda each: each.name)
def test_so_it_is_for_things_that_exist(operation: Operation, served: Served, api_schema: Any) -> None:
    @FEW
    @given(case=_described(api_schema, operation).as_strategy(generation_mode=GenerationMode.POSITIVE))
    def fits(case: Any) -> None:
        asyncio.run(_furnish(served))
        for name in served.ids.keys() & case.path_parameters.keys():
            case.path_parameters[name] = served.ids[name]
        _check(case, served)

    fits()
