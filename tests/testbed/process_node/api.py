"""The API server, as a process node sees it: requests that are tried until they are answered, lists and watches."""

from __future__ import annotations

import asyncio
import copy
import json
import logging
import ssl
from collections.abc import AsyncIterator, Mapping
from typing import Any, Self

import aiohttp

Manifest = dict[str, Any]

STRATEGIC_MERGE = "application/strategic-merge-patch+json"
_TIMEOUT = aiohttp.ClientTimeout(total=30, connect=10)
# Bookmarks come each minute: longer silence is a dead connection.
_WATCH_TIMEOUT = aiohttp.ClientTimeout(total=None, connect=10, sock_read=90)
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 2.0

log = logging.getLogger(__name__)


class ApiError(Exception):
    """The API server said no. `code` is the HTTP status."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


class Api:
    """A session with the API server; use it in an `async with` statement."""

    def __init__(self, server: str, authority: str, token: str) -> None:
        self._server = server
        self._tls = ssl.create_default_context(cafile=authority)
        self._headers = {"Authorization": f"Bearer {token}"}
        self.connected = _open()

    def line(self) -> Self:
        """Another way to the same server, which can be cut for itself: while `connected` is not set its requests
        wait. It is open as long as this one is."""
        line = copy.copy(self)
        line.connected = _open()
        return line

    async def __aenter__(self) -> Self:
        connector = aiohttp.TCPConnector(ssl=self._tls, limit=100)
        self._session = aiohttp.ClientSession(self._server, connector=connector, headers=self._headers)
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._session.close()

    async def get(self, path: str, **query: str) -> Manifest:
        """Read one object or list. Raises ApiError."""
        return await self._request("GET", path, params=query)

    async def post(self, path: str, body: Manifest) -> Manifest:
        """Make an object. Raises ApiError, 409 also where an earlier try was not answered."""
        return await self._request("POST", path, body)

    async def patch(self, path: str, body: Manifest) -> Manifest:
        """Merge into an object, as kubelets do. Raises ApiError."""
        return await self._request("PATCH", path, body, content=STRATEGIC_MERGE)

    async def delete(self, path: str, *, uid: str, grace: int | None = None) -> None:
        """Delete this very object; done too if it is gone. Raises ApiError."""
        options: Manifest = {"preconditions": {"uid": uid}}
        if grace is not None:
            options["gracePeriodSeconds"] = grace
        try:
            await self._request("DELETE", path, options)
        except ApiError as error:
            if error.code not in (404, 409):  # 409: a namesake
                raise

    async def watch(self, path: str, version: str) -> AsyncIterator[Manifest]:
        """Events since a version, until the server closes. Raises ApiError, aiohttp.ClientError, TimeoutError."""
        query = {"watch": "1", "resourceVersion": version, "allowWatchBookmarks": "true", "timeoutSeconds": "300"}
        async with self._session.get(path, params=query, timeout=_WATCH_TIMEOUT) as reply:
            if reply.status != 200:
                raise ApiError(reply.status, await reply.text())
            buffer = b""  # objects may be longer than a line that aiohttp reads at once
            async for chunk in reply.content.iter_any():
                *lines, buffer = (buffer + chunk).split(b"\n")
                for line in lines:
                    yield json.loads(line)

    async def _request(
        self,
        method: str,
        path: str,
        body: Manifest | None = None,
        *,
        content: str = "application/json",
        params: Mapping[str, str] | None = None,
    ) -> Manifest:
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": content} if data else {}
        pause = _FIRST_PAUSE
        while True:
            await self.connected.wait()
            try:
                async with self._session.request(
                    method, path, data=data, headers=headers, params=params, timeout=_TIMEOUT
                ) as reply:
                    text = await reply.text()
                    if reply.status < 400:
                        answer: Manifest = json.loads(text)
                        return answer
                    if reply.status < 500 and reply.status != 429:
                        raise ApiError(reply.status, _message(text))
                    failure = f"{reply.status} {_message(text)}"
            except (aiohttp.ClientError, TimeoutError) as error:
                failure = repr(error)
            log.warning("%s %s: %s; tried again in %.1f s", method, path, failure, pause)
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)


def _open() -> asyncio.Event:
    event = asyncio.Event()
    event.set()
    return event


def _message(text: str) -> str:
    try:
        return str(json.loads(text)["message"])
    except (ValueError, KeyError, TypeError):  # not a Status object
        return text
