"""What pages say about states, failures and codes: one table each.

Owns: our words for people. Does not own: layout (templates), the codes themselves (`core`).
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import NamedTuple


class Chip(NamedTuple):
    """How a state looks: an icon and a word, so that colour is never the only sign."""

    tone: str
    icon: str
    text: str


STATES: dict[str, Chip] = {
    "stored": Chip("info", "key", "Stored"),
    "unconnected": Chip("quiet", "plug", "Not connected"),
    "connected": Chip("good", "check", "Connected"),
    "failing": Chip("warn", "clock", "Failing"),
    "reauthorization_required": Chip("bad", "alert", "Reconnect needed"),
    "quarantined": Chip("bad", "lock", "Quarantined"),
}

REFUSED_VALUES = ("Whoever may edit it", "The service does not accept these values, or they do not make a request.")
"""Where tokens are obtained from the credential's own values."""
REPAIR: dict[str, tuple[str, str]] = {
    "transient": ("Time", "The provider or the network had a problem. Tokenkeep tries again by itself."),
    "client": ("An administrator", "The provider does not accept the client. Check its id and secret in the settings."),
    "grant": ("The person who connected it", "The provider no longer accepts this grant. Connect it again."),
    "internal": ("An administrator", "Tokenkeep cannot open what it stored. Check that the right root key is in use."),
}
"""FailureKind -> who repairs it, and how."""

DOUBTED = "Many were refused at once, as in an outage. This one is tried again before anybody is asked to reconnect."
"""Of a refusal that is not believed yet, in place of how."""


EXPIRY: dict[str, str] = {
    "endless": "Does not end, says the provider",
    "unknown": "Unknown: the provider does not say. What nodes report as rejected is replaced, and its life remembered",
    "learned": "Unknown: the provider does not say. One was rejected at the age of",
}
"""Why no end is shown, in words."""


RESULTS: dict[str, str] = {
    "refused": "not called, as its address is private and TOKENKEEP_OUTBOUND_ALLOW does not name it",
    "not_sent": "could not be reached",
    "lost": "no answer came in time",
    "undecryptable": "its signing secret cannot be opened",
    "disabled": "the endpoint was disabled",
}
"""What became of a delivery where no HTTP status says it."""


class Notice(NamedTuple):
    """One sentence shown once, after an action."""

    tone: str
    text: str


NOTICES: dict[str, Notice] = {
    "created": Notice("good", "Saved. The credential is ready to use."),
    "created_odd": Notice(
        "warn", "Saved, but a value looked odd or had something left out. Test it before it is used."
    ),
    "saved_without_token": Notice("warn", "Saved, but the service has not given a token yet."),
    "edited": Notice("good", "Your changes are saved."),
    "edited_odd": Notice("warn", "Saved, but a value looked odd or had something left out. Test it before it is used."),
    "unchanged": Notice("info", "Nothing was changed."),
    "deleted": Notice("good", "Deleted. There was nothing to revoke at the provider."),
    "deleted_revoked": Notice("good", "Deleted, and access was revoked at the provider."),
    "deleted_unrevoked": Notice(
        "warn", "Deleted here, but the provider did not confirm that access is revoked. Remove it in its settings too."
    ),
    "disconnected": Notice("good", "Disconnected. There was nothing to revoke at the provider."),
    "disconnected_revoked": Notice("good", "Disconnected, and access was revoked at the provider."),
    "disconnected_unrevoked": Notice(
        "warn", "Disconnected here, but the provider did not confirm it. Remove access in the provider's settings too."
    ),
    "tested_ok": Notice("good", "The test passed: the provider accepts this credential."),
    "tested_wrong_credential": Notice("bad", "The test failed: the provider does not accept this credential."),
    "tested_missing_permission": Notice("bad", "The test failed: the credential works but lacks a permission."),
    "tested_unreachable": Notice("warn", "The test could not be done: the provider did not answer. Try again later."),
    "tested_rate_limited": Notice("warn", "The test could not be done: the provider limits requests. Try again later."),
    "tested_reauthorization_required": Notice("bad", "The test failed: this credential must be connected again."),
    "tested_outbound_refused": Notice("bad", "The test failed: this address is not one the service may call."),
    "tested_missing_database": Notice("bad", "The test failed: the user is known, but the database does not exist."),
    "tested_no_tls": Notice("bad", "The test was not done: without TLS no password is sent over the internet."),
    "tested_untrusted_certificate": Notice("bad", "The test failed: the database's certificate is not trusted here."),
    "tested_incomplete": Notice("warn", "The test could not be done: an address or a user is left to the node."),
    "tested_unsupported": Notice("warn", "The test could not be done: this form of address cannot be tried here."),
    "tested_driver_missing": Notice(
        "warn", "The test could not be done: whoever runs the service must install tokenkeep[databases]."
    ),
    "tested_refresh_failing": Notice("warn", "The test could not be done: the token cannot be refreshed just now."),
    "tested_undecryptable": Notice("bad", "The test failed: the stored secret cannot be opened."),
    "tested_not_connected": Notice("bad", "The test failed: this credential is not connected."),
    "tested_failed": Notice("bad", "The test failed: the provider answered with something unexpected."),
    "client_saved": Notice("good", "The client is saved. Paste the redirect address at the provider, then connect."),
    "client_deleted": Notice(
        "good", "The client is removed. Credentials connected with it can no longer be refreshed."
    ),
    "key_revoked": Notice("good", "The service key is revoked. It works nowhere any more."),
    "webhook_saved": Notice("good", "Your changes are saved."),
    "webhook_enabled": Notice("good", "The endpoint is enabled. What failed before can be sent again."),
    "webhook_disabled": Notice("good", "The endpoint is disabled. Nothing is sent to it any more."),
    "webhook_tested": Notice("good", "A test is on its way. It shows among the deliveries."),
    "webhook_replayed": Notice("good", "It is sent again, under the same id."),
    "webhook_none_failed": Notice("info", "No delivery has failed."),
    "webhook_deleted": Notice("good", "The endpoint is deleted, with everything that waited for it."),
    "session_ended": Notice("good", "That browser is signed out."),
    "sessions_ended": Notice("good", "All other browsers are signed out."),
    "signed_out": Notice("info", "You are signed out."),
}

ERRORS: dict[str, tuple[str, str]] = {
    "invalid_input": ("That cannot be used", "Go back and check what you entered."),
    "unknown_type": ("There is no such credential type", "Choose one from the gallery."),
    "scope_missing": ("You may not do this", "Ask an administrator of this workspace."),
    "not_found": ("Nothing here", "It may have been deleted, or the address is not right."),
    "not_oauth": ("This credential holds plain values", "There is nothing to connect or refresh."),
    "not_connected": ("This credential is not connected", "Connect it first."),
    "reauthorization_required": ("This credential must be connected again", "Use Reconnect on its page."),
    "client_missing": ("The provider is not set up yet", "An administrator registers a client in the settings."),
    "not_testable": ("This type cannot be tested", "It has no call that could prove it works."),
    "session_spent": ("This link was used already", "Ask for a new link where you got this one."),
    "version_mismatch": ("Somebody else changed it meanwhile", "Open the page again and repeat your change."),
    "undecryptable": ("This credential cannot be opened", "An administrator checks the root key of the service."),
    "throttled": ("Too many tries", "Wait a little and try again."),
    "cross_site": ("This was sent from another site", "Open the page here and use its own button."),
    "refresh_failing": ("The provider cannot be reached", "Tokenkeep tries again by itself."),
}
"""Error code -> title and what to do."""


class Problem(NamedTuple):
    """Why a connection was not made, and what to do next."""

    title: str
    text: str
    next: str


CONNECT_PROBLEMS: dict[str, Problem] = {
    "consent_denied": Problem(
        "Access was not granted",
        "You, or an administrator at the provider, declined. Nothing was stored.",
        "If that was not what you wanted, try again and allow access.",
    ),
    "provider_refused": Problem(
        "The provider refused",
        "The provider answered with an error, so no access was given to us.",
        "Try again in a moment. If it stays so, an administrator checks the client in the settings.",
    ),
    "browser_mismatch": Problem(
        "Another browser came back",
        "This attempt began in another browser, or its cookie is gone. To protect your account nothing was stored.",
        "Open the link and press Connect in the same browser, without switching windows to another profile.",
    ),
    "state_invalid": Problem(
        "This attempt is over",
        "Each attempt works once and for ten minutes. Perhaps this page was loaded a second time.",
        "Look in the list of credentials: it may be connected already. If not, try again.",
    ),
    "issuer_mismatch": Problem(
        "The answer came from somewhere else",
        "Another authorization server answered than the one that was asked. Nothing was stored.",
        "Try again. If it happens twice, tell an administrator: the provider's settings may be wrong.",
    ),
    "session_spent": Problem(
        "This link was used already",
        "A connect link works once.",
        "Ask for a new link where you got this one.",
    ),
    "client_missing": Problem(
        "The provider is not set up yet",
        "No client is registered for this provider.",
        "Ask an administrator of the workspace to add it in the settings.",
    ),
    "throttled": Problem(
        "Too many attempts",
        "Many attempts to connect are open at once.",
        "Wait ten minutes, then try again.",
    ),
    "expired": Problem(
        "This link has expired",
        "Connect links live for a short time only.",
        "Ask for a new link where you got this one.",
    ),
    "connect_failed": Problem(
        "The connection was not made",
        "The provider gave an answer that cannot be used. Nothing was stored.",
        "Try again. If it stays so, an administrator checks the client in the settings.",
    ),
}


def connect_problem(code: str) -> Problem:
    """Never the provider's own words: those may be anything (T27)."""
    return CONNECT_PROBLEMS.get(code, CONNECT_PROBLEMS["connect_failed"])


def when(moment: datetime) -> str:
    """A moment for people without scripts: `24 Nov 2026, 10:11 UTC`."""
    return moment.astimezone(UTC).strftime("%d %b %Y, %H:%M UTC").lstrip("0")


def rfc3339(moment: datetime) -> str:
    """A moment for programs: RFC 3339, UTC, whole seconds."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def plain_code(code: object) -> str:
    """A code as words: `refresh_failed` -> `Refresh failed`."""
    said = str(code).replace("_", " ").replace("-", " ")
    return said.upper() if said in {"ai", "api", "crm"} else said.capitalize()


def paragraphs(text: str) -> list[str]:
    """A provider file's text as paragraphs: a blank line or a number such as `2.` begins the next one."""
    found: list[str] = []
    goes_on = False
    for line in text.splitlines():
        stripped = line.strip()
        if goes_on and stripped and not re.match(r"\d{1,2}\. ", stripped):
            found[-1] += f" {stripped}"
        elif stripped:
            found.append(stripped)
        goes_on = bool(stripped)
    return found


def fact(name: str, value: object) -> str:
    """One fact of an event: `duration_ms`, 212 -> `took 212 ms`."""
    if name == "duration_ms" and isinstance(value, int | float):
        return f"took {milliseconds(value)}"
    if isinstance(value, bool):
        value = "yes" if value else "no"
    if isinstance(value, list | tuple):
        value = ", ".join(str(one) for one in value)
    return f"{plain_code(name).lower()}: {plain_code(value).lower() if name in {'code', 'kind', 'why'} else value}"


def milliseconds(value: float) -> str:
    """A duration as a person reads it."""
    return f"{value / 1000:.1f} s" if value >= 1000 else f"{value:.0f} ms"


def life(seconds: int) -> str:
    """How long something lives, in the largest unit that fits twice: `90 minutes`, `3 hours`."""
    unit, size = next((unit for unit in _UNITS if seconds >= 2 * unit[1]), ("seconds", 1))
    return f"{seconds // size} {unit}"


_UNITS = (("days", 86_400), ("hours", 3_600), ("minutes", 60))


def browser(user_agent: str) -> str:
    """A User-Agent as its owner would say it. Unknown ones are cut short, never trusted."""
    name = next((name for mark, name in _BROWSERS if mark in user_agent), user_agent[:40] or "Unknown browser")
    system = next((name for mark, name in _SYSTEMS if mark in user_agent), "")
    return f"{name} on {system}" if system else name


_BROWSERS = (("Edg/", "Edge"), ("Firefox/", "Firefox"), ("Chrome/", "Chrome"), ("Safari/", "Safari"))
_SYSTEMS = (
    ("Android", "Android"), ("iPhone", "iPhone"), ("iPad", "iPad"), ("Windows", "Windows"), ("Mac OS", "macOS"),
    ("Linux", "Linux"),
)  # fmt: skip
