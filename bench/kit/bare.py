"""What the token read is compared with: one bare Starlette route that answers the same JSON, on the same server settings.

Owns: that application. Does not own: measuring it (`bench/token_read.py`). Run as `python -m bench.kit.bare PORT`.
"""

from __future__ import annotations

import sys

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

TOKEN = "access-0-".ljust(200, "a")


async def token(request: Request) -> JSONResponse:
    """As many octets as a real token answer."""
    _ = request.path_params["credential_id"]
    return JSONResponse(
        {
            "access_token": TOKEN,
            "token_type": "Bearer",
            "expires_at": "2030-01-01T00:00:00Z",
            "scope": "notes.read notes.write profile",
            "fingerprint": "q83vEjRWeJA",
            "state": "connected",
        }
    )


async def ready(_: Request) -> JSONResponse:
    return JSONResponse({"status": "ok"})


app = Starlette(routes=[Route("/v1/credentials/{credential_id}/token", token), Route("/readyz", ready)])

if __name__ == "__main__":
    uvicorn.run(
        app,
        host="127.0.0.1",
        port=int(sys.argv[1]),
        loop="uvloop",
        http="httptools",
        ws="none",
        lifespan="off",
        access_log=False,
        log_config=None,
        server_header=False,
        date_header=True,
        proxy_headers=False,
        timeout_keep_alive=65,
    )
