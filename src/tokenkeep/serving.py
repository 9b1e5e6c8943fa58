"""Serving: the HTTP server around a house, and how it ends.

Owns: uvicorn's settings, signals, and what is printed for a newcomer. Does not own: assembly (`main`).

On the first SIGTERM or SIGINT the house stops taking on work at once, while requests that run are answered and refreshes
end. A second one waits for nobody: what providers answered and the database has not taken yet goes to the spill shelf, and
the process ends with 75, or with 74 if something did not get there.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import uvicorn

from tokenkeep import __version__
from tokenkeep.core.errors import Unavailable
from tokenkeep.house import House
from tokenkeep.main import application, open_house
from tokenkeep.settings import Settings, is_loopback

REQUEST_GRACE_S = 20
"""Longer than a caller waits for a refresh (15 s), so a stop cuts nobody off."""
SPILL_S = 5
"""How long spilling may take after a second signal: whoever sends one will not wait for long."""
_log = logging.getLogger(__name__)


class Server(uvicorn.Server):
    """Leaves signals to `Stopping`, which listens until the process ends, and not only while connections are served."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture none."""
        yield

    def stop(self) -> None:
        """Answer what runs, then return from `serve`."""
        self.should_exit = True


class Stopping:
    """The two signals: the first tells the house and then `further`, the second ends the process."""

    def __init__(self, house: House, further: Callable[[], None]) -> None:
        self._house = house
        self._further = further
        self._told_once = False
        self._ending: asyncio.Task[None] | None = None

    def listen(self) -> None:
        """From now on, on the running loop."""
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, self._told)

    def _told(self) -> None:
        if not self._told_once:
            self._told_once = True
            self._house.quiesce()
            self._further()
        elif self._ending is None:
            self._ending = asyncio.create_task(self._end())

    async def _end(self) -> None:
        lost = True
        try:
            async with asyncio.timeout(SPILL_S):
                lost = bool(await self._house.cases.keeping.spill_held())
        finally:  # whatever happened: an end was asked for
            _log.warning("ended_by_second_signal all_kept=%s", not lost)
            self._house.access_log.flush()
            os._exit(os.EX_IOERR if lost else os.EX_TEMPFAIL)


async def serve(settings: Settings) -> None:
    """Run until told to stop. Raises Misconfigured, KeyRefused, ProviderFileInvalid before it listens."""
    house = await open_house(settings)
    try:
        server = Server(_config(settings, house))
        Stopping(house, server.stop).listen()
        await house.start()
        # What is loaded by now stays for good; looking through it for garbage would stop every answer for 90 ms.
        gc.freeze()
        greeting = asyncio.create_task(_greet(server, house))
        await server.serve()
        await greeting
    finally:
        await house.stop()


async def refresh_loop(settings: Settings) -> None:
    """Only the refresher, for those who keep it apart from the web. Runs until told to stop."""
    house = await open_house(settings)
    told = asyncio.Event()
    try:
        Stopping(house, told.set).listen()
        await house.start()
        await told.wait()
    finally:
        await house.stop()


def _config(settings: Settings, house: House) -> uvicorn.Config:
    return uvicorn.Config(
        application(house).front,
        host=settings.host,
        port=settings.port,
        loop="uvloop",
        http="httptools",
        ws="none",
        lifespan="off",
        access_log=False,  # its lines would show codes and states (T68); ours do not
        log_config=None,
        server_header=False,
        date_header=True,
        proxy_headers=False,
        timeout_graceful_shutdown=REQUEST_GRACE_S,
        timeout_keep_alive=65,
        h11_max_incomplete_event_size=64 * 1024,
    )


async def _greet(server: Server, house: House) -> None:
    """Once it listens: where to go, how to get in, what to do next."""
    while not server.started:
        if server.should_exit:
            return
        await asyncio.sleep(0.02)
    settings = house.settings
    lines = [f"Tokenkeep {__version__} is ready at {settings.public_url}"]
    try:
        lines += await _way_in(house)
    except Unavailable as fault:
        lines += ["", f"There is no sign-in link now: {fault.message}"]
    if settings.demo:
        lines += ["", *_DEMO_STEPS]
    print("\n".join(lines), file=sys.stdout, flush=True)


async def _way_in(house: House) -> list[str]:
    """For whoever tries it out, or is the first. Raises Unavailable where nothing can be written."""
    settings, accounts = house.settings, house.cases.accounts
    if not settings.demo and (not is_loopback(settings.host) or await accounts.has_accounts()):
        return []
    link = await accounts.mint_link()
    return [
        "",
        "Sign in once with this link (valid for an hour):",
        f"  {settings.public_url}/sign-in/{link.reveal()}",
    ]


_DEMO_STEPS = (
    "Then:",
    "  1. On the first page choose the Demo account and click Connect.",
    "  2. Watch its token being kept fresh on the page Status: it lives for 60 seconds.",
    "  3. Make a service key:  tokenkeep keys create --name curl --scopes tokens:read",
    "     and fetch the token as a node would, with the command on the credential's page.",
    "",
    "DEMO MODE: the demo provider is not real and lets anybody in. Do not make this address reachable for others.",
)
