"""What these harnesses have found in the product and nobody has mended yet.

Owns: how a known fault shows itself in a harness, so that it does not hide a new one. Each has its own smallest test in
`test_findings`, marked as expected to fail; whoever mends it removes both.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

KNOWN = {
    "cause forgotten": re.compile(
        r"I5: \w+ was given up as invalid_grant, and (it had been given up as lost_response|our own reuse had ended it)"
    ),
    "orphan forgotten": re.compile(r"I5: .* is reauthorization_required .* on the orphan shelf would be accepted"),
    "refusal overwritten": re.compile(r"I4: [\w-]+ was tried again at [\d.]+ where reuse had revoked everything"),
    "fallback twice": re.compile(r"I4: [\w-]+ was sent twice under one claim"),
    "claimed at rest": re.compile(r"I6: \w+ \([\w-]+\) is reauthorization_required .* has outlived itself"),
}


def unknown(faults: Iterable[str]) -> list[str]:
    """The faults that are none of the known ones."""
    return [fault for fault in faults if not any(pattern.match(fault) for pattern in KNOWN.values())]
