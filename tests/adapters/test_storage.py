"""The disk: room, permissions, the ballast, and what kind of file system it is."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tokenkeep.adapters import storage
from tokenkeep.adapters.file_systems import kind_of, refuse_network
from tokenkeep.adapters.storage import BALLAST, MEGABYTE, Disk
from tokenkeep.core.errors import Misconfigured

PLENTY = 10**18


def disk(folder: Path, **changes) -> Disk:
    return Disk(folder / "spill", folder, **{"least_free": 64 * MEGABYTE, "ballast": folder / "ballast"} | changes)


async def codes(watch: Disk) -> list[str]:
    return [each.code for each in await watch.obstacles()]


@pytest.fixture
def room(monkeypatch):
    """How much room every disk has."""
    left = [PLENTY]
    monkeypatch.setattr(storage, "_free", lambda place: left[0])
    return left


async def test_a_disk_with_room_is_no_obstacle(tmp_path):
    watch = disk(tmp_path)
    assert await codes(watch) == []
    assert watch.left > 0


async def test_too_little_room_is_one_and_says_how_much_there_is(tmp_path, room):
    room[0] = 63 * MEGABYTE
    (found,) = await disk(tmp_path).obstacles()
    assert found.code == "disk_full"
    assert "63 MB left; 64 MB" in found.message
    assert "TOKENKEEP_LEAST_FREE_MB" in found.fix
    room[0] = 64 * MEGABYTE
    assert await codes(disk(tmp_path)) == []


async def test_the_real_disk_is_asked(tmp_path):
    assert await codes(disk(tmp_path, least_free=PLENTY)) == ["disk_full"]


async def test_a_place_that_may_not_be_written_to(tmp_path, monkeypatch):
    allowed = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: path != tmp_path and allowed(path, mode))
    (found,) = await disk(tmp_path).obstacles()
    assert found.code == "read_only"
    assert str(tmp_path) in found.message


async def test_a_file_system_that_is_mounted_read_only(tmp_path, monkeypatch):
    real = tuple(os.statvfs(tmp_path))
    mounted = os.statvfs_result((*real[:8], real[8] | os.ST_RDONLY, *real[9:]))
    monkeypatch.setattr(os, "statvfs", lambda _: mounted)
    assert await codes(disk(tmp_path)) == ["read_only"]


async def test_the_ballast_takes_real_room_goes_when_there_is_none_and_comes_back(tmp_path, room):
    ballast, watch = tmp_path / "ballast", disk(tmp_path)
    await watch.obstacles()
    assert ballast.stat().st_size == BALLAST
    assert ballast.stat().st_blocks * 512 >= BALLAST
    assert ballast.stat().st_mode & 0o777 == 0o600
    room[0] = 20 * MEGABYTE  # too little for new refreshes, enough for those in flight
    await watch.obstacles()
    assert ballast.exists()
    room[0] = BALLAST - 1
    assert await codes(watch) == ["disk_full"]
    assert not ballast.exists()
    room[0] = 64 * MEGABYTE  # taking it on again may not make the disk full again
    assert await codes(watch) == []
    assert not ballast.exists()
    room[0] = PLENTY
    await watch.obstacles()
    assert ballast.exists()


async def test_a_ballast_that_does_not_fit_leaves_nothing(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    assert await codes(disk(tmp_path)) == []
    assert list(tmp_path.iterdir()) == []


# --- kinds of file systems ------------------------------------------------------------------------------------------

MOUNTS = """\
22 1 8:1 / / rw,relatime - ext4 /dev/sda1 rw
30 22 0:40 / /srv rw shared:1 - nfs4 server:/srv rw,vers=4.2
31 30 8:2 / /srv/local rw - xfs /dev/sdb1 rw
32 22 0:41 / /mnt/with\\040blank rw - cifs //server/share rw
33 22 0:42 / /again rw - ext4 /dev/sdc1 rw
34 22 0:43 / /again rw - fuse.sshfs host: rw
"""


@pytest.fixture
def mounts(tmp_path):
    file = tmp_path / "mountinfo"
    file.write_text(MOUNTS)
    return file


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/var/lib/tokenkeep", "ext4"),
        ("/srv/data", "nfs4"),
        ("/srv/local/data", "xfs"),
        ("/srvother", "ext4"),
        ("/mnt/with blank/data", "cifs"),
        ("/again/data", "fuse.sshfs"),
    ],
)
def test_the_nearest_mount_tells_the_kind(mounts, path, kind):
    assert kind_of(Path(path), mounts) == kind


def test_where_the_system_does_not_tell_nothing_is_refused(tmp_path):
    assert kind_of(tmp_path, tmp_path / "missing") == ""
    refuse_network(tmp_path / "db", tmp_path / "missing")


@pytest.mark.parametrize("path", ["/srv/tokenkeep.sqlite3", "/mnt/with blank/x/t.sqlite3", "/again/t.sqlite3"])
def test_an_embedded_database_on_a_network_is_refused_in_words(mounts, path):
    with pytest.raises(Misconfigured) as caught:
        refuse_network(Path(path), mounts)
    assert "network file system" in caught.value.message
    assert "TOKENKEEP_DATA_DIR" in caught.value.fix


def test_a_local_disk_is_not(mounts):
    refuse_network(Path("/srv/local/tokenkeep.sqlite3"), mounts)


def test_this_machine_s_own_table_is_understood(tmp_path):
    assert kind_of(tmp_path)
