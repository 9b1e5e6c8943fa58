"""Root keys and their file: what is refused, and what wrapping is bound to."""

from __future__ import annotations

import base64
import json
import os
import stat
from dataclasses import replace

import pytest

from tests.kit.clock import NOON
from tests.kit.entropy import CountedEntropy
from tokenkeep.adapters.key_file import default_key_file, generate_key_file, load_key_file, placement_warnings
from tokenkeep.adapters.keys import (
    DOCUMENTED_EXAMPLE,
    LocalRootKeys,
    WrapContext,
    encode_root_key,
    length_prefixed,
    root_key_id,
)
from tokenkeep.adapters.system import SystemEntropy
from tokenkeep.core.errors import KeyRefused
from tokenkeep.core.secret import Secret

CONTEXT = WrapContext(b"data-key-0000001", "workspace-1")
OCTETS = CountedEntropy("root").octets(32)
OTHER_OCTETS = CountedEntropy("other").octets(32)


def local(octets: bytes = OCTETS) -> LocalRootKeys:
    return LocalRootKeys.from_environment(encode_root_key(octets), SystemEntropy())


# --- wrapping -----------------------------------------------------------------------------------------------------


async def test_unwraps_what_it_wrapped():
    keys = local()
    root_id, blob = await keys.wrap(b"k" * 32, CONTEXT)
    assert root_id == keys.current_id() == root_key_id(OCTETS)
    assert await keys.unwrap(blob, CONTEXT, root_key_id=root_id) == b"k" * 32
    assert await keys.health()


@pytest.mark.parametrize("changes", [{"data_key_id": b"data-key-0000002"}, {"workspace_id": "workspace-2"}])
async def test_wrapped_keys_are_bound_to_their_context(changes):
    keys = local()
    root_id, blob = await keys.wrap(b"k" * 32, CONTEXT)
    with pytest.raises(KeyRefused):
        await keys.unwrap(blob, replace(CONTEXT, **changes), root_key_id=root_id)


async def test_another_root_key_does_not_unwrap():
    root_id, blob = await local().wrap(b"k" * 32, CONTEXT)
    for root_key in (root_id, local(OTHER_OCTETS).current_id()):
        with pytest.raises(KeyRefused):
            await local(OTHER_OCTETS).unwrap(blob, CONTEXT, root_key_id=root_key)


async def test_every_damaged_wrapped_key_is_refused():
    keys = local()
    root_id, blob = await keys.wrap(b"k" * 32, CONTEXT)
    for position in range(len(blob)):
        with pytest.raises(KeyRefused):
            await keys.unwrap(blob[:position], CONTEXT, root_key_id=root_id)
        flipped = bytearray(blob)
        flipped[position] ^= 1
        with pytest.raises(KeyRefused):
            await keys.unwrap(bytes(flipped), CONTEXT, root_key_id=root_id)


def test_length_prefixes_keep_parts_apart():
    assert length_prefixed(b"ab", b"c") != length_prefixed(b"a", b"bc")
    assert length_prefixed(b"", b"a") != length_prefixed(b"a", b"")


# --- weak and wrong values ----------------------------------------------------------------------------------------

REFUSED = {
    "empty": "",
    "not base64": "this is not base64!",
    "short": base64.b64encode(OCTETS[:31]).decode(),
    "long": base64.b64encode(OCTETS + b"\x01").decode(),
    "zeros": base64.b64encode(bytes(32)).decode(),
    "regular": base64.b64encode(OCTETS[:8] * 4).decode(),
    "text": base64.b64encode(b"correct horse battery staple 123").decode(),
    "documented example": DOCUMENTED_EXAMPLE,
    "hexadecimal": OCTETS.hex(),
    "beyond ASCII": "schlüssel",
}


@pytest.mark.parametrize("text", REFUSED.values(), ids=REFUSED.keys())
def test_refused_values_are_not_repeated(text):
    with pytest.raises(KeyRefused) as refused:
        LocalRootKeys.from_environment(Secret(text), SystemEntropy())
    assert refused.value.fix
    assert not text or text not in str(refused.value)
    assert refused.value.__suppress_context__ or refused.value.__context__ is None


def test_surrounding_white_space_is_forgiven():
    text = Secret(f" {encode_root_key(OCTETS).reveal()}\n")
    assert LocalRootKeys.from_environment(text, SystemEntropy()).current_id() == root_key_id(OCTETS)


def test_repr_shows_the_id_only():
    text = repr(local())
    assert root_key_id(OCTETS) in text
    assert encode_root_key(OCTETS).reveal() not in text


# --- the file -----------------------------------------------------------------------------------------------------


@pytest.fixture
def path(tmp_path):
    return tmp_path / "config" / "keys" / "root.json"


def generated(path):
    return generate_key_file(path, SystemEntropy(), now=NOON)


def mode(path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


async def test_generated_file_loads_again_and_is_private(path):
    before = os.umask(0)  # the modes must not depend on a kind umask
    try:
        made = generated(path)
    finally:
        os.umask(before)
    root_id, blob = await made.wrap(b"k" * 32, CONTEXT)
    loaded = load_key_file(path, SystemEntropy())
    assert await loaded.unwrap(blob, CONTEXT, root_key_id=root_id) == b"k" * 32
    assert mode(path) == 0o600
    assert mode(path.parent) == mode(path.parent.parent) == 0o700
    (entry,) = json.loads(path.read_text())["keys"]
    assert entry["id"] == loaded.current_id()
    assert entry["created_at"] == "2026-11-24T12:00:00+00:00"
    assert entry["primary"] is True


def test_generating_never_replaces_a_file(path):
    generated(path)
    content = path.read_bytes()
    with pytest.raises(KeyRefused, match="already"):
        generated(path)
    assert path.read_bytes() == content


def test_generating_does_not_follow_a_link(path, tmp_path):
    path.parent.mkdir(parents=True, mode=0o700)
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(KeyRefused):
        generated(path)
    assert not (tmp_path / "elsewhere").exists()


def test_generating_refuses_an_open_directory(path):
    path.parent.mkdir(parents=True)
    path.parent.chmod(0o755)
    with pytest.raises(KeyRefused) as refused:
        generated(path)
    assert refused.value.fix == f"chmod 700 {path.parent}"
    assert not path.exists()


def test_generating_where_nothing_can_be_written_is_refused(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(KeyRefused):
        generated(tmp_path / "file" / "keys" / "root.json")


@pytest.mark.parametrize("loose", [0o640, 0o604, 0o610, 0o601, 0o660, 0o644])
def test_a_file_open_to_others_is_refused_with_the_mend(path, loose):
    generated(path)
    path.chmod(loose)
    with pytest.raises(KeyRefused) as refused:
        load_key_file(path, SystemEntropy())
    assert refused.value.fix == f"chmod 600 {path}"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_file_of_another_user_is_refused(path):
    generated(path)
    os.chown(path, 12345, 12345)
    with pytest.raises(KeyRefused, match="another user"):
        load_key_file(path, SystemEntropy())


def test_links_pipes_directories_and_absence_are_refused(path, tmp_path):
    generated(path)
    link, pipe = tmp_path / "link", tmp_path / "pipe"
    link.symlink_to(path)
    os.mkfifo(pipe, 0o600)
    for wrong in (link, pipe, path.parent, tmp_path / "absent"):
        with pytest.raises(KeyRefused):
            load_key_file(wrong, SystemEntropy())


def entry(octets: bytes = OCTETS, **changes) -> dict[str, object]:
    return {"id": root_key_id(octets), "key": encode_root_key(octets).reveal(), "primary": True} | changes


BROKEN = {
    "empty": "",
    "no JSON": "key = 1",
    "no object": "[]",
    "no keys": "{}",
    "an empty list": json.dumps({"keys": []}),
    "no list": json.dumps({"keys": 1}),
    "no object in the list": json.dumps({"keys": ["x"]}),
    "no key": json.dumps({"keys": [{"id": "x"}]}),
    "key is a number": json.dumps({"keys": [entry(key=1)]}),
    "weak key": json.dumps({"keys": [entry(bytes(32))]}),
    "another id": json.dumps({"keys": [entry(id="0" * 16)]}),
    "two primary keys": json.dumps({"keys": [entry(), entry(OTHER_OCTETS)]}),
    "no primary key": json.dumps({"keys": [entry(primary=False)]}),
}


@pytest.mark.parametrize("content", BROKEN.values(), ids=BROKEN.keys())
def test_a_broken_file_is_refused_without_being_quoted(path, content):
    path.parent.mkdir(parents=True)
    path.write_text(content)
    path.chmod(0o600)
    with pytest.raises(KeyRefused) as refused:
        load_key_file(path, SystemEntropy())
    assert encode_root_key(OCTETS).reveal() not in str(refused.value)


async def test_of_several_keys_the_primary_one_wraps_and_all_unwrap(path):
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"keys": [entry(primary=False), entry(OTHER_OCTETS)]}))
    path.chmod(0o600)
    keys = load_key_file(path, SystemEntropy())
    assert keys.current_id() == root_key_id(OTHER_OCTETS)
    root_id, blob = await local(OCTETS).wrap(b"k" * 32, CONTEXT)
    assert await keys.unwrap(blob, CONTEXT, root_key_id=root_id) == b"k" * 32
    root_id, blob = await keys.wrap(b"k" * 32, CONTEXT)
    assert root_id == root_key_id(OTHER_OCTETS)
    assert await local(OTHER_OCTETS).unwrap(blob, CONTEXT, root_key_id=root_id) == b"k" * 32


def test_default_place_is_below_the_config_home(tmp_path):
    assert default_key_file(tmp_path) == tmp_path / "tokenkeep" / "keys" / "root.json"


@pytest.mark.parametrize(
    ("key_file", "data_dir", "warned"),
    [
        ("srv/data/root.json", "srv/data", True),
        ("srv/data/keys/root.json", "srv/data", True),
        ("srv/root.json", "srv/data", True),
        ("srv/keys/root.json", "srv/data", True),
        ("etc/tokenkeep/root.json", "var/lib/tokenkeep", False),
        ("home/.config/tokenkeep/keys/root.json", "home/.local/share/tokenkeep", False),
    ],
)
def test_warns_where_one_theft_takes_both(tmp_path, key_file, data_dir, warned):
    assert bool(placement_warnings(tmp_path / key_file, tmp_path / data_dir)) is warned
