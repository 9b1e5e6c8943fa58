"""The spill shelf, on disk and in memory."""

from __future__ import annotations

import asyncio
import os
import stat

import pytest

from tests.kit.spill import MemorySpill
from tokenkeep.adapters.spill import SpillDirectory

NAME = "1f0c2c1e-9d0e-4a53-8f6e-0d7a4f2b9a11.12"


@pytest.fixture(params=["directory", "memory"])
def shelf(request, tmp_path):
    return SpillDirectory(tmp_path / "spill") if request.param == "directory" else MemorySpill()


async def test_keeps_gives_and_drops(shelf):
    assert await shelf.all() == {}
    await shelf.put(NAME, b"one\n\0\xff")
    await shelf.put("other.1", b"two")
    assert await shelf.all() == {NAME: b"one\n\0\xff", "other.1": b"two"}
    await shelf.drop(NAME)
    assert await shelf.all() == {"other.1": b"two"}


async def test_the_later_put_replaces(shelf):
    await shelf.put(NAME, b"one")
    await shelf.put(NAME, b"two")
    assert await shelf.all() == {NAME: b"two"}


async def test_dropping_nothing_is_silent(shelf):
    await shelf.drop(NAME)


@pytest.mark.parametrize("name", ["", "../up", "a/b", "a..b"])
async def test_impossible_names_are_refused(shelf, name):
    with pytest.raises(ValueError, match="name"):
        await shelf.put(name, b"x")


@pytest.mark.parametrize("name", [".hidden", "-dash", "a b", "a\nb", "a\0b", "ü", "x" * 201, "a."])
async def test_the_directory_refuses_more(tmp_path, name):
    with pytest.raises(ValueError, match="name"):
        await SpillDirectory(tmp_path).put(name, b"x")


async def test_files_and_directory_are_private(tmp_path):
    before = os.umask(0)
    try:
        await SpillDirectory(tmp_path / "spill").put(NAME, b"x")
    finally:
        os.umask(before)
    (file,) = (tmp_path / "spill").iterdir()
    assert file.name == f"{NAME}.spill"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700


async def test_survives_its_process(tmp_path):
    await SpillDirectory(tmp_path).put(NAME, b"x")
    assert await SpillDirectory(tmp_path).all() == {NAME: b"x"}


async def test_strangers_and_leftovers_on_the_shelf_do_no_harm(tmp_path):
    shelf = SpillDirectory(tmp_path)
    await shelf.put(NAME, b"x")
    (tmp_path / f".{NAME}.spill.1-0.tmp").write_bytes(b"half")
    (tmp_path / ".hidden.spill").write_bytes(b"half")
    (tmp_path / "readme.txt").write_bytes(b"hello")
    (tmp_path / "folder.spill").mkdir()
    assert await shelf.all() == {NAME: b"x"}


async def test_a_refusing_disk_is_told_and_leaves_nothing(tmp_path):
    (tmp_path / f"{NAME}.spill").mkdir()  # a file cannot be renamed onto a directory
    with pytest.raises(OSError, match="directory"):
        await SpillDirectory(tmp_path).put(NAME, b"x")
    assert [each.name for each in tmp_path.iterdir()] == [f"{NAME}.spill"]


async def test_a_full_memory_shelf_refuses():
    shelf = MemorySpill()
    shelf.full = True
    with pytest.raises(OSError, match="space"):
        await shelf.put(NAME, b"x")


async def test_many_writers_of_one_name_leave_one_whole_file(tmp_path):
    shelf = SpillDirectory(tmp_path)
    contents = [bytes([number]) * 5000 for number in range(20)]
    await asyncio.gather(*(shelf.put(NAME, content) for content in contents))
    assert (await shelf.all())[NAME] in contents
    assert len(list(tmp_path.iterdir())) == 1
