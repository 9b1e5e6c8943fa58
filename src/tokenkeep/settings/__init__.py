"""The settings: every `TOKENKEEP_…` environment variable, read and checked once, at start."""

from tokenkeep.settings.environment import Settings, from_environment, pop_secrets, read
from tokenkeep.settings.table import SETTINGS, Setting
from tokenkeep.settings.values import is_loopback, public_origin

__all__ = [
    "SETTINGS",
    "Setting",
    "Settings",
    "from_environment",
    "is_loopback",
    "pop_secrets",
    "public_origin",
    "read",
]
