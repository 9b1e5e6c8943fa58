"""Mail: only what a person must act on, gathered per workspace, at most once in five minutes."""

from __future__ import annotations

from typing import Any

import pytest

from tests.kit.builders import OTHER_WORKSPACE, event
from tests.kit.told import Told, make_told
from tokenkeep.services.notices import EVERY_S, LISTED


async def happened(told: Told, *kinds: str, **changes: Any) -> None:
    for number, kind in enumerate(kinds):
        changed = {"workspace_id": told.house.owner.workspace_id, "at": told.house.clock.now()} | changes
        await told.house.database.events.add(
            event(**{"id": f"{kind}-{told.house.clock.now()}-{number}", "kind": kind} | changed)
        )
    await told.outsiders.tell()


async def test_a_person_is_told_what_to_do_and_where() -> None:
    told = await make_told()
    credential_id = (await told.house.connect(name="Team drive")).credential.id
    for family in told.house.server.consents:
        told.house.server.consents.end(family)
    told.house.expire()
    await told.house.refresh_now(credential_id)
    await happened(told, "client_paused", credential_id="", detail={"provider": "acme", "code": "invalid_client"})
    assert await told.mail() == 1
    ((subject, text),) = told.mailbox.mails
    assert subject == "Tokenkeep: 2 things need you in Home"
    assert "Team drive (2026-11-24 13:01 UTC)" in text
    assert f"https://keep.test/credentials/{credential_id}" in text
    assert "https://keep.test/settings/clients/acme" in text
    assert await told.mail() == 0


@pytest.mark.parametrize("kind", ["connected", "refreshed", "refresh_failed", "breaker_opened", "webhook_disabled"])
async def test_nobody_is_bothered_with_what_repairs_itself(kind: str) -> None:
    told = await make_told()
    await happened(told, kind)
    assert await told.mail() == 0
    assert told.mailbox.mails == []


async def test_a_storm_is_one_mail_and_the_rest_comes_five_minutes_later() -> None:
    told = await make_told()
    await happened(told, "reauthorization_required")
    assert await told.mail() == 1
    await happened(told, *["reauthorization_required"] * 150, credential_id="gone")
    told.house.clock.advance(EVERY_S - 1)
    assert await told.mail() == 0
    told.house.clock.advance(1)
    assert await told.mail() == 1
    assert f"{LISTED} things" in told.mailbox.mails[1][0]
    assert "There may be more" in told.mailbox.mails[1][1]
    told.house.clock.advance(EVERY_S)
    assert await told.mail() == 1
    assert "50 things" in told.mailbox.mails[2][0]
    told.house.clock.advance(EVERY_S)
    assert await told.mail() == 0


async def test_each_workspace_has_its_own_mail() -> None:
    told = await make_told()
    await told.house.database.accounts.add_workspace(OTHER_WORKSPACE, "Other\nBcc: eve", told.house.clock.now())
    await happened(told, "reauthorization_required")
    await happened(told, "reauthorization_required", workspace_id=OTHER_WORKSPACE)
    assert await told.mail() == 2
    subjects = sorted(subject for subject, _ in told.mailbox.mails)
    assert subjects == ["Tokenkeep: 1 thing needs you in Home", "Tokenkeep: 1 thing needs you in Other?Bcc: eve"]


async def test_a_mail_that_is_not_taken_is_tried_again_and_nothing_is_lost() -> None:
    told = await make_told()
    told.mailbox.problem = "ConnectionRefusedError"
    await happened(told, "reauthorization_expected")
    assert await told.mail() == 0
    told.mailbox.problem = ""
    assert await told.mail() == 0
    told.house.clock.advance(EVERY_S)
    assert await told.mail() == 1
    assert told.house.journal.facts("mail_failed") == [{"error": "ConnectionRefusedError", "notices": 1}]


async def test_replicas_send_one_mail() -> None:
    told = await make_told()
    other = told.replica()
    await happened(told, "reauthorization_required")
    assert [await told.mail(), await other.mail()] == [1, 0]


async def test_without_mail_nothing_waits() -> None:
    told = await make_told(mailing=False)
    await happened(told, "reauthorization_required")
    assert list(await told.house.database.outbox.waiting()) == []
