"""Mail by SMTP.

Owns: the form of a message, and handing it to a mail server: encrypted, unless the server is on this machine.
Does not own: what is written (`services/notices`) and to whom (settings).

The standard library's client, in a thread of its own: mail is rare, and nobody waits for it.
"""

from __future__ import annotations

import asyncio
import logging
import smtplib
import ssl
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from email.message import EmailMessage
from email.policy import SMTP
from urllib.parse import unquote, urlsplit

from tokenkeep.core.secret import Secret
from tokenkeep.services.ports import Clock

TIMEOUT_S = 20.0
_PORTS = {"smtp": 587, "smtps": 465}
_log = logging.getLogger(__name__)


@dataclass(slots=True, kw_only=True)
class SmtpMail:
    """Implements the port `Mail`."""

    url: Secret  # smtp://user:password@host:587, or smtps:// for TLS from the first octet
    sender: str
    recipients: Sequence[str]
    loopback: bool  # the server is on this machine: it need not encrypt
    clock: Clock
    ssl_context: ssl.SSLContext | None = None  # None: the system's roots

    async def send(self, *, subject: str, text: str, message_id: str) -> str:
        """Answers why it was not taken, in one word; empty: it was taken, for one recipient at least."""
        message = self._message(subject, text, message_id)
        try:
            refused = await asyncio.to_thread(self._hand_over, message)
        except (smtplib.SMTPException, OSError, UnicodeError) as fault:
            # The server's words may quote what was sent, and that may be the password.
            _log.warning("mail_not_taken %s code=%s", type(fault).__name__, getattr(fault, "smtp_code", ""))
            return type(fault).__name__
        if refused:
            # The others have it. Sent again, it would reach them every five minutes, as long as one address is wrong.
            _log.warning("mail_partly_refused recipients=%d of=%d", len(refused), len(self.recipients))
        return ""

    def _message(self, subject: str, text: str, message_id: str) -> EmailMessage:
        message = EmailMessage(policy=SMTP)
        message["From"], message["To"], message["Subject"] = self.sender, ", ".join(self.recipients), subject
        message["Date"] = self.clock.now()
        message["Message-ID"] = f"<{message_id}@{self.sender.rpartition('@')[2]}>"
        message["Auto-Submitted"] = "auto-generated"
        message.set_content(text)
        return message

    def _hand_over(self, message: EmailMessage) -> Collection[str]:
        """Recipients that the server refused while it took others. Raises SMTPException where it took none."""
        parts = urlsplit(self.url.reveal())
        host, port = parts.hostname or "", parts.port or _PORTS[parts.scheme]
        with self._connected(parts.scheme, host, port) as server:
            if parts.username:
                server.login(unquote(parts.username), unquote(parts.password or ""))
            return server.send_message(message, self.sender, list(self.recipients))

    def _connected(self, scheme: str, host: str, port: int) -> smtplib.SMTP:
        """Raises SMTPException where the server does not encrypt, before anything is said to it."""
        context = self.ssl_context or ssl.create_default_context()
        if scheme == "smtps":
            return smtplib.SMTP_SSL(host, port, timeout=TIMEOUT_S, context=context)
        server = smtplib.SMTP(host, port, timeout=TIMEOUT_S)
        try:
            if not self.loopback:
                server.starttls(context=context)
        except BaseException:
            server.close()
            raise
        return server
