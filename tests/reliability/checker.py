"""The judge of every harness: invariants I1 to I6 over the provider's journal, the writes and what callers were told.

Owns: what must hold whatever happened (reliability 4.1). Does not own: how long something may take, and that one
credential's trouble does not reach another (I7): each harness knows its own times and bystanders.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence

from tests.reliability.provider import ModelProvider, Sent
from tests.reliability.world import Record, World, Written
from tokenkeep.core.lifecycle import DOUBTED
from tokenkeep.core.model import Rotation, State
from tokenkeep.services.brake import UNCONFIRMED

REAUTHORIZATION = str(State.REAUTHORIZATION_REQUIRED)
BEFORE_END_S = 30.0
"""Where reuse revokes everything, recovery waits until so long before the access token's end."""
LATE_S = 300.0
"""How long after its time something may still be waiting, with ticks as rare as they are at the end of a run."""


async def violations(world: World, *, slack_s: float = 0.0) -> list[str]:
    """Everything that must not be, at the end of a world whose troubles are over. `slack_s`: clocks are off by so much."""
    found = [*during(world, slack_s=slack_s)]
    for credential_id in list(world.record.families):
        found += [fault async for fault in _at_the_end(world, credential_id, slack_s)]
    return found


def during(world: World, *, slack_s: float = 0.0) -> Iterator[str]:
    """What must not be at any time, also while troubles last."""
    record = world.record
    yield from _acknowledged_is_durable(record)
    yield from _single_flight(record)
    yield from _fenced(record)
    yield from _no_blind_reuse(world)
    yield from _spared_families(world, slack_s)
    yield from _no_false_death(world)


# --- I1 ---------------------------------------------------------------------------------------------------------


def _acknowledged_is_durable(record: Record) -> Iterator[str]:
    for told in record.told:
        if told.access_token and not told.durable:
            yield f"I1: {told.access_token} was handed out at {told.at:.1f} and was not on disk"


# --- I2 ---------------------------------------------------------------------------------------------------------


def _end(sent: Sent) -> float:
    """When nobody waits for it any more. What a dead sender left with the provider is nobody's to call back; recovery does
    not wait for it, because a grace may be as short as the longest call."""
    return next((end for end in (sent.ended, sent.decided) if end is not None), sent.began)


def _single_flight(record: Record) -> Iterator[str]:
    latest: dict[int, Sent] = {}
    for sent in sorted(record.sent, key=lambda each: each.began):
        if sent.family == 0:
            continue
        before = latest.get(sent.family)
        if before is not None and sent.began < _end(before):
            yield f"I2: {sent.token} was sent by {sent.replica} at {sent.began:.1f} during {before.replica}'s call"
        if before is None or _end(sent) >= _end(before):
            latest[sent.family] = sent


# --- I3 ---------------------------------------------------------------------------------------------------------


def _fenced(record: Record) -> Iterator[str]:
    rows: dict[str, Written] = {}
    for write in record.written:
        row = rows.get(write.credential)
        if write.how == "connect" or row is None:
            rows[write.credential] = write
            continue
        if write.grant_id != row.grant_id:
            yield f"I3: a {write.how} of an older grant of {write.credential} took effect at {write.at:.1f}"
        if write.how in {"store", "settle"} and write.fence != row.fence:
            yield f"I3: a {write.how} under fence {write.fence} took effect at {write.at:.1f} under fence {row.fence}"
        if write.how == "store" and write.version != row.version + 1:
            yield f"I3: generation {row.version} was replaced by {write.version} at {write.at:.1f}"
        if write.how == "claim" and write.fence <= row.fence:
            yield f"I3: a claim did not raise the fence above {row.fence} at {write.at:.1f}"
        rows[write.credential] = write


# --- I4 ---------------------------------------------------------------------------------------------------------


def _no_blind_reuse(world: World) -> Iterator[str]:
    """A spent token other than the stored one is sent only after that was refused, and nothing is sent after its refusal."""
    owner = {family: credential for credential, all_ in world.record.families.items() for _, family in all_}
    refusals: dict[tuple[str, int], list[tuple[Sent, Written]]] = {}
    tried: set[tuple[str, str, int]] = set()
    for sent in world.record.sent:
        row = _row_before(world.record, owner.get(sent.family), sent.number)
        if row is None:
            continue
        before = refusals.setdefault((row.grant_id, row.version), [])
        strange = sent.token != row.refresh_token and _same_family(world, sent, row.refresh_token)
        if strange and sent.token != sent.current and not any(each.token == row.refresh_token for each, _ in before):
            yield f"I4: {sent.token} was sent at {sent.began:.1f} although {row.refresh_token} is stored"
        if (row.grant_id, sent.token, row.fence) in tried:
            yield f"I4: {sent.token} was sent twice under one claim, again at {sent.began:.1f}"
        if any(each.token == sent.token and _kept(world.record, each, at, sent) for each, at in before):
            yield f"I4: {sent.token} was tried again at {sent.began:.1f} after it was refused"
        tried.add((row.grant_id, sent.token, row.fence))
        if sent.refused:
            before.append((sent, row))


def _kept(record: Record, refused: Sent, at: Written, later: Sent | Written) -> bool:
    """Whether the refusal under that claim was written down, and believed."""
    settled = (
        write
        for write in record.written
        if write.how == "settle"
        and (write.credential, write.fence) == (at.credential, at.fence)
        and refused.number < write.number < later.number
    )
    return any(write.code not in {DOUBTED, UNCONFIRMED} for write in settled)


def _row_before(record: Record, credential_id: str | None, number: int) -> Written | None:
    found = None
    for write in record.written:
        if write.number > number:
            break
        if write.credential == credential_id:
            found = write
    return found


def _same_family(world: World, sent: Sent, token: str) -> bool:
    family = world.providers[sent.provider].consents.owner(token)
    return family is not None and family.id == sent.family


def _spared_families(world: World, slack_s: float) -> Iterator[str]:
    """Where reuse revokes everything: one try after a loss, and while the access token serves not before its end."""
    refused: dict[int, Sent] = {}
    owner = {family: credential for credential, all_ in world.record.families.items() for _, family in all_}
    for sent in world.record.sent:
        provider, credential_id = world.providers[sent.provider], owner.get(sent.family)
        if provider.manner.rotation is not Rotation.FAMILY or sent.token == sent.current or not sent.decided:
            continue
        before = refused.get(sent.family)
        if before is not None and _given_up(world.record, credential_id, before, sent):
            yield f"I4: {sent.token} was tried again at {sent.began:.1f} where reuse had revoked everything"
        row = _row_before(world.record, credential_id, sent.number)
        if row is not None and not provider.manner.kills and sent.began < row.expires - BEFORE_END_S - slack_s - 1:
            yield f"I4: {sent.token} was risked at {sent.began:.1f} although its access token serves until {row.expires:.0f}"
        if sent.refused and sent.family not in provider.withdrawn:
            refused[sent.family] = sent


def _given_up(record: Record, credential_id: str | None, refused: Sent, again: Sent) -> bool:
    """Whether the refusal could be written down. Where it could not, nobody else can know of it."""
    return any(
        write.credential == credential_id and write.state == REAUTHORIZATION
        for write in record.written
        if refused.number < write.number < again.number
    )


# --- I5 ---------------------------------------------------------------------------------------------------------


def _no_false_death(world: World) -> Iterator[str]:
    record, before = world.record, dict[str, str]()
    for write in record.written:
        if write.state == REAUTHORIZATION and before.get(write.credential) != REAUTHORIZATION and write.how == "settle":
            yield from (f"I5: {fault} at {write.at:.1f}" for fault in _unfounded(world, write))
        before[write.credential] = write.state


def _unfounded(world: World, write: Written) -> Iterator[str]:
    provider, numbers = _families_of(world, write)
    sent = [each for each in world.record.sent if each.family in numbers and each.number < write.number]
    if not any(each.refused and _known(world.record, each, write) for each in sent):
        yield f"{write.credential} was given up without a refusal"
    # What another process holds, or has on its spill shelf, is lost to whoever decides here, until that process brings
    # it: so what counts is what was stored when this decision began.
    began = max((each.number for each in world.record.written if _claims(each, write)), default=0)
    lost = any(each.granted and world.record.stored.get(each.access_token, began) >= began for each in sent)
    withdrawn = bool(numbers & provider.withdrawn)
    # Where reuse revokes everything, the recovery of a loss may itself be what ended the grant.
    reused = provider.manner.rotation is Rotation.FAMILY and any(
        each.refused and each.token != each.current for each in sent
    )
    if write.code == "lost_response" and not (lost or withdrawn or reused):
        yield f"{write.credential} was given up as lost, and nothing was lost"
    if write.code != "lost_response" and not withdrawn:
        before = any(
            each.grant_id == write.grant_id and each.code == "lost_response" and each.number < write.number
            for each in world.record.written
        )
        why = "it had been given up as lost_response before" if before else "the user had not ended it"
        why = "our own reuse had ended it" if reused and not before else why
        yield f"{write.credential} was given up as {write.code}, and {why}"


def _known(record: Record, refused: Sent, write: Written) -> bool:
    """Whether whoever wrote this had heard the refusal, or could read of it in the row."""
    row = _row_before(record, write.credential, refused.number)
    return refused.replica == write.replica or (row is not None and _kept(record, refused, row, write))


def _claims(claim: Written, write: Written) -> bool:
    return claim.how == "claim" and (claim.credential, claim.fence) == (write.credential, write.fence)


def _families_of(world: World, write: Written) -> tuple[ModelProvider, set[int]]:
    known = world.record.families[write.credential]
    return world.providers[known[-1][0]], {number for _, number in known}


# --- at the end ---------------------------------------------------------------------------------------------------


async def _at_the_end(world: World, credential_id: str, slack_s: float) -> AsyncIterator[str]:
    """(a) what is stored is accepted, or (b) it is said that a person is needed, and that is true."""
    grant = await world.grant(credential_id)
    if grant is None:
        return
    provider, now = world.providers[grant.provider], world.clock.now()
    family, state, failure = world.family(credential_id), grant.standing.state, grant.standing.failure
    ended = family is None or family.id in provider.withdrawn
    held = await world.held(credential_id)
    accepted = [(place, token) for place, token in held if provider.consents.accepts(token)]
    told = f"{credential_id} ({provider.manner.name}) is {state}{f' ({failure.code})' if failure else ''}"
    if state is State.REAUTHORIZATION_REQUIRED:
        if accepted:
            yield f"I5: {told}, and {accepted[0][1]} {accepted[0][0]} would be accepted"
        if provider.manner.forgives and not ended and not _grace_missed(world, provider, held):
            yield f"I5: {told}, and nothing can be lost there"
    elif state is not State.CONNECTED:
        yield f"I6: {told} although all troubles are over"
    elif not ended:
        if held[:1] != accepted[:1]:
            yield f"I5: {told} with {held[:1]}, which the provider does not accept"
        if grant.intent_at is not None and not grant.lease_owner:
            yield f"I6: {told} and still uncertain"
        if (
            grant.standing.next_refresh_at is None
            or (now - grant.standing.next_refresh_at).total_seconds() > LATE_S + slack_s
        ):
            yield f"I6: {told} and nobody refreshes it"
    if (
        grant.lease_owner
        and grant.lease_until is not None
        and (now - grant.lease_until).total_seconds() > LATE_S + slack_s
    ):
        yield f"I6: {told} and its lease by {grant.lease_owner} has outlived itself"


def _grace_missed(world: World, provider: ModelProvider, held: Sequence[tuple[str, str]]) -> bool:
    """A grace has an end. It may pass while the client's secret is refused: then nobody but the administrator can hurry."""
    if provider.manner.rotation is not Rotation.GRACE or not held:
        return False
    family = provider.consents.owner(held[0][1])
    spent = family.spent.get(held[0][1]) if family else None
    return spent is not None and any(
        sent.provider == provider.id and sent.outcome == "refused:invalid_client" and sent.began > spent
        for sent in world.record.sent
    )
