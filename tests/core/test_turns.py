"""Which line of history is which turn."""

from __future__ import annotations

import pytest

from tokenkeep.core.turns import FAILED, FOR_PEOPLE, OUTCOMES, SUBSCRIBABLE, TYPES, turns_of


@pytest.mark.parametrize(
    ("before", "kind", "turns"),
    [
        ("connected", "refreshed", ["credential.refreshed"]),
        ("refreshed", "refreshed", ["credential.refreshed"]),
        ("", "connected", ["credential.connected"]),
        ("connected", "refresh_failed", ["credential.failing"]),
        ("refreshed", "refresh_failed", ["credential.failing"]),
        ("", "refresh_failed", ["credential.failing"]),
        ("refresh_failed", "refresh_failed", []),
        ("refresh_failed", "refreshed", ["credential.refreshed", "credential.recovered"]),
        ("refreshed", "reauthorization_required", ["credential.reauthorization_required"]),
        ("refresh_failed", "reauthorization_required", ["credential.reauthorization_required"]),
        ("reauthorization_required", "reconnected", ["credential.reconnected", "credential.recovered"]),
        ("reauthorization_required", "refresh_failed", []),
        ("", "client_paused", ["client.incident_began"]),
        ("", "breaker_closed", ["provider.breaker_closed"]),
        ("", "tested", []),
        ("", "something new", []),
    ],
)
def test_a_turn_is_read_from_a_line_and_the_outcome_before_it(before: str, kind: str, turns: list[str]) -> None:
    assert list(turns_of(kind, before=before)) == turns


@pytest.mark.parametrize("before", ["", *sorted(OUTCOMES)])
@pytest.mark.parametrize("kind", sorted(OUTCOMES))
def test_failing_and_recovered_are_told_exactly_when_it_turns(kind: str, before: str) -> None:
    told = turns_of(kind, before=before)
    assert ("credential.recovered" in told) == (before in FAILED and kind not in FAILED)
    assert ("credential.failing" in told) == (before not in FAILED and kind == "refresh_failed")


@pytest.mark.parametrize(
    ("kind", "detail", "told"),
    [
        ("refreshed", {"scopes_removed": ["write"]}, True),
        ("reconnected", {"scopes_added": ["files"]}, True),
        ("refreshed", {"duration_ms": 200}, False),
        ("edited", {"scopes_added": ["files"]}, False),
    ],
)
def test_changed_scopes_are_told_beside_what_happened(kind: str, detail: dict[str, object], told: bool) -> None:
    turns = turns_of(kind, before="connected", detail=detail)
    assert ("credential.scopes_changed" in turns) == told
    assert turns[0] == f"credential.{kind}"


def test_whatever_can_be_told_is_in_the_table_of_types() -> None:
    kinds = [*OUTCOMES, "created", "edited", "disconnected", "reauthorization_expected", "rejection_loop"]
    kinds += [
        "refusal_doubted",
        "mass_refusal_begun",
        "mass_refusal_ended",
        "client_paused",
        "client_resumed",
        "breaker_opened",
        "breaker_closed",
        "webhook_disabled",
    ]
    details = ({}, {"scopes_added": ["read"]})
    each = [(kind, before, detail) for kind in kinds for before in ("", *OUTCOMES) for detail in details]
    told = {type_ for kind, before, detail in each for type_ in turns_of(kind, before=before, detail=detail)}
    assert told == set(SUBSCRIBABLE)
    assert len(TYPES) == len(set(TYPES)) == len(SUBSCRIBABLE) + 1
    assert set(SUBSCRIBABLE) > FOR_PEOPLE
