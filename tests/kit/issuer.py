"""A service that gives tokens to whoever proves itself, without anybody's consent."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

import httpx2


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One request, read back."""

    method: str
    url: str
    headers: Mapping[str, str]
    params: Mapping[str, Any]
    content: str


@dataclass
class Issuer:
    """Remembers what it is asked, and answers with numbered tokens; first with what was put into `instead`.

    `document` makes the body of an answer from the token's number.
    """

    journal: list[Asked] = field(default_factory=list)
    instead: list[tuple[int, Mapping[str, Any]]] = field(default_factory=list)
    status: int = 200
    life_s: int | None = 3600
    issued: int = 0

    def document(self, number: int) -> Mapping[str, Any]:
        life = {} if self.life_s is None else {"expires_in": self.life_s}
        return {"access_token": f"minted-{number}", "token_type": "bearer"} | life

    def transport(self) -> httpx2.MockTransport:
        return httpx2.MockTransport(self.handle)

    def handle(self, request: httpx2.Request) -> httpx2.Response:
        body = request.content.decode()
        as_json = request.headers.get("content-type", "").startswith("application/json")
        params = json.loads(body or "{}") if as_json else dict(parse_qsl(body, keep_blank_values=True))
        self.journal.append(
            Asked(
                method=request.method,
                url=str(request.url),
                headers=dict(request.headers),
                params=params,
                content=body,
            )
        )
        if self.instead:
            status, document = self.instead.pop(0)
            return httpx2.Response(status, json=document)
        self.issued += 1
        return httpx2.Response(self.status, json=self.document(self.issued))
