"""What kind of file system a path lies on.

Owns: reading the kernel's table of mounts, and which kinds are no place for an embedded database. Does not own: how much
room there is (`storage`).
"""

from __future__ import annotations

from pathlib import Path

from tokenkeep.core.errors import Misconfigured

NETWORK = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "ncpfs", "afs", "ceph", "lustre", "beegfs", "glusterfs", "gpfs", "davfs"}
    | {f"fuse.{kind}" for kind in ("sshfs", "glusterfs", "ceph", "s3fs", "rclone", "gcsfuse", "davfs2", "mfs")}
)
"""Their locks and their shared memory do not hold between machines, which SQLite's log depends on."""
KEEPING_NUMBERS = frozenset({"ext2", "ext3", "ext4", "xfs", "btrfs", "f2fs", "zfs", "tmpfs"})
"""Where a file keeps its inode number over every restart. Overlays and those of virtual machines' hosts may not."""
MOUNTS = Path("/proc/self/mountinfo")


def kind_of(path: Path, mounts: Path = MOUNTS) -> str:
    """`ext4`, `nfs4`, …; empty where the system does not tell."""
    try:
        lines = mounts.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    found, kind = -1, ""
    wanted = path.resolve()
    for line in lines:
        fields, _, source = line.partition(" - ")
        place = Path(_unescaped(fields.split(" ")[4]))
        if wanted.is_relative_to(place) and len(place.parts) >= found:  # of two on one place the later hides the other
            found, kind = len(place.parts), source.split(" ")[0]
    return kind


def refuse_network(database: Path, mounts: Path = MOUNTS) -> None:
    """Raises Misconfigured for an embedded database on a network file system."""
    kind = kind_of(database.parent, mounts)
    if kind in NETWORK:
        raise Misconfigured(
            f"The embedded database {database} would lie on a network file system ({kind}), which can damage it.",
            fix="Set TOKENKEEP_DATA_DIR to a local disk, or TOKENKEEP_DATABASE_URL to a PostgreSQL.",
        )


def _unescaped(place: str) -> str:
    """Blanks and the like are written as three octal digits."""
    return place.encode().decode("unicode_escape") if "\\" in place else place
