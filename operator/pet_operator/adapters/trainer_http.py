"""The launchers' `/status` over HTTP."""

from __future__ import annotations

import json

import aiohttp

from pet_operator.runtime.ports import Manifest

_TIMEOUT = aiohttp.ClientTimeout(total=2)
_LARGEST_BYTES = 1024 * 1024


class TrainerHttp:
    """Implements `runtime.ports.TrainerClient`. Use it in an `async with` statement."""

    def __init__(self, trace: aiohttp.TraceConfig | None = None) -> None:
        # Pods come and go: a connection that is kept would be to one that is gone.
        connector = aiohttp.TCPConnector(force_close=True, limit=0)
        traces = [trace] if trace is not None else None
        self._session = aiohttp.ClientSession(timeout=_TIMEOUT, connector=connector, trace_configs=traces)

    async def __aenter__(self) -> TrainerHttp:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._session.close()

    async def status(self, address: str, port: int) -> Manifest:
        """The document. Raises OSError if there is none, ValueError if it is not one."""
        host = f"[{address}]" if ":" in address else address
        try:
            async with self._session.get(f"http://{host}:{port}/status") as response:
                response.raise_for_status()
                document = json.loads(await _body(response))
        except aiohttp.ClientError as error:
            raise ConnectionError(str(error)) from error
        except RecursionError as error:
            raise ValueError(f"{host}:{port} answered with nothing but brackets") from error
        if not isinstance(document, dict) or document.get("schema") != 1:
            raise ValueError(f"{host}:{port} answered with something that is no status of schema 1")
        return document


async def _body(response: aiohttp.ClientResponse) -> bytes:
    """All of it, in as many pieces as it comes; no pod may fill the operator's memory."""
    body = b""
    async for piece in response.content.iter_any():
        body += piece
        if len(body) > _LARGEST_BYTES:
            raise ValueError(f"{response.url} answered with more than {_LARGEST_BYTES} bytes")
    return body
