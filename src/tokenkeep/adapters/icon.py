"""The picture of a credential type.

Owns: refusing drawings that could do anything but be drawn, and the letter tile for services without one.
Does not own: where drawings are kept (`catalog`).
"""

from __future__ import annotations

import hashlib
import re
from xml.sax.saxutils import escape

LARGEST = 32_768

COLOURS = (
    "#1d4ed8", "#6d28d9", "#a21caf", "#be123c", "#b45309", "#4d7c0f",
    "#15803d", "#0f766e", "#0e7490", "#334155", "#7c2d12", "#9d174d",
)  # fmt: skip
"""Grounds for white letters: each has a contrast of at least 4.5 to white (WCAG 2.2, 1.4.3)."""

_ACTIVE = re.compile(
    r"<!|<\?|<\s*(?:script|style|foreignobject|iframe|image|use|a|animate|set)\b|\bon[a-z]+\s*=|\bhref\s*=|url\(|@import|&#",
    re.IGNORECASE,
)


def problem(drawing: str) -> str:
    """Why a drawing cannot be served. Empty: it can."""
    if len(drawing) > LARGEST:
        return f"It is larger than {LARGEST} characters."
    if not drawing.lstrip().startswith("<svg"):
        return "It does not begin with `<svg`."
    if found := _ACTIVE.search(drawing):
        return f"It holds `{found.group(0).strip()}`; only static shapes are served."
    return ""


def letter_tile(provider_id: str, label: str, *, letter: str = "") -> bytes:
    """A coloured tile with a letter: `letter`, or the first one of the label. The colour follows from the id."""
    shown = letter or next((char for char in label if char.isalnum()), "?").upper()
    colour = COLOURS[hashlib.sha256(provider_id.encode()).digest()[0] % len(COLOURS)]
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 24 24" role="img">'
        f"<title>{escape(label)}</title>"
        f'<rect width="24" height="24" rx="5" fill="{colour}"/>'
        '<text x="12" y="12.5" fill="#ffffff" font-family="system-ui, sans-serif" font-size="13" font-weight="600" '
        f'text-anchor="middle" dominant-baseline="central">{escape(shown)}</text></svg>'
    ).encode()
