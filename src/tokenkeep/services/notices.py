"""Mail for people, where they must act.

Owns: gathering a workspace's notices into one mail, what it says, and that there is at most one in five minutes.
Does not own: which turns need a person (`core/turns`), sending (`Mail`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC

from tokenkeep.services.ports import AccountStore, Entropy, Journal, Mail, Notice, OutboxStore

EVERY_S = 300
LISTED = 100
"""Notices in one mail. What is left comes with the next."""

_HEADINGS = {
    "credential.reauthorization_required": "Connect again: the provider no longer accepts these",
    "credential.reauthorization_expected": "Connect again soon: these will need a person",
    "client.incident_began": "Mend the client: the provider refuses its id or secret",
}


@dataclass(slots=True, kw_only=True)
class Notices:
    """Use case `mail`: one pass over the workspaces that have something to say."""

    outbox: OutboxStore
    accounts: AccountStore
    mail: Mail
    entropy: Entropy
    journal: Journal
    public_url: str

    async def send(self) -> int:
        """How many mails were sent. A mail that was not taken is tried again with the workspace's next turn."""
        sent = 0
        waiting = await self.outbox.waiting()
        names = dict(await self.accounts.workspaces()) if waiting else {}
        for workspace_id in waiting:
            # Taken before sending, so that of several processes one sends, and a mail server that is down is asked
            # every five minutes and not at every tick.
            if await self.outbox.take_turn(workspace_id, every_s=EVERY_S):
                sent += await self._send_one(workspace_id, names.get(workspace_id, workspace_id))
        return sent

    async def _send_one(self, workspace_id: str, name: str) -> bool:
        notices = await self.outbox.notices(workspace_id, limit=LISTED)
        if not notices:
            return False
        problem = await self.mail.send(
            subject=_subject(notices, name),
            text=self._text(notices, name),
            message_id=self.entropy.id(),
        )
        if problem:
            self.journal.record("mail_failed", error=problem, notices=len(notices))
            return False
        await self.outbox.noticed(workspace_id, [notice.id for notice in notices])
        self.journal.record("mail_sent", notices=len(notices))
        return True

    def _text(self, notices: Sequence[Notice], name: str) -> str:
        lines = [f"In the workspace {_plain(name)}:"]
        for type_, heading in _HEADINGS.items():
            found = [notice for notice in notices if notice.type == type_]
            if found:
                lines += ["", f"{heading}:"]
            for notice in found:
                at = notice.at.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")
                lines += [f"- {_plain(notice.name)} ({at})", f"  {self.public_url}{notice.path}"]
        if len(notices) == LISTED:
            lines += ["", "There may be more; the next mail tells."]
        return "\n".join([*lines, "", f"How everything stands: {self.public_url}/status", ""])


def _subject(notices: Sequence[Notice], name: str) -> str:
    things = "1 thing needs" if len(notices) == 1 else f"{len(notices)} things need"
    return f"Tokenkeep: {things} you in {_plain(name)}"


def _plain(text: str) -> str:
    """A name in one line: it may come from a provider, and must not add lines of its own."""
    return "".join(each if each.isprintable() else "?" for each in text)[:200] or "(no name)"
