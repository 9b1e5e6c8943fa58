"""Mail over a real connection: encrypted or not at all, and never an exception."""

from __future__ import annotations

import base64
import email
import ssl
from datetime import UTC, datetime, timedelta
from email.policy import default
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.kit.clock import FakeClock
from tests.kit.mailbox import MailServer, serving
from tokenkeep.adapters.mail import SmtpMail
from tokenkeep.core.secret import Secret

DAY = timedelta(days=1)
PASSWORD = "canary-mail-password"


def mail(server: MailServer, **changes: object) -> SmtpMail:
    parts = {
        "url": Secret(f"smtp://keeper:{PASSWORD}@127.0.0.1:{server.port}"),
        "sender": "keeper@example.org",
        "recipients": ["ada@example.org", "ops@example.org"],
        "loopback": True,
        "clock": FakeClock(),
    }
    return SmtpMail(**parts | changes)  # type: ignore[arg-type]


def contexts(folder: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """(the server's, a client's that trusts it), for a certificate of 127.0.0.1."""
    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([])
    now = datetime.now(UTC)
    signed = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now - DAY, now + DAY)
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=True)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    no_password = serialization.NoEncryption()
    private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, no_password)
    file = folder / "mail.pem"
    file.write_bytes(private + signed.public_bytes(serialization.Encoding.PEM))
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(file)
    return server, ssl.create_default_context(cafile=str(file))


async def send(to: SmtpMail, text: str = "Grüße\n.\nEnde") -> str:
    return await to.send(subject="Tokenkeep: 1 thing needs you in Büro", text=text, message_id="id-1")


async def test_a_mail_arrives_whole() -> None:
    async with serving(MailServer()) as server:
        assert await send(mail(server)) == ""
    (raw,) = server.messages
    message = email.message_from_bytes(raw, policy=default)
    assert message["Subject"] == "Tokenkeep: 1 thing needs you in Büro"
    assert (message["From"], message["To"]) == ("keeper@example.org", "ada@example.org, ops@example.org")
    assert message["Message-ID"] == "<id-1@example.org>"
    assert message["Date"] == "Tue, 24 Nov 2026 12:00:00 +0000"
    assert message["Auto-Submitted"] == "auto-generated"
    assert message.get_content_type() == "text/plain"
    assert message.get_content().split() == ["Grüße", ".", "Ende"]
    login = base64.b64encode(f"\0keeper\0{PASSWORD}".encode()).decode()
    assert f"AUTH PLAIN {login}" in server.said


async def test_nothing_is_said_in_the_clear_to_a_server_elsewhere() -> None:
    async with serving(MailServer()) as server:
        assert await send(mail(server, loopback=False)) == "SMTPNotSupportedError"
    assert server.messages == []
    assert all(line.upper().startswith("EHLO") for line in server.said)


async def test_starttls_before_the_password(tmp_path: Path) -> None:
    server_side, client_side = contexts(tmp_path)
    async with serving(MailServer(tls=server_side)) as server:
        assert await send(mail(server, loopback=False, ssl_context=client_side)) == ""
        assert await send(mail(server, loopback=False, ssl_context=ssl.create_default_context())) != ""
    assert len(server.messages) == 1
    kinds = [line.split(" ")[0].upper() for line in server.said]
    assert kinds.index("STARTTLS") < kinds.index("AUTH")


@pytest.mark.parametrize(("refuse", "problem"), [("AUTH", "SMTPAuthenticationError"), ("MAIL", "SMTPSenderRefused")])
async def test_what_the_server_refuses_is_told_in_one_word(
    refuse: str, problem: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with serving(MailServer(refuse=refuse)) as server:
        assert await send(mail(server)) == problem
    assert PASSWORD not in caplog.text


async def test_all_recipients_refused() -> None:
    async with serving(MailServer(refuse="RCPT")) as server:
        assert await send(mail(server)) == "SMTPRecipientsRefused"


async def test_one_wrong_address_does_not_bring_the_mail_to_the_others_again(caplog: pytest.LogCaptureFixture) -> None:
    async with serving(MailServer(refuse="RCPT TO:<OPS")) as server:
        assert await send(mail(server)) == ""
    assert len(server.messages) == 1
    assert "mail_partly_refused recipients=1 of=2" in caplog.text
    assert "ops@example.org" not in caplog.text


async def test_a_server_that_is_away() -> None:
    async with serving(MailServer()) as server:
        port = server.port
    assert await send(mail(server, url=Secret(f"smtp://127.0.0.1:{port}"))) == "ConnectionRefusedError"
