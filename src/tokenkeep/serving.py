"""Serving: the HTTP server around a house, and how it ends.

Owns: uvicorn's settings, signals, and what is printed for a newcomer. Does not own: assembly (`main`).

On the first SIGTERM or SIGINT the house stops taking on work at once, while requests that run are answered; a second one
ends the process without waiting for them.
"""

from __future__ import annotations

import asyncio
import gc
import signal
import sys
from types import FrameType

import uvicorn

from tokenkeep import __version__
from tokenkeep.main import House, application, open_house
from tokenkeep.settings import Settings, is_loopback

REQUEST_GRACE_S = 20
"""Longer than a caller waits for a refresh (15 s), so a stop cuts nobody off."""


class Server(uvicorn.Server):
    """Tells the house about a signal before it tells the connections."""

    def __init__(self, config: uvicorn.Config, house: House) -> None:
        super().__init__(config)
        self._house = house

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """On a signal: the house first, then the connections."""
        self._house.quiesce()
        super().handle_exit(sig, frame)
        # uvicorn raises the signal again at its end, so that a shell sees it; a drained stop is a success here.
        self._captured_signals.clear()


async def serve(settings: Settings) -> None:
    """Run until told to stop. Raises Misconfigured, KeyRefused, ProviderFileInvalid before it listens."""
    house = await open_house(settings)
    try:
        await house.start()
        # What is loaded by now stays for good; looking through it for garbage would stop every answer for 90 ms.
        gc.freeze()
        server = Server(_config(settings, house), house)
        greeting = asyncio.create_task(_greet(server, house))
        await server.serve()
        await greeting
    finally:
        await house.stop()


async def refresh_loop(settings: Settings) -> None:
    """Only the refresher, for those who keep it apart from the web. Runs until told to stop."""
    house = await open_house(settings)
    stopping = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    try:
        await house.start()
        await stopping.wait()
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
    if settings.demo or (is_loopback(settings.host) and not await house.cases.accounts.has_accounts()):
        link = await house.cases.accounts.mint_link()
        lines += [
            "",
            "Sign in once with this link (valid for an hour):",
            f"  {settings.public_url}/sign-in/{link.reveal()}",
        ]
    if settings.demo:
        lines += ["", *_DEMO_STEPS]
    print("\n".join(lines), file=sys.stdout, flush=True)


_DEMO_STEPS = (
    "Then:",
    "  1. On the first page choose the Demo account and click Connect.",
    "  2. Watch its token being kept fresh on the page Status: it lives for 60 seconds.",
    "  3. Make a service key:  tokenkeep keys create --name curl --scopes tokens:read",
    "     and fetch the token as a node would, with the command on the credential's page.",
    "",
    "DEMO MODE: the demo provider is not real and lets anybody in. Do not make this address reachable for others.",
)
