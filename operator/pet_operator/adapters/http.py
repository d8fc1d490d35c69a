"""The operator's HTTP port: `/healthz`, `/readyz` and `/metrics`."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

# Empty: all is well; else what is not.
Check = Callable[[], str]


@asynccontextmanager
async def serving(port: int, registry: CollectorRegistry, healthy: Check, ready: Check) -> AsyncIterator[int]:
    """Answer while the block runs; gives the port, which matters where 0 was asked for."""

    async def metrics(request: web.Request) -> web.Response:
        encode, content_type = choose_encoder(request.headers.get("Accept", ""))
        return web.Response(body=encode(registry), headers={"Content-Type": content_type})

    app = web.Application()
    app.add_routes(
        [
            web.get("/healthz", _page(healthy)),
            web.get("/readyz", _page(ready)),
            web.get("/metrics", metrics),
        ]
    )
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        listener = _listener(port)
        await web.SockSite(runner, listener).start()
        yield listener.getsockname()[1]
    finally:
        await runner.cleanup()


def _listener(port: int) -> socket.socket:
    """One socket for both families: with two, a free port that is asked for by 0 would be another one on each."""
    if socket.has_dualstack_ipv6():
        return socket.create_server(("", port), family=socket.AF_INET6, dualstack_ipv6=True)
    return socket.create_server(("", port))


def _page(check: Check) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def answer(_: web.Request) -> web.StreamResponse:
        fault = check()
        return web.Response(text=f"{fault or 'ok'}\n", status=503 if fault else 200)

    return answer
