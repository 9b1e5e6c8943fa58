"""Makes the two secret files of docker-compose.yml. What is already there stays as it is.

Owns: which files the containers expect, and whose they must be. Does not own: what a root key is (`adapters/keys`).
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from tokenkeep.adapters.key_file import generate_key_file
from tokenkeep.adapters.system import SystemClock, SystemEntropy

SECRETS = Path(__file__).parent / "secrets"
SERVICE_USER = 10001
"""The user of the image. The root key is refused unless it belongs to that user alone."""


def main(directory: Path = SECRETS) -> int:
    """Make what is missing. Answers the exit code: 1 when the root key still has to be given to the service's user."""
    directory.mkdir(mode=0o700, exist_ok=True)
    directory.chmod(0o700)
    root_key, password = directory / "root-key.json", directory / "postgres-password"
    if not root_key.exists():
        generate_key_file(root_key, SystemEntropy(), now=SystemClock().now())
    if not password.exists():
        password.write_text(SystemEntropy().token() + "\n", encoding="utf-8")
        password.chmod(0o644)  # two users read it, the database's and the service's; the directory is closed to others
    if os.geteuid() == 0:
        os.chown(root_key, SERVICE_USER, SERVICE_USER)
    if root_key.stat().st_uid != SERVICE_USER:
        print(f"One step is left: sudo chown {SERVICE_USER}:{SERVICE_USER} {root_key}")
        return 1
    print(f"The secrets are in {directory}. Keep a copy of {root_key.name} apart from the database's backups.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
