"""Lets respx see what httpx2 sends: `respx.mock(using="httpcore2")` after this module is imported."""

from __future__ import annotations

from typing import ClassVar

from respx.mocks import HTTPCoreMocker


class HTTPCore2Mocker(HTTPCoreMocker):
    """respx's own mocker, one library further. It registers itself under its name."""

    name = "httpcore2"
    targets: ClassVar[list[str]] = [target.replace("httpcore.", "httpcore2.") for target in HTTPCoreMocker.targets]
