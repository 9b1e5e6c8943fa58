"""The test of a credential whose type is a database: where it looks, and what it says of what it found."""

from __future__ import annotations

from typing import Any

import pytest

from tests.kit import builders
from tests.kit.databases_asked import FakeDatabases
from tests.kit.house import House, make_house
from tokenkeep.core.errors import NotFound, ScopeMissing
from tokenkeep.core.model import Driver, FieldKind, Probe
from tokenkeep.core.probing import Probed, Tls

PASSWORD = "mark-database-password"
VALUES = {"host": "db.example.com", "user": "ada", "password": PASSWORD}


def of_database() -> Any:
    names = {"host": FieldKind.TEXT, "user": FieldKind.TEXT, "password": FieldKind.SECRET}
    fields = tuple(
        builders.field(name=name, label=name, kind=kind, secret=kind is FieldKind.SECRET, required=False)
        for name, kind in names.items()
    )
    probe = Probe(driver=Driver.POSTGRESQL, host="{host}", user="{user}", password="{password}")
    return builders.static_type(name="acmeProbed", label="Acme database", fields=fields, injection=None, probe=probe)


async def a_database(found: Probed = Probed.OK, **values: str) -> tuple[House, FakeDatabases, str]:
    house = await make_house(types=[of_database()])
    databases = house.parts.databases
    assert isinstance(databases, FakeDatabases)
    databases.found = found
    view = await house.cases.credentials.create(house.person, type="acmeProbed", name="d", values=VALUES | values)
    return house, databases, view.credential.id


async def test_signing_in_proves_a_credential():
    house, databases, id_ = await a_database()
    verdict = await house.cases.verification.test(house.person, id_)
    assert (verdict.ok, verdict.problem, verdict.detail, verdict.account) == (True, "", "", None)
    (target,) = databases.asked
    assert (target.driver, target.host, target.port, target.tls) == ("postgresql", "db.example.com", 5432, Tls.PREFER)
    assert (target.user, target.password.reveal()) == ("ada", PASSWORD)
    assert house.events(id_) == ["created", "tested"]
    assert house.wire.calls == []


@pytest.mark.parametrize("found", [one for one in Probed if one is not Probed.OK])
async def test_what_was_found_is_said_in_words(found):
    house, _, id_ = await a_database(found)
    verdict = await house.cases.verification.test(house.person, id_)
    assert (verdict.ok, verdict.problem) == (False, found.value)
    assert type(verdict.problem) is str
    assert len(verdict.detail) > 20
    (event,) = [one for one in house.database.rows.events if one.kind == "tested"]
    assert event.detail == {"ok": False, "code": found.value}
    assert PASSWORD not in repr([verdict, event, house.journal.records])


async def test_a_missing_driver_is_told_with_the_way_to_install_it():
    house, _, id_ = await a_database(Probed.DRIVER_MISSING)
    verdict = await house.cases.verification.test(house.person, id_)
    assert "pip install 'tokenkeep[databases]'" in verdict.detail


@pytest.mark.parametrize(
    ("values", "problem"),
    [({"host": ""}, "incomplete"), ({"user": ""}, "incomplete"), ({"host": "/var/run/postgresql"}, "unsupported")],
)
async def test_values_that_lead_nowhere_are_not_tried(values, problem):
    house, databases, id_ = await a_database(**values)
    verdict = await house.cases.verification.test(house.person, id_)
    assert (verdict.ok, verdict.problem) == (False, problem)
    assert databases.asked == []


async def test_a_sign_in_keeps_to_workspace_and_scope():
    house, databases, id_ = await a_database()
    with pytest.raises(ScopeMissing):
        await house.cases.verification.test(house.node, id_)
    with pytest.raises(NotFound):
        await house.cases.verification.test(builders.caller(workspace_id="workspace-2"), id_)
    assert databases.asked == []
