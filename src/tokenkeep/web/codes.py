"""The stable error codes.

Owns: error code -> status, title, meaning and fix, in one table. Does not own: telling them (`problems`).
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Code:
    """One stable error code. `meaning` and `fix` are for documentation; answers carry their own detail."""

    status: int
    title: str
    meaning: str
    fix: str


CODES: dict[str, Code] = {
    # the request itself
    "invalid_input": Code(
        400,
        "Invalid input",
        "A parameter or field is unknown, missing or malformed; `fields` says which.",
        "Correct what `fields` names.",
    ),
    "unknown_type": Code(
        400, "Unknown credential type", "No credential type has this name.", "Look it up at `/v1/credential-types`."
    ),
    "invalid_json": Code(
        400, "Malformed JSON", "The body is not JSON, or is nested too deeply.", "Send one JSON object in UTF-8."
    ),
    "wrong_host": Code(
        421,
        "Misdirected request",
        "The Host header is not the one this service is published under.",
        "Use the address in `TOKENKEEP_PUBLIC_URL`.",
    ),
    "content_too_large": Code(413, "Content too large", "The body is larger than 256 KiB.", "Send less."),
    "unsupported_media_type": Code(
        415, "Unsupported media type", "The body is not declared as JSON.", "Send `Content-Type: application/json`."
    ),
    "method_not_allowed": Code(
        405, "Method not allowed", "This path does not answer to this method.", "Use a method that `Allow` lists."
    ),
    "bad_request": Code(400, "Bad request", "The request cannot be understood.", "Compare it with `/docs`."),
    # who asks
    "key_invalid": Code(
        401,
        "Authentication needed",
        "No service key or session was sent, or it is wrong, expired or revoked.",
        "Send `Authorization: Bearer <service key>`, or sign in.",
    ),
    "scope_missing": Code(
        403, "Not allowed", "The caller is known but lacks the scope or role.", "Use a key that carries the scope."
    ),
    "cross_site": Code(
        403,
        "Cross-site request refused",
        "A signed-in browser sent this from another site.",
        "Act on Tokenkeep's own pages, or use a service key.",
    ),
    # what is asked for
    "not_found": Code(
        404,
        "Not found",
        "There is no such thing, or it belongs to another workspace, or the key is limited to others.",
        "Check the id and the key.",
    ),
    "conflict": Code(409, "Conflict", "The request does not fit the present state.", "Read the state again."),
    "in_use": Code(
        409,
        "Still in use",
        "`references` lists what uses the credential.",
        "Remove the references, or delete with `?force=true`.",
    ),
    "not_oauth": Code(
        409,
        "Not an OAuth credential",
        "The credential holds static values and has no access token.",
        "Read `/authorization` or `/values` instead.",
    ),
    "not_connected": Code(
        409,
        "Not connected",
        "Nobody has connected the credential, or it was disconnected.",
        "Open the link in `fix` and connect.",
    ),
    "reauthorization_required": Code(
        409,
        "Must be connected again",
        "The provider no longer accepts the grant; waiting does not help.",
        "Open the link in `fix` and connect again.",
    ),
    "client_missing": Code(
        409,
        "No client registered",
        "The workspace has no client at the provider, so nobody can connect.",
        "An administrator registers one: `PUT /v1/clients/{provider}`.",
    ),
    "not_testable": Code(
        409, "Not testable", "The type has no call that could prove the credential works.", "Use it and see."
    ),
    "session_spent": Code(
        409, "Connect session over", "The connect session was used or has expired.", "Create another one."
    ),
    "undecryptable": Code(
        409,
        "Secret cannot be opened",
        "The stored secret does not open with the keys this service has. Nothing was overwritten.",
        "The operator runs `tokenkeep doctor` and checks the root key.",
    ),
    "version_mismatch": Code(
        412, "Changed meanwhile", "`If-Match` names an older version.", "Read the credential again and repeat the edit."
    ),
    # connecting
    "connect_failed": Code(400, "Could not connect", "The connection could not be completed.", "Try again."),
    "state_invalid": Code(
        400,
        "Attempt unknown or expired",
        "The attempt to connect is unknown, already used, or older than ten minutes.",
        "Begin again from the connect link.",
    ),
    "browser_mismatch": Code(
        400,
        "Another browser came back",
        "The browser that returned from the provider is not the one that began.",
        "Begin and finish in one browser.",
    ),
    "issuer_mismatch": Code(
        400,
        "Another issuer answered",
        "The answer names another authorization server than the one that was asked (RFC 9207).",
        "Begin again; tell the administrator if it repeats.",
    ),
    "consent_denied": Code(
        400, "Access not granted", "The user or the provider declined.", "Connect again and allow access."
    ),
    "provider_refused": Code(
        400, "Provider refused", "The provider answered with an error.", "Check the client at the provider."
    ),
    # time may repair it
    "refresh_failing": Code(
        503,
        "Refresh failing",
        "The token has run out and could not be refreshed just now.",
        "Ask again after `Retry-After` seconds.",
    ),
    "unavailable": Code(
        503, "Unavailable", "The database cannot be reached just now.", "Ask again after `Retry-After` seconds."
    ),
    "throttled": Code(
        429, "Too many tries", "Too many tries in a short time.", "Wait for `Retry-After` seconds and try again."
    ),
    "internal": Code(
        500, "Internal error", "Something went wrong here; nothing about it is told outside.", "Look at the log."
    ),
}
