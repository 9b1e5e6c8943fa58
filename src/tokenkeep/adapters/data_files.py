"""Where the files are that ship with the service but are not code.

Owns: finding `providers/` and `templates/`, in an installed wheel and in a clone. Does not own: reading them.
"""

from __future__ import annotations

from importlib import resources
from pathlib import Path

from tokenkeep.core.errors import Misconfigured


def data_directory(name: str) -> Path:
    """The directory of that name: in the package when installed from a wheel, else at the top of the repository.

    Raises:
        Misconfigured: there is neither.
    """
    packaged = Path(str(resources.files("tokenkeep"))) / "_data" / name
    if packaged.is_dir():
        return packaged
    cloned = Path(__file__).resolve().parents[3] / name
    if cloned.is_dir():
        return cloned
    raise Misconfigured(f"The directory `{name}` is missing from this installation.", fix="Install Tokenkeep again.")
