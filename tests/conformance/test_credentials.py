"""CredentialStore: every implementation answers alike."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.kit import builders
from tests.kit.builders import OTHER_WORKSPACE, WORKSPACE
from tests.kit.clock import NOON
from tests.kit.stored import AnyDatabase, event, put_credential, put_grant
from tokenkeep.core.errors import InvalidInput
from tokenkeep.core.model import State
from tokenkeep.services.ports import CredentialFilter


async def names(database: AnyDatabase, **wanted: object) -> list[str]:
    page = await database.credentials.list(WORKSPACE, CredentialFilter(**wanted))
    return [credential.name for credential in page.items]


async def test_what_is_added_comes_back_whole(database: AnyDatabase) -> None:
    added = await put_credential(database, values_sealed=b"\x00sealed", masked={"apiKey": "…é9", "n": 3, "on": True})
    assert await database.credentials.get(WORKSPACE, added.id) == added


async def test_the_first_line_of_history_is_written_with_it(database: AnyDatabase) -> None:
    await put_credential(database)
    assert [
        line.kind for line in (await database.events.list(WORKSPACE, "credential-1", limit=9, cursor="")).items
    ] == ["created"]


async def test_a_credential_comes_with_its_grant(database: AnyDatabase) -> None:
    grant = await put_grant(database, prev_sealed=b"previous", account_sealed=b"account", scopes_granted=None)
    credential = await database.credentials.get(WORKSPACE, "credential-1")
    assert credential is not None
    assert credential.grant == grant
    assert grant.scopes_granted is None


async def test_unknown_ids_and_other_workspaces_answer_none(database: AnyDatabase) -> None:
    await put_credential(database)
    assert await database.credentials.get(WORKSPACE, "nobody") is None
    assert await database.credentials.get(OTHER_WORKSPACE, "credential-1") is None


async def test_two_workspaces_may_use_one_id(database: AnyDatabase) -> None:
    await put_credential(database, name="ours")
    await put_credential(database, name="theirs", workspace_id=OTHER_WORKSPACE)
    found = await database.credentials.get(OTHER_WORKSPACE, "credential-1")
    assert found is not None
    assert found.name == "theirs"


async def test_an_edit_raises_the_version_and_keeps_type_and_grant(database: AnyDatabase) -> None:
    grant = await put_grant(database)
    stored = await database.credentials.get(WORKSPACE, "credential-1")
    assert stored is not None
    edited = replace(
        stored, name="Renamed", version=2, values_sealed=b"new", values_version=2, masked={"a": "b"}, updated_at=NOON
    )
    assert await database.credentials.update(edited, expected_version=1, event=event(kind="edited"))
    assert await database.credentials.get(WORKSPACE, "credential-1") == replace(edited, version=2, grant=grant)


@pytest.mark.parametrize(
    "changes", [{"id": "nobody"}, {"workspace_id": OTHER_WORKSPACE}], ids=["unknown", "other workspace"]
)
async def test_an_edit_of_what_is_not_there_writes_nothing(database: AnyDatabase, changes: dict[str, str]) -> None:
    added = await put_credential(database)
    edited = replace(added, name="Renamed", **changes)
    assert not await database.credentials.update(edited, expected_version=1, event=event(kind="edited"))
    assert await names(database) == [added.name]


async def test_an_edit_of_an_older_version_writes_nothing(database: AnyDatabase) -> None:
    added = await put_credential(database)
    assert await database.credentials.update(replace(added, name="first"), expected_version=1, event=event())
    assert not await database.credentials.update(
        replace(added, name="second"), expected_version=1, event=event(kind="edited late")
    )
    assert await names(database) == ["first"]
    history = await database.events.list(WORKSPACE, added.id, limit=9, cursor="")
    assert "edited late" not in [line.kind for line in history.items]


async def test_deleting_takes_everything_along(database: AnyDatabase) -> None:
    grant = await put_grant(database)
    now = await database.grants.now()
    await database.references.declare(WORKSPACE, "credential-1", "flow/1", now)
    lease = await database.grants.claim(grant, owner="me", lease_s=90, intent_fingerprint="f")
    assert lease is not None
    await database.grants.shelve(lease, b"orphan", version=2, until=now + builders.HOUR)

    assert await database.credentials.delete(WORKSPACE, "credential-1")

    assert await database.credentials.get(WORKSPACE, "credential-1") is None
    assert await database.grants.get(WORKSPACE, "credential-1") is None
    assert await database.references.list(WORKSPACE, "credential-1") == []
    assert await database.grants.orphans(WORKSPACE, "credential-1", "grant-1") == []
    assert (await database.events.list(WORKSPACE, "credential-1", limit=9, cursor="")).items == []


async def test_deleting_what_is_not_here_leaves_the_rest(database: AnyDatabase) -> None:
    await put_grant(database)
    assert not await database.credentials.delete(OTHER_WORKSPACE, "credential-1")
    assert not await database.credentials.delete(WORKSPACE, "nobody")
    assert await database.grants.get(WORKSPACE, "credential-1") is not None
    assert (await database.events.list(WORKSPACE, "credential-1", limit=9, cursor="")).items


async def test_lists_show_no_sealed_octets(database: AnyDatabase) -> None:
    await put_credential(database, values_sealed=b"sealed")
    await put_grant(database, sealed=b"sealed", prev_sealed=b"sealed", account_sealed=b"sealed")
    (shown,) = (await database.credentials.list(WORKSPACE, CredentialFilter())).items
    assert shown.values_sealed is None
    assert shown.grant is not None
    assert (shown.grant.sealed, shown.grant.prev_sealed, shown.grant.account_sealed) == (b"", None, None)


async def test_lists_are_ordered_by_name_without_regard_to_case_then_by_id(database: AnyDatabase) -> None:
    for number, name in enumerate(["beta", "Alpha", "ämter", "alpha", "Beta"]):
        await put_credential(database, id=f"credential-{number}", name=name)
    assert await names(database) == ["Alpha", "alpha", "beta", "Beta", "ämter"]


async def test_pages_neither_repeat_nor_lose_anything(database: AnyDatabase) -> None:
    for number in range(7):
        await put_credential(database, id=f"credential-{number}", name="same" if number % 2 else f"name {number}")
    await put_credential(database, id="credential-x", workspace_id=OTHER_WORKSPACE)
    seen: list[str] = []
    cursor = ""
    for _ in range(4):
        page = await database.credentials.list(WORKSPACE, CredentialFilter(limit=2, cursor=cursor))
        seen += [credential.id for credential in page.items]
        cursor = page.next_cursor
    assert cursor == ""
    assert sorted(seen) == [f"credential-{number}" for number in range(7)]


async def test_a_page_that_ends_with_the_list_has_no_next(database: AnyDatabase) -> None:
    for number in range(2):
        await put_credential(database, id=f"credential-{number}")
    assert (await database.credentials.list(WORKSPACE, CredentialFilter(limit=2))).next_cursor == ""


@pytest.mark.parametrize("cursor", ["x", "not a cursor", "AAAA", "WzFd", "é"])
async def test_a_foreign_cursor_is_refused(database: AnyDatabase, cursor: str) -> None:
    with pytest.raises(InvalidInput):
        await database.credentials.list(WORKSPACE, CredentialFilter(cursor=cursor))


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ({}, ["Grün 100%", "connected", "failing", "plain_1"]),
        ({"types": ("acmeApi",)}, ["plain_1"]),
        ({"types": ("acmeApi", "acmeOAuth2")}, ["Grün 100%", "connected", "failing", "plain_1"]),
        ({"state": "connected"}, ["connected"]),
        ({"state": "failing"}, ["failing"]),
        ({"state": "quarantined"}, []),
        ({"state": "stored"}, ["Grün 100%", "plain_1"]),
        ({"state": "unconnected"}, ["Grün 100%", "plain_1"]),
        ({"query": "GRÜN"}, ["Grün 100%"]),
        ({"query": "%"}, ["Grün 100%"]),
        ({"query": "_"}, ["plain_1"]),
        ({"query": "in"}, ["failing", "plain_1"]),
        ({"ids": frozenset({"a", "b"})}, ["connected", "failing"]),
        ({"ids": frozenset()}, []),
        ({"query": "in", "ids": frozenset({"a", "b"})}, ["failing"]),
    ],
)
async def test_filters(database: AnyDatabase, wanted: dict[str, object], found: list[str]) -> None:
    failing = builders.standing(state=State.FAILING, failure=builders.failure())
    await put_credential(database, id="a", name="connected")
    await put_grant(database, credential_id="a")
    await put_credential(database, id="b", name="failing")
    await put_grant(database, credential_id="b", standing=failing)
    await put_credential(database, id="c", name="Grün 100%")
    await put_credential(database, id="d", name="plain_1", type="acmeApi")
    await put_credential(database, id="e", name="in the other workspace", workspace_id=OTHER_WORKSPACE)
    assert sorted(await names(database, **wanted)) == found
