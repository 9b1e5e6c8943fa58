"""The only way out: guarded, bounded, and never an exception for what the network does."""

from __future__ import annotations

import asyncio
import gzip
import ssl
from contextlib import asynccontextmanager

import httpcore2
import httpx2
import pytest
import respx

from tests.adapters import httpcore2_mocker  # noqa: F401 - registers itself
from tests.kit.certificates import self_signed
from tests.kit.clock import FakeClock
from tokenkeep.adapters.egress import Egress
from tokenkeep.adapters.outbound import (
    AddressRefused,
    Limits,
    Outbound,
    VettedTransport,
    VettingBackend,
    trusted_roots,
)

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}"
LOOPBACK = ("127.0.0.1",)


class Peer:
    """A raw server on loopback: what it answers, how many connections came, what it received."""

    def __init__(self, answer=OK, *, hang_up=False, wait=None):
        self.answer, self.hang_up, self.wait = answer, hang_up, wait
        self.connections = 0
        self.received = []
        self.at_once = self.most_at_once = 0
        self.url = ""

    async def handle(self, reader, writer):
        self.connections += 1
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                size = next((int(line[15:]) for line in head.split(b"\r\n") if line.startswith(b"content-length:")), 0)
                self.received.append(head + await reader.readexactly(size))
                self.at_once += 1
                self.most_at_once = max(self.most_at_once, self.at_once)
                if self.wait is not None:
                    await self.wait.wait()
                self.at_once -= 1
                if not self.hang_up:
                    writer.write(self.answer)
                    await writer.drain()
                if self.hang_up or b"connection: close" in head:
                    break
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def listening(peer, *, tls=None):
    server = await asyncio.start_server(peer.handle, "127.0.0.1", 0, ssl=tls)
    peer.port = server.sockets[0].getsockname()[1]
    peer.url = f"http://127.0.0.1:{peer.port}/token"
    try:
        yield peer
    finally:
        server.close()
        if peer.wait is not None:
            peer.wait.set()
        await asyncio.sleep(0)


@asynccontextmanager
async def outbound(**parts):
    parts = {"allow": LOOPBACK} | parts
    out = Outbound(FakeClock(), **parts)
    try:
        yield out
    finally:
        await out.close()


async def sent(peer, *, fresh=False, limits=None, content=b"a=b"):
    async with outbound(limits=limits or Limits()) as out:
        return await out.send(
            "POST", peer.url, headers={"X-Thing": "1", "Host": "evil.test"}, content=content, fresh=fresh
        )


async def test_an_answer_arrives_with_its_status_headers_and_body():
    answer = (
        b"HTTP/1.1 429 Too Many\r\nRetry-After: 7\r\nSet-Cookie: s=1\r\nLocation: /x\r\ncontent-length: 2\r\n\r\n{}"
    )
    async with listening(Peer(answer)) as peer:
        told = await sent(peer)
    assert (told.status, told.fault, told.body.reveal()) == (429, "", "{}")
    assert told.headers == {"retry-after": "7", "content-length": "2"}
    request = peer.received[0]
    assert request.startswith(b"POST /token HTTP/1.1\r\n")
    assert request.endswith(b"\r\n\r\na=b")
    for line in (b"x-thing: 1", b"content-length: 3", b"user-agent: tokenkeep/", b"host: 127.0.0.1:"):
        assert line in request.lower()


async def test_a_redirect_is_not_followed():
    answer = b"HTTP/1.1 307 Temporary Redirect\r\nlocation: http://127.0.0.1:1/x\r\ncontent-length: 0\r\n\r\n"
    async with listening(Peer(answer)) as peer:
        assert (await sent(peer)).status == 307
    assert len(peer.received) == 1


async def test_connections_are_kept_unless_a_fresh_one_is_asked_for():
    async with listening(Peer()) as peer, outbound() as out:
        for _ in range(3):
            await out.send("POST", peer.url, headers={})
        assert peer.connections == 1
        for _ in range(3):
            await out.send("POST", peer.url, headers={}, fresh=True)
        assert peer.connections == 4


async def test_a_closed_port_is_not_sent():
    async with listening(Peer()) as peer:
        pass
    assert (await sent(peer)).fault == "not_sent"


@pytest.mark.parametrize(
    "peer",
    [
        Peer(hang_up=True),
        Peer(b"HTTP/1.1 200 OK\r\ncontent-length: 900\r\n\r\n{", hang_up=False),
        Peer(b"this is not HTTP\r\n\r\n"),
    ],
    ids=["reset", "cut short", "another protocol"],
)
async def test_trouble_after_sending_is_lost(peer):
    async with listening(peer):
        told = await sent(peer, fresh=True, limits=Limits(total_s=1))
    assert (told.status, told.fault) == (0, "lost")


async def test_no_answer_in_time_is_lost():
    async with listening(Peer(wait=asyncio.Event())) as peer:
        assert (await sent(peer, limits=Limits(total_s=0.2))).fault == "lost"


async def test_no_free_slot_in_time_is_not_sent():
    async with listening(Peer()) as peer, outbound(limits=Limits(total_s=0.1, concurrency=1)) as out:
        await out._slots.acquire()
        assert (await out.send("POST", peer.url, headers={})).fault == "not_sent"
    assert peer.received == []


async def test_so_many_requests_at_a_time_and_no_more():
    async with listening(Peer(wait=asyncio.Event())) as peer, outbound(limits=Limits(concurrency=3)) as out:
        tasks = [asyncio.create_task(out.send("POST", peer.url, headers={})) for _ in range(8)]
        await asyncio.sleep(0.2)
        assert peer.most_at_once == 3
        peer.wait.set()
        assert {told.status for told in await asyncio.gather(*tasks)} == {200}


def answer_of(body, *, encoding=""):
    extra = f"content-encoding: {encoding}\r\n".encode() if encoding else b""
    return b"HTTP/1.1 200 OK\r\n" + extra + b"content-length: %d\r\n\r\n" % len(body) + body


async def test_a_compressed_answer_is_unfolded():
    async with listening(Peer(answer_of(gzip.compress(b'{"a": 1}'), encoding="gzip"))) as peer:
        assert (await sent(peer)).body.reveal() == '{"a": 1}'


@pytest.mark.parametrize(
    "answer",
    [
        answer_of(b"x" * 1_000_001),
        answer_of(gzip.compress(b"0" * 50_000_000), encoding="gzip"),
        answer_of(b"zz", encoding="gzip"),
    ],
    ids=["large", "gzip bomb", "no gzip at all"],
)
async def test_an_answer_no_honest_provider_gives_is_lost(answer):
    async with listening(Peer(answer)) as peer:
        told = await sent(peer)
    assert (told.status, told.fault) == (0, "lost")


@pytest.mark.parametrize(
    "url",
    [
        "https://127.0.0.1/token",
        "https://[::1]/token",
        "https://[::ffff:127.0.0.1]/token",
        "https://[64:ff9b::a9fe:a9fe]/token",
        "https://169.254.169.254/latest",
        "https://2130706433/",
        "https://0x7f.1/",
        "https://127.1/",
        "https://localhost/token",
        "http://127.0.0.1/token",
        "http://localhost/token",
        "http://example.com/token",
        "ftp://example.com/",
        "file:///etc/passwd",
        "https://user:password@example.com/",
        "https:///token",
        "token",
        "",
    ],
)
async def test_an_address_that_may_not_be_reached_is_refused(url):
    async with outbound(allow=()) as out:
        told = await out.send("POST", url, headers={})
    assert (told.status, told.fault) == (0, "refused")


async def test_plain_http_beyond_this_machine_is_refused_even_when_let_through():
    async with outbound(allow=("10.0.0.0/8", "git.internal")) as out:
        assert (await out.send("GET", "http://10.0.0.1/", headers={})).fault == "refused"
        assert (await out.send("GET", "http://git.internal/", headers={})).fault == "refused"


class Dialled(httpcore2.AsyncNetworkBackend):
    """Notes where a connection would have gone."""

    def __init__(self, dead=()):
        self.addresses, self.dead = [], dead

    async def connect_tcp(self, host, port, timeout=None, local_address=None, socket_options=None):
        self.addresses.append(host)
        if host in self.dead:
            raise httpcore2.ConnectError("dead")
        return httpcore2.AsyncNetworkStream()


def resolving(*answers):
    """A name server whose answer changes each time: DNS rebinding."""
    left = list(answers)

    async def resolve(host, port):
        return left.pop(0)

    return resolve


async def test_the_connection_goes_to_the_address_that_was_vetted():
    dialled = Dialled()
    backend = VettingBackend(Egress(), resolve=resolving(["8.8.8.8"], ["127.0.0.1"]), inner=dialled)
    await backend.connect_tcp("rebind.example", 443)
    assert dialled.addresses == ["8.8.8.8"]


async def test_one_bad_address_among_good_ones_refuses_the_name():
    dialled = Dialled()
    backend = VettingBackend(Egress(), resolve=resolving(["8.8.8.8", "10.0.0.1"]), inner=dialled)
    with pytest.raises(AddressRefused):
        await backend.connect_tcp("mixed.example", 443)
    assert dialled.addresses == []


async def test_the_next_address_is_tried_when_one_is_dead():
    dialled = Dialled(dead=("2606:4700::1",))
    backend = VettingBackend(Egress(), resolve=resolving(["2606:4700::1", "8.8.8.8"]), inner=dialled)
    await backend.connect_tcp("two.example", 443)
    assert dialled.addresses == ["2606:4700::1", "8.8.8.8"]


async def test_a_name_without_addresses_or_with_dead_ones_only_does_not_connect():
    for answers, dead in (([], ()), (["8.8.8.8"], ("8.8.8.8",))):
        backend = VettingBackend(Egress(), resolve=resolving(answers), inner=Dialled(dead))
        with pytest.raises(httpcore2.ConnectError):
            await backend.connect_tcp("none.example", 443)


async def test_an_unknown_name_is_not_sent():
    async def resolve(host, port):
        raise OSError("no such name")

    transport = VettedTransport(Egress(), ssl_context=ssl.create_default_context(), keep_alive=False, resolve=resolve)
    async with outbound(transport=transport) as out:
        assert (await out.send("POST", "https://gone.example/", headers={}, content=b"x")).fault == "not_sent"


def certificate(name, folder):
    """A self-signed certificate for one name: (server context, client context that trusts it)."""
    server, chain = self_signed(name, folder)
    return server, ssl.create_default_context(cafile=str(chain))


async def over_tls(name, tmp_path):
    server, client = certificate("provider.test", tmp_path)

    async def resolve(host, port):
        return ["127.0.0.1"]

    transport = VettedTransport(Egress(LOOPBACK), ssl_context=client, keep_alive=False, resolve=resolve)
    async with listening(Peer(), tls=server) as peer, outbound(transport=transport) as out:
        return peer, await out.send("POST", f"https://{name}:{peer.port}/token", headers={}, content=b"x")


async def test_the_name_stays_in_tls_and_host_although_the_address_is_dialled(tmp_path):
    peer, told = await over_tls("provider.test", tmp_path)
    assert told.status == 200
    assert f"host: provider.test:{peer.port}".encode() in peer.received[0].lower()


@pytest.mark.parametrize("trusted", [True, False])
async def test_a_certificate_of_ones_own_is_trusted_where_it_is_named(trusted, tmp_path):
    server, _ = certificate("provider.test", tmp_path)

    async def resolve(host, port):
        return ["127.0.0.1"]

    context = trusted_roots(tmp_path / "cert.pem") if trusted else trusted_roots()
    transport = VettedTransport(Egress(LOOPBACK), ssl_context=context, keep_alive=False, resolve=resolve)
    async with listening(Peer(), tls=server) as peer, outbound(transport=transport) as out:
        told = await out.send("POST", f"https://provider.test:{peer.port}/token", headers={}, content=b"x")
    assert (told.status == 200, told.fault) == (trusted, "" if trusted else "not_sent")


async def test_a_certificate_for_another_name_is_not_sent(tmp_path):
    peer, told = await over_tls("other.test", tmp_path)
    assert (told.fault, peer.received) == ("not_sent", [])


async def test_proxies_from_the_environment_are_ignored(monkeypatch):
    async with listening(Peer()) as proxy, listening(Peer()) as peer:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        assert (await sent(peer)).status == 200
    assert (proxy.connections, peer.connections) == (0, 1)


@pytest.mark.parametrize(
    ("headers", "fault"),
    [({"X-Bad": "a\r\nX-Evil: 1"}, "not_sent"), ({"X Bad": "1"}, "not_sent"), ({"Authorization": "Bearer ü"}, "")],
)
async def test_a_header_that_cannot_be_sent_is_an_answer_not_an_exception(headers, fault):
    async with listening(Peer()) as peer, outbound() as out:
        assert (await out.send("GET", peer.url, headers=headers)).fault == fault
    assert not any(b"x-evil" in request.lower() for request in peer.received)


@pytest.mark.parametrize(
    ("trouble", "fault"),
    [
        (httpx2.ConnectTimeout("t"), "not_sent"),
        (httpx2.PoolTimeout("t"), "not_sent"),
        (httpx2.ReadTimeout("t"), "lost"),
        (httpx2.ReadError("t"), "lost"),
        (httpx2.RemoteProtocolError("t"), "lost"),
    ],
)
async def test_each_kind_of_trouble_says_how_far_the_request_got(trouble, fault):
    with respx.mock(using="httpcore2") as router:
        router.post("https://provider.test/token").mock(side_effect=trouble)
        async with outbound() as out:
            assert (await out.send("POST", "https://provider.test/token", headers={}, content=b"x")).fault == fault


async def test_a_cancelled_request_stays_cancelled():
    async with listening(Peer(wait=asyncio.Event())) as peer, outbound() as out:
        task = asyncio.create_task(out.send("POST", peer.url, headers={}))
        await asyncio.sleep(0.1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_the_body_is_not_shown_by_the_answer():
    async with listening(Peer(answer_of(b'{"access_token": "AT-1"}'))) as peer:
        assert "AT-1" not in repr(await sent(peer))
