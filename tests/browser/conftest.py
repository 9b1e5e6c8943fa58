"""A real Chromium, and the pages served on loopback over the same fakes as in `tests/web`."""

from __future__ import annotations

import shutil
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import uvicorn
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from tests.kit.lacking import lack
from tests.web import page_world
from tests.web.page_world import COOKIE, World, static_view, view

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome") or ""
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--no-first-run",
    "--disable-component-update",
    "--disable-sync",
]

Opener = Callable[..., Page]


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """One browser for the whole run; every test has a context of its own."""
    with sync_playwright() as playwright:
        own = playwright.chromium.executable_path  # a browser that playwright itself brought
        path = CHROMIUM or (own if Path(own).exists() else lack("Chromium", "no browser is installed"))
        browser = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def world() -> World:
    made = World()
    made.credentials.views = [view(), static_view()]
    return made


@pytest.fixture
def pages_url(world: World, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Where the pages are served while the test runs."""
    listener = socket.create_server(("127.0.0.1", 0))
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    monkeypatch.setattr(page_world, "ORIGIN", url)
    config = uvicorn.Config(world.app(public_url=url), log_level="warning", lifespan="off", timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield url
    server.should_exit = True
    thread.join(10)
    listener.close()


@pytest.fixture
def visit(chromium: Browser, pages_url: str) -> Iterator[Opener]:
    """Opens a path in a fresh context. At the end nothing may have been refused by a policy or failed in a script."""
    contexts: list[BrowserContext] = []
    complaints: list[str] = []

    def go(path: str, *, signed_in: bool = True, **options: object) -> Page:
        context = chromium.new_context(**options)  # type: ignore[arg-type]
        contexts.append(context)
        if signed_in:
            context.add_cookies([{"name": "tokenkeep-session", "value": COOKIE, "url": pages_url}])
        context.on("weberror", lambda error: complaints.append(str(error.error)))
        context.on("console", lambda said: complaints.append(said.text) if "Content Security" in said.text else None)
        page = context.new_page()
        page.goto(pages_url + path)
        return page

    yield go
    for context in contexts:
        context.close()
    assert complaints == []
