"""The file that holds local root keys.

Owns: where it is, how it is made and read, and which permissions are too loose.
Does not own: what a root key does (`keys`), whether one may be generated now (the assembly asks the database).
"""

from __future__ import annotations

import contextlib
import json
import os
import stat
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from tokenkeep.adapters.keys import KEY_OCTETS, LocalRootKeys, RootKey, encode_root_key, parse_root_key, root_key_id
from tokenkeep.core.errors import KeyRefused
from tokenkeep.core.secret import Secret
from tokenkeep.services.ports import Entropy

_MAX_OCTETS = 64 * 1024
_OTHERS = stat.S_IRWXG | stat.S_IRWXO


def default_key_file(config_home: Path) -> Path:
    """Where the key file is unless a setting says otherwise: away from the data directory."""
    return config_home / "tokenkeep" / "keys" / "root.json"


def placement_warnings(key_file: Path, data_dir: Path) -> list[str]:
    """What to tell an operator whose key lies so near the data that one theft takes both (T3). Empty: nothing."""
    key_home, data_home = key_file.absolute().parent.resolve(), data_dir.resolve()
    inside = data_home in (key_home, *key_home.parents)
    shared = data_home.parent in (key_home, key_home.parent) and data_home.parent != Path(data_home.anchor)
    if inside or shared:
        warning = f"The root key file {key_file} lies beside the data directory {data_dir}: a copy of one takes both."
        return [f"{warning} Keep the key in another place, and out of the backups."]
    return []


def load_key_file(path: Path, entropy: Entropy) -> LocalRootKeys:
    """The root keys of that file. Raises KeyRefused when it is missing, unsafe or not a key file."""
    keys, primary = _parse(_read(path), path)
    return LocalRootKeys(keys, primary=primary, entropy=entropy)


def generate_key_file(path: Path, entropy: Entropy, *, now: datetime) -> LocalRootKeys:
    """Make a new root key in a new file, durable before it is used.

    Raises KeyRefused when there is already a file, the directory is open to others, or it cannot be written.
    """
    octets = entropy.octets(KEY_OCTETS)
    entry = {
        "id": root_key_id(octets),
        "created_at": now.isoformat(timespec="seconds"),
        "primary": True,
        "key": encode_root_key(octets).reveal(),
    }
    try:
        _private_directory(path.parent)
        _write_new(path, json.dumps({"keys": [entry]}, indent=2).encode() + b"\n")
    except FileExistsError:
        raise KeyRefused(f"There is already a file {path}.", fix="Use it, or move it away.") from None
    except OSError as error:
        raise KeyRefused(f"The key file {path} cannot be written: {error.strerror}.") from None
    loaded = load_key_file(path, entropy)
    if loaded.current_id() != entry["id"]:
        raise KeyRefused(f"The key file {path} does not hold what was written to it.")
    return loaded


def _private_directory(directory: Path) -> None:
    for missing in reversed([each for each in (directory, *directory.parents) if not each.exists()]):
        missing.mkdir(mode=0o700)
        _sync_directory(missing.parent)
    found = directory.stat()
    if found.st_uid != os.geteuid() or found.st_mode & _OTHERS:
        raise KeyRefused(f"The key directory {directory} is open to others.", fix=f"chmod 700 {directory}")


def _write_new(path: Path, content: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except OSError:
        path.unlink(missing_ok=True)  # half a key would stand in the way of the next start
        raise
    _sync_directory(path.parent)


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[int]:
    """NOFOLLOW refuses symbolic links, NONBLOCK keeps a named pipe from hanging the start."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        raise KeyRefused(f"There is no key file {path}.", fix="Bring back the file, or name the right one.") from None
    except OSError as error:
        raise KeyRefused(
            f"The key file {path} cannot be opened: {error.strerror}.",
            fix="It must be a regular file of the user this service runs as, and not a symbolic link.",
        ) from None
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _read(path: Path) -> bytes:
    with _opened(path) as descriptor:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise KeyRefused(f"The key file {path} is not a regular file.")
        if found.st_uid != os.geteuid():
            raise KeyRefused(
                f"The key file {path} belongs to another user.", fix=f"chown {os.geteuid()} {path} && chmod 600 {path}"
            )
        if found.st_mode & _OTHERS:
            raise KeyRefused(f"The key file {path} can be read by others.", fix=f"chmod 600 {path}")
        return os.read(descriptor, _MAX_OCTETS)


def _parse(content: bytes, path: Path) -> tuple[dict[str, RootKey], str]:
    """(keys by id, id of the primary one). What does not parse is named by its place only, never quoted."""
    try:
        entries: list[dict[str, Any]] = json.loads(content)["keys"]
        keys = {str(entry["id"]): parse_root_key(Secret(entry["key"])) for entry in entries}
        primary = [str(entry["id"]) for entry in entries if entry.get("primary") is True]
    except (ValueError, KeyError, TypeError, AttributeError):
        raise KeyRefused(f"{path} is not a key file.", fix="Bring back the file from where you keep a copy.") from None
    if any(key.id != named for named, key in keys.items()):
        raise KeyRefused(f"A key in {path} does not belong to its id: the file was damaged.")
    if len(primary) != 1:
        raise KeyRefused(f"Exactly one key in {path} must be marked primary.")
    return keys, primary[0]
