"""The whole tree of failures.

    TokenkeepError
    ├── InvalidInput            invalid_input            400  what was sent cannot be used; `fields` says which
    │   └── UnknownType         unknown_type             400
    ├── Unauthenticated         key_invalid              401  no key, a wrong one, an ended session
    ├── ScopeMissing            scope_missing            403  the caller may not do this
    ├── NotFound                not_found                404  also every thing of another workspace
    ├── Conflict                conflict                 409
    │   ├── InUse               in_use                   409  `references` says what uses it
    │   ├── NotOAuth            not_oauth                409
    │   ├── NotConnected        not_connected            409
    │   ├── ReauthorizationRequired  reauthorization_required  409  the user must connect again
    │   ├── ClientMissing       client_missing           409  the administrator must register a client
    │   ├── NotTestable         not_testable             409
    │   └── SessionSpent        session_spent            409  a connect session that is over
    ├── VersionMismatch         version_mismatch         412  If-Match named an older version
    ├── Quarantined             undecryptable            409  the stored secret cannot be opened
    ├── ConnectFailed           connect_failed           400  base of what can go wrong on the way back
    │   ├── StateInvalid        state_invalid            400  unknown, used or expired state
    │   ├── BrowserMismatch     browser_mismatch         400  another browser came back
    │   ├── IssuerMismatch      issuer_mismatch          400  RFC 9207
    │   ├── ConsentDenied       consent_denied           400  the user said no
    │   └── ProviderRefused     provider_refused         400  the provider answered with an error
    ├── RefreshFailing          refresh_failing          503  time may repair it; `retry_after` seconds
    ├── Unavailable             unavailable              503  the database is away; `retry_after` seconds
    ├── Throttled               throttled                429  too many tries; `retry_after` seconds
    └── Misconfigured           misconfigured            ---  a setting or provider file; ends the start
        ├── KeyRefused          key_refused              ---  wrong, missing or weak root key: exit 78
        └── ProviderFileInvalid provider_file_invalid    ---

The class docstring is the default message. Each error has a stable `code`. No error text ever holds a
response body, a header, a URL query or a secret.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar


class TokenkeepError(Exception):
    """Something went wrong."""

    code: ClassVar[str] = "internal"

    def __init__(self, message: str = "", *, fix: str = "", **extra: Any) -> None:
        self.message = message or (type(self).__doc__ or "").splitlines()[0]
        self.fix = fix
        """What the reader can do about it. Empty: nothing useful to say."""
        self.extra: Mapping[str, Any] = extra
        """Further members of the problem document (RFC 9457 section 3.2). Never a secret."""
        super().__init__(self.message)


class InvalidInput(TokenkeepError):
    """The request cannot be used as it was sent."""

    code = "invalid_input"

    def __init__(self, message: str = "", *, fields: Mapping[str, str] | None = None, fix: str = "") -> None:
        super().__init__(message, fix=fix, **({"fields": dict(fields)} if fields else {}))
        self.fields = dict(fields or {})


class UnknownType(InvalidInput):
    """There is no credential type of that name."""

    code = "unknown_type"


class Unauthenticated(TokenkeepError):
    """A valid service key or session is needed."""

    code = "key_invalid"


class ScopeMissing(TokenkeepError):
    """The caller is known but may not do this."""

    code = "scope_missing"


class NotFound(TokenkeepError):
    """There is no such thing here."""

    code = "not_found"


class Conflict(TokenkeepError):
    """The request does not fit the present state."""

    code = "conflict"


class InUse(Conflict):
    """The credential is still in use."""

    code = "in_use"

    def __init__(self, references: Sequence[str]) -> None:
        super().__init__(fix="Remove the references, or delete with ?force=true.", references=list(references))


class NotOAuth(Conflict):
    """This credential holds static values; it has no access token."""

    code = "not_oauth"


class NotConnected(Conflict):
    """The credential was never connected, or was disconnected."""

    code = "not_connected"


class ReauthorizationRequired(Conflict):
    """The provider no longer accepts this grant; a person must connect again."""

    code = "reauthorization_required"


class ClientMissing(Conflict):
    """No client is registered for this provider in this workspace."""

    code = "client_missing"


class NotTestable(Conflict):
    """This type has no call that could prove it works."""

    code = "not_testable"


class SessionSpent(Conflict):
    """This connect session is over."""

    code = "session_spent"


class VersionMismatch(TokenkeepError):
    """The credential was changed by somebody else in the meantime."""

    code = "version_mismatch"


class Quarantined(TokenkeepError):
    """The stored secret cannot be opened, so nothing is handed out and nothing overwritten."""

    code = "undecryptable"


class ConnectFailed(TokenkeepError):
    """The connection could not be completed."""

    code = "connect_failed"


class StateInvalid(ConnectFailed):
    """This attempt to connect is unknown, already used or older than ten minutes."""

    code = "state_invalid"


class BrowserMismatch(ConnectFailed):
    """The browser that came back is not the one that began."""

    code = "browser_mismatch"


class IssuerMismatch(ConnectFailed):
    """The answer came from another authorization server than the one that was asked."""

    code = "issuer_mismatch"


class ConsentDenied(ConnectFailed):
    """Access was not granted."""

    code = "consent_denied"


class ProviderRefused(ConnectFailed):
    """The provider refused to connect."""

    code = "provider_refused"


class RefreshFailing(TokenkeepError):
    """The token could not be refreshed just now; it will be tried again."""

    code = "refresh_failing"

    def __init__(self, message: str = "", *, retry_after: int = 30) -> None:
        super().__init__(message, fix="Ask again after `retry_after` seconds.", retry_after=retry_after)
        self.retry_after = retry_after


class Unavailable(TokenkeepError):
    """The database cannot be reached just now."""

    code = "unavailable"

    def __init__(self, message: str = "") -> None:
        self.retry_after = 5
        super().__init__(message, fix="Ask again in a few seconds.", retry_after=self.retry_after)


class Throttled(TokenkeepError):
    """Too many tries in a short time."""

    code = "throttled"

    def __init__(self, *, retry_after: int) -> None:
        super().__init__(fix="Wait `retry_after` seconds and try again.", retry_after=retry_after)
        self.retry_after = retry_after


class Misconfigured(TokenkeepError):
    """The service is not set up in a way it can run."""

    code = "misconfigured"


class KeyRefused(Misconfigured):
    """The root key is missing, wrong or unsafe, so the service does not start."""

    code = "key_refused"


class ProviderFileInvalid(Misconfigured):
    """A provider file does not follow its schema."""

    code = "provider_file_invalid"
