"""Sealing: what opens, what must not, and for how long a key seals."""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Sequence
from dataclasses import asdict, replace
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from hypothesis import given
from hypothesis import strategies as st

from tests.kit.builders import OTHER_WORKSPACE, WORKSPACE, place
from tests.kit.clock import FakeClock
from tests.kit.entropy import CountedEntropy
from tests.kit.envelope import ReadableEnvelope, place_of
from tokenkeep.adapters.envelope import OVERHEAD, EnvelopeAdapter, Limits
from tokenkeep.adapters.keys import LocalRootKeys, WrapContext, encode_root_key
from tokenkeep.adapters.system import SystemEntropy
from tokenkeep.core.errors import KeyRefused, Quarantined
from tokenkeep.core.model import INSTANCE, DataKey, Place

VECTORS = Path(__file__).parent.parent / "vectors" / "envelopes"
PLAIN = b"a marked secret"


class DataKeys:
    """A data key table in memory, small enough to see that it is right."""

    def __init__(self) -> None:
        self.rows: dict[bytes, DataKey] = {}
        self.sealed_check: bytes | None = None
        self.reads = 0
        self.turns_over = True

    async def keys(self, workspace_id: str) -> Sequence[DataKey]:
        self.reads += 1
        return [row for row in self.rows.values() if row.workspace_id == workspace_id]

    async def add_key(self, key: DataKey, *, replaces: bytes | None = None) -> DataKey:
        if replaces is not None and self.turns_over:
            self.rows[replaces] = replace(self.rows[replaces], active=False)
        for row in self.rows.values():
            if row.workspace_id == key.workspace_id and row.active:
                return row
        self.rows[key.id] = key
        return key

    async def reserve(self, key_id: bytes, count: int) -> int:
        row = self.rows[key_id]
        self.rows[key_id] = replace(row, used=row.used + count)
        return row.used + count

    async def any_keys(self) -> bool:
        return bool(self.rows)

    async def check(self) -> bytes | None:
        return self.sealed_check

    async def set_check(self, sealed: bytes) -> None:
        self.sealed_check = sealed


def root_keys(seed: str = "root") -> LocalRootKeys:
    text = encode_root_key(CountedEntropy(seed).octets(32))
    return LocalRootKeys.from_environment(text, SystemEntropy())


def adapter(data_keys: DataKeys | None = None, *, root: LocalRootKeys | None = None, **changes) -> EnvelopeAdapter:
    parts = {"clock": FakeClock(), "entropy": SystemEntropy()} | changes
    return EnvelopeAdapter(root or root_keys(), data_keys or DataKeys(), **parts)


@pytest.fixture(params=["real", "readable"])
def any_envelope(request):
    return adapter() if request.param == "real" else ReadableEnvelope()


# --- what every envelope keeps, the fake as well ------------------------------------------------------------------


@pytest.mark.parametrize("plain", [b"", PLAIN, bytes(range(256)) * 40])
async def test_opens_at_its_place(any_envelope, plain):
    sealed = await any_envelope.seal(plain, place())
    assert await any_envelope.open(sealed, place()) == plain


OTHER_PLACES = {
    "workspace": {"workspace_id": OTHER_WORKSPACE},
    "kind": {"kind": "client_secret"},
    "record": {"record_id": "credential-2"},
    "field": {"field": "token_set"},
    "grant": {"grant_id": "grant-2"},
    "version": {"version": 2},
}


@pytest.mark.parametrize("changes", OTHER_PLACES.values(), ids=OTHER_PLACES.keys())
async def test_does_not_open_where_one_part_differs(any_envelope, changes):
    sealed = await any_envelope.seal(PLAIN, place())
    await any_envelope.seal(PLAIN, place(**changes))  # so that the other place has a key of its own
    with pytest.raises(Quarantined):
        await any_envelope.open(sealed, place(**changes))


@pytest.mark.parametrize("rubbish", [b"", b"x", b"|", b"\x01\x01", b"\x01" * 45, b"\x01" * 46, b"{}" * 100])
async def test_rubbish_is_quarantined(any_envelope, rubbish):
    with pytest.raises(Quarantined):
        await any_envelope.open(rubbish, place())


async def test_index_is_stable_and_belongs_to_its_workspace(any_envelope):
    first = await any_envelope.index("account-1", WORKSPACE)
    assert first == await any_envelope.index("account-1", WORKSPACE)
    assert first != await any_envelope.index("account-2", WORKSPACE)
    assert first != await any_envelope.index("account-1", OTHER_WORKSPACE)


async def test_readable_envelope_shows_its_place_and_can_break():
    envelope = ReadableEnvelope()
    sealed = await envelope.seal(PLAIN, place(version=7))
    assert place_of(sealed) == place(version=7)
    assert base64.b64encode(PLAIN) in sealed
    envelope.broken = True
    with pytest.raises(Quarantined):
        await envelope.open(sealed, place(version=7))


# --- binding ------------------------------------------------------------------------------------------------------

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
PLACES = st.builds(
    Place,
    workspace_id=TEXT,
    kind=TEXT,
    record_id=TEXT,
    field=TEXT,
    grant_id=TEXT,
    version=st.integers(min_value=0, max_value=2**63),
)


@given(PLACES, PLACES)
async def test_no_two_places_open_each_other(one, other):
    envelope = adapter()
    sealed = await envelope.seal(PLAIN, one)
    assert await envelope.open(sealed, one) == PLAIN
    if one != other:
        with pytest.raises(Quarantined):
            await envelope.open(sealed, other)


@given(TEXT, TEXT, st.integers(min_value=1, max_value=12))
async def test_octets_do_not_wander_between_neighbouring_parts(left, right, cut):
    """`ab` and `c` is not `a` and `bc`: the lengths are part of what is bound."""
    joined = left + right
    envelope = adapter()
    sealed = await envelope.seal(PLAIN, place(kind=left, record_id=right))
    moved = place(kind=joined[:cut], record_id=joined[cut:])
    if moved != place(kind=left, record_id=right):
        with pytest.raises(Quarantined):
            await envelope.open(sealed, moved)


async def test_every_flipped_bit_is_noticed():
    envelope = adapter()
    sealed = await envelope.seal(PLAIN, place())
    for position in range(len(sealed)):
        for bit in range(8):
            flipped = bytearray(sealed)
            flipped[position] ^= 1 << bit
            with pytest.raises(Quarantined):
                await envelope.open(bytes(flipped), place())


async def test_every_truncation_and_addition_is_noticed():
    envelope = adapter()
    sealed = await envelope.seal(PLAIN, place())
    for length in range(len(sealed)):
        with pytest.raises(Quarantined):
            await envelope.open(sealed[:length], place())
    with pytest.raises(Quarantined):
        await envelope.open(sealed + b"\0", place())


async def test_a_foreign_workspaces_key_id_does_not_help():
    """A row copied with its key id from another workspace stays closed although that key is in memory."""
    envelope = adapter()
    theirs = await envelope.seal(PLAIN, place(workspace_id=OTHER_WORKSPACE))
    with pytest.raises(Quarantined):
        await envelope.open(theirs, place())


# --- format -------------------------------------------------------------------------------------------------------


def by_the_book(data_key: bytes, key_id: bytes, nonce: bytes, at: Place) -> bytes:
    """Format 1 written a second time, from its description alone."""
    key = HKDF(algorithm=SHA256(), length=32, salt=None, info=b"seal/v1").derive(data_key)
    parts = [b"credsvc", b"\x01", b"\x01", key_id, at.workspace_id, at.kind, at.record_id, at.field, at.grant_id]
    octets = [part if isinstance(part, bytes) else part.encode() for part in parts] + [str(at.version).encode()]
    bound = b"".join(struct.pack(">I", len(part)) + part for part in octets)
    return b"\x01\x01" + key_id + nonce + AESGCM(key).encrypt(nonce, PLAIN, bound)


async def test_format_is_the_described_one():
    table, root = DataKeys(), root_keys()
    at = place(grant_id="grant-1", version=12)
    sealed = await adapter(table, root=root).seal(PLAIN, at)
    (row,) = table.rows.values()
    data_key = await root.unwrap(row.wrapped, WrapContext(row.id, WORKSPACE), root_key_id=row.root_key_id)
    assert sealed == by_the_book(data_key, row.id, sealed[18:30], at)
    assert len(sealed) == len(PLAIN) + OVERHEAD == len(PLAIN) + 46


@pytest.mark.parametrize("file", sorted(VECTORS.glob("golden-*.json")), ids=lambda file: file.stem)
async def test_golden_envelopes_open_for_ever(file):
    golden = json.loads(file.read_text())
    table = DataKeys()
    row = golden["data_key"]
    key_id = bytes.fromhex(row["id"])
    table.rows[key_id] = DataKey(
        id=key_id,
        workspace_id=golden["place"]["workspace_id"],
        wrapped=bytes.fromhex(row["wrapped"]),
        root_key_id=row["root_key_id"],
        created_at=FakeClock().now(),
        active=True,
        used=0,
    )
    root = LocalRootKeys.from_environment(encode_root_key(bytes.fromhex(golden["root_key"])), SystemEntropy())
    envelope = adapter(table, root=root)
    opened = await envelope.open(bytes.fromhex(golden["envelope"]), Place(**golden["place"]))
    assert opened == bytes.fromhex(golden["plaintext"])
    assert await envelope.index(golden["index_of"], golden["place"]["workspace_id"]) == golden["index"]


def test_there_are_golden_envelopes():
    assert len(list(VECTORS.glob("golden-*.json"))) >= 4


NIST = json.loads((VECTORS / "nist-gcm.json").read_text())["vectors"]


@pytest.mark.parametrize("vector", NIST, ids=lambda vector: f"{vector['expected']}-{vector['tag'][:8]}")
def test_the_installed_cipher_meets_nists_vectors(vector):
    key, nonce, aad, ciphertext, tag = (
        bytes.fromhex(vector[name]) for name in ("key", "nonce", "aad", "ciphertext", "tag")
    )
    if vector["expected"] == "opens":
        assert AESGCM(key).decrypt(nonce, ciphertext + tag, aad) == bytes.fromhex(vector["plaintext"])
        assert AESGCM(key).encrypt(nonce, bytes.fromhex(vector["plaintext"]), aad) == ciphertext + tag
    else:
        with pytest.raises(InvalidTag):
            AESGCM(key).decrypt(nonce, ciphertext + tag, aad)


# --- keys ---------------------------------------------------------------------------------------------------------


async def test_another_root_key_opens_nothing():
    table = DataKeys()
    sealed = await adapter(table, root=root_keys("one")).seal(PLAIN, place())
    with pytest.raises(Quarantined):
        await adapter(table, root=root_keys("other")).open(sealed, place())
    with pytest.raises(KeyRefused):
        await adapter(table, root=root_keys("other")).seal(PLAIN, place())


async def test_a_missing_data_key_is_looked_for_once_and_then_refused():
    table = DataKeys()
    envelope = adapter(table)
    sealed = await envelope.seal(PLAIN, place())
    table.rows.clear()
    fresh = adapter(table)
    before = table.reads
    with pytest.raises(Quarantined):
        await fresh.open(sealed, place())
    assert table.reads == before + 1


async def test_a_data_key_given_to_another_workspace_does_not_unwrap():
    table = DataKeys()
    sealed = await adapter(table).seal(PLAIN, place())
    ((key_id, row),) = table.rows.items()
    table.rows[key_id] = replace(row, workspace_id=OTHER_WORKSPACE)
    with pytest.raises(Quarantined):
        await adapter(table).open(sealed, place(workspace_id=OTHER_WORKSPACE))


class LeakyDataKeys(DataKeys):
    """A store that has forgotten to ask whose rows it answers."""

    async def keys(self, workspace_id: str) -> Sequence[DataKey]:
        return list(self.rows.values())


async def test_a_store_that_mixes_workspaces_up_cannot_lend_a_key():
    table, root = LeakyDataKeys(), root_keys()
    sealed = await adapter(table, root=root).seal(PLAIN, place())
    with pytest.raises(Quarantined):
        await adapter(table, root=root).open(sealed, place(workspace_id=OTHER_WORKSPACE))
    with pytest.raises(KeyRefused):
        await adapter(table, root=root).seal(PLAIN, place(workspace_id=OTHER_WORKSPACE))


async def test_two_replicas_read_each_other_also_after_turning_over():
    table, root = DataKeys(), root_keys()
    limits = Limits(turn_over_at=4, block=2)
    left, right = (adapter(table, root=root, limits=limits) for _ in range(2))
    sealed = []
    for _ in range(12):
        sealed += [await left.seal(PLAIN, place()), await right.seal(PLAIN, place())]
    assert len(table.rows) > 2
    for each in sealed:
        assert await left.open(each, place()) == PLAIN
        assert await right.open(each, place()) == PLAIN


async def test_two_replicas_that_begin_together_share_one_key():
    table, root = DataKeys(), root_keys()
    left, right = adapter(table, root=root), adapter(table, root=root)
    assert await right.open(await left.seal(PLAIN, place()), place()) == PLAIN
    assert await left.open(await right.seal(PLAIN, place()), place()) == PLAIN
    assert len(table.rows) == 1


async def test_a_key_turns_over_after_so_many_seals_and_stays_readable():
    table = DataKeys()
    envelope = adapter(table, limits=Limits(turn_over_at=30, block=10))
    sealed = [await envelope.seal(PLAIN, place()) for _ in range(65)]
    assert list(dict.fromkeys(each[2:18] for each in sealed)) == list(table.rows)
    assert [row.used for row in table.rows.values()] == [30, 30, 10]
    assert [row.active for row in table.rows.values()] == [False, False, True]
    assert [await envelope.open(each, place()) for each in sealed] == [PLAIN] * 65


async def test_a_key_turns_over_after_a_year():
    table, clock = DataKeys(), FakeClock()
    envelope = adapter(table, clock=clock)
    await envelope.seal(PLAIN, place())
    clock.advance(timedelta(days=365).total_seconds() - 1)
    await envelope.seal(PLAIN, place())
    assert len(table.rows) == 1
    clock.advance(1)
    await envelope.seal(PLAIN, place())
    assert len(table.rows) == 2


async def test_a_key_that_cannot_turn_over_refuses_at_the_end():
    table = DataKeys()
    table.turns_over = False
    envelope = adapter(table, limits=Limits(turn_over_at=10, refuse_at=30, block=10))
    for _ in range(30):
        await envelope.seal(PLAIN, place())
    with pytest.raises(KeyRefused):
        await envelope.seal(PLAIN, place())


async def test_a_crash_counts_too_many_never_too_few():
    table, root = DataKeys(), root_keys()
    for _ in range(3):
        await adapter(table, root=root, limits=Limits(block=10)).seal(PLAIN, place())
    (row,) = table.rows.values()
    assert row.used == 30


async def test_index_survives_turning_over():
    table, root, clock = DataKeys(), root_keys(), FakeClock()
    envelope = adapter(table, root=root, clock=clock, limits=Limits(turn_over_at=2, block=1))
    before = await envelope.index("account-1", WORKSPACE)
    for _ in range(10):
        clock.advance(1)
        await envelope.seal(PLAIN, place())
    assert len(table.rows) > 3
    assert await adapter(table, root=root).index("account-1", WORKSPACE) == before


async def test_workspaces_have_keys_of_their_own():
    table = DataKeys()
    envelope = adapter(table)
    one = await envelope.seal(PLAIN, place())
    other = await envelope.seal(PLAIN, place(workspace_id=OTHER_WORKSPACE))
    assert one[2:18] != other[2:18]


async def test_nonces_do_not_repeat():
    envelope = adapter()
    nonces = {(await envelope.seal(b"", place()))[18:30] for _ in range(100_000)}
    assert len(nonces) == 100_000


async def test_open_awaits_nothing_for_a_known_key():
    table = DataKeys()
    envelope = adapter(table)
    sealed = await envelope.seal(PLAIN, place())
    reads = table.reads
    waiting = envelope.open(sealed, place())
    with pytest.raises(StopIteration) as ended:
        waiting.send(None)
    assert ended.value.value == PLAIN
    assert table.reads == reads


# --- the start ----------------------------------------------------------------------------------------------------


async def test_unlock_begins_an_empty_database_and_knows_it_again():
    table, root = DataKeys(), root_keys()
    await adapter(table, root=root).unlock()
    assert table.sealed_check is not None
    assert [row.workspace_id for row in table.rows.values()] == [INSTANCE]
    rows, check = dict(table.rows), table.sealed_check
    await adapter(table, root=root).unlock()
    assert (table.rows, table.sealed_check) == (rows, check)


async def test_unlock_refuses_another_root_key_and_writes_nothing():
    table, right, wrong = DataKeys(), root_keys("right"), root_keys("wrong")
    await adapter(table, root=right).unlock()
    rows, check = dict(table.rows), table.sealed_check
    with pytest.raises(KeyRefused) as refused:
        await adapter(table, root=wrong).unlock()
    assert right.current_id() in refused.value.message
    assert wrong.current_id() in refused.value.message
    assert (table.rows, table.sealed_check) == (rows, check)


async def test_unlock_completes_a_first_start_that_broke_off():
    table, root = DataKeys(), root_keys()
    await adapter(table, root=root).unlock()
    table.sealed_check = None
    await adapter(table, root=root).unlock()
    assert table.sealed_check is not None
    assert len(table.rows) == 1


async def test_unlock_refuses_another_root_key_also_without_a_check_value():
    table = DataKeys()
    await adapter(table, root=root_keys("right")).unlock()
    table.sealed_check = None
    rows = dict(table.rows)
    with pytest.raises(KeyRefused, match=root_keys("right").current_id()):
        await adapter(table, root=root_keys("wrong")).unlock()
    assert table.rows == rows
    assert table.sealed_check is None


async def test_unlock_refuses_data_keys_without_an_instance_key():
    table = DataKeys()
    await adapter(table).seal(PLAIN, place())
    with pytest.raises(KeyRefused):
        await adapter(table).unlock()
    assert table.sealed_check is None


async def test_unlock_tells_damage_from_a_wrong_key():
    table, root = DataKeys(), root_keys()
    await adapter(table, root=root).unlock()
    table.sealed_check = (table.sealed_check or b"")[:-1] + b"\0\0"
    with pytest.raises(KeyRefused, match="does not open"):
        await adapter(table, root=root).unlock()


# --- silence ------------------------------------------------------------------------------------------------------


async def test_nothing_secret_in_texts():
    table, root = DataKeys(), root_keys()
    envelope = adapter(table, root=root)
    sealed = await envelope.seal(PLAIN, place())
    with pytest.raises(Quarantined) as refused:
        await envelope.open(sealed, place(version=2))
    secrets = [PLAIN.decode(), CountedEntropy("root").octets(32).hex(), sealed.hex(), repr(sealed)]
    texts = [repr(envelope), repr(root), str(refused.value), repr(refused.value), repr(refused.value.extra)]
    assert not [text for text in texts for secret in secrets if secret in text]
    assert refused.value.__suppress_context__
    assert refused.value.message == Quarantined().message


def test_places_of_golden_files_name_every_part():
    """A part added to Place must not slip past the frozen files."""
    for file in VECTORS.glob("golden-*.json"):
        assert set(json.loads(file.read_text())["place"]) == set(asdict(place()))
