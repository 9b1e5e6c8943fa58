"""The reference of webhooks: every type, and an example of checking that works."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tokenkeep.core.turns import FOR_PEOPLE, TURNS, Turn
from tokenkeep.core.webhooks import headers, secret_of

REFERENCE = (Path(__file__).parents[2] / "docs" / "reference" / "webhooks.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("turn", TURNS, ids=lambda turn: turn.type)
def test_every_type_is_documented(turn: Turn) -> None:
    (row,) = re.findall(rf"^\| `{re.escape(turn.type)}` \| (.*) \|$", REFERENCE, re.MULTILINE)
    assert row.startswith(turn.meaning)
    assert row.endswith("Also by mail.") == (turn.type in FOR_PEOPLE)


def test_the_example_of_checking_accepts_what_is_genuine_and_nothing_else() -> None:
    (example,) = re.findall(r"```python\n(.*?)```", REFERENCE, re.DOTALL)
    names: dict[str, Any] = {}
    exec(compile(example, "webhooks.md", "exec"), names)
    is_genuine = names["is_genuine"]
    secret, other, body = secret_of(b"k" * 32), secret_of(b"o" * 32), '{"type":"Grün"}'
    now = datetime.fromtimestamp(time.time(), UTC)
    made = headers([other, secret], message_id="msg_1", at=now, body=body)
    assert is_genuine(secret.reveal(), made, body.encode())
    assert is_genuine(other.reveal(), made, body.encode())
    assert not is_genuine(secret_of(b"x" * 32).reveal(), made, body.encode())
    assert not is_genuine(secret.reveal(), made, body.encode() + b" ")
    old = headers([secret], message_id="msg_1", at=datetime.fromtimestamp(time.time() - 600, UTC), body=body)
    assert not is_genuine(secret.reveal(), old, body.encode())
