"""What `kubectl logs` asks of a kubelet: `/containerLogs/<namespace>/<pod>/<container>` over HTTPS."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path

from aiohttp import web

from testbed.process_node.launch import log_file
from testbed.process_node.mirror import Mirror
from testbed.process_node.node import HOST_ADDRESS

_POLL_SECONDS = 0.1
_BLOCK = 1 << 16
_KNOWN = {"follow", "tailLines", "limitBytes"}


class LogServer:
    """Serves the logs of all pods that are mirrored and have a folder in `folder`; the API server is its one client."""

    def __init__(self, pods: Mirror, folder: Path, certificate: str, key: str, authority: str) -> None:
        self._pods = pods
        self._folder = folder
        self._tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=authority)
        self._tls.verify_mode = ssl.CERT_REQUIRED
        self._tls.load_cert_chain(certificate, key)
        application = web.Application()
        application.router.add_get("/containerLogs/{namespace}/{pod}/{container}", self._logs)
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=0)

    async def start(self) -> int:
        """Listen on a free port; returns it."""
        await self._runner.setup()
        await web.TCPSite(self._runner, HOST_ADDRESS, 0, ssl_context=self._tls).start()
        return int(self._runner.addresses[0][1])

    async def stop(self) -> None:
        """Stop listening, and end what is being followed."""
        await self._runner.cleanup()

    async def _logs(self, request: web.Request) -> web.StreamResponse:
        query, container = request.query, request.match_info["container"]
        if unknown := query.keys() - _KNOWN:
            return web.Response(status=400, text=f"a process node's logs know no {', '.join(sorted(unknown))}")
        uid = self._uid(request.match_info["namespace"], request.match_info["pod"])
        file = log_file(self._folder, uid, container)
        if not file.is_file():
            return web.Response(status=400, text=f"container {container} is waiting to start")
        reply = web.StreamResponse(headers={"Content-Type": "text/plain"})
        await reply.prepare(request)
        left = int(query.get("limitBytes", 1 << 62))
        with file.open("rb") as log:
            if "tailLines" in query:
                log.seek(_last_lines(log.read(), int(query["tailLines"])))
            over = False
            while left and not over:
                over = "follow" not in query or self._over(uid, container) or _gone(request)
                while left and (block := log.read(min(left, _BLOCK))):  # after `over`: the end is read too
                    await reply.write(block)
                    left -= len(block)
                await asyncio.sleep(0 if over else _POLL_SECONDS)
        return reply

    def _uid(self, namespace: str, name: str) -> str:
        for uid, pod in self._pods.objects.items():
            if (pod["metadata"]["namespace"], pod["metadata"]["name"]) == (namespace, name):
                return uid
        raise web.HTTPNotFound(text=f"pod {name} is not here")

    def _over(self, uid: str, container: str) -> bool:
        """Whether nothing will be said any more."""
        status = (self._pods.objects.get(uid) or {}).get("status") or {}
        entries = [*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())]
        return not any(entry["name"] == container and "terminated" not in entry["state"] for entry in entries)


def _gone(request: web.Request) -> bool:
    return request.transport is None or request.transport.is_closing()


def _last_lines(log: bytes, number: int) -> int:
    """Where the last lines begin."""
    lines = log.splitlines(keepends=True)
    return sum(len(line) for line in lines[: max(0, len(lines) - number)])
