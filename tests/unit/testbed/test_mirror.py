"""A mirror tells of every change, those too that no event told of."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestServer
from testbed.pki import Authority
from testbed.process_node.api import Api, Manifest
from testbed.process_node.mirror import Mirror


def item(name: str, version: int) -> Manifest:
    return {"metadata": {"uid": name, "name": name, "resourceVersion": str(version)}}


def event(kind: str, name: str, version: int) -> Manifest:
    return {"type": kind, "object": item(name, version)}


EXPIRED = {"type": "ERROR", "object": {"kind": "Status", "code": 410, "message": "too old"}}


class Script:
    """An API server that plays its part once: lists in order, and for each of them watches in order."""

    def __init__(self, lists: list[tuple[int, list[Manifest]]], watches: dict[str, list[Manifest]]) -> None:
        self.lists = lists
        self.watches = watches
        self.played = asyncio.Event()

    async def answer(self, request: web.Request) -> web.StreamResponse:
        if "watch" not in request.query:
            version, items = self.lists.pop(0)
            return web.json_response(
                {"apiVersion": "v1", "kind": "PodList", "metadata": {"resourceVersion": str(version)}, "items": items}
            )
        reply = web.StreamResponse()
        await reply.prepare(request)
        events = self.watches.pop(request.query["resourceVersion"])
        await reply.write("".join(json.dumps(each) + "\n" for each in events).encode())
        if not self.watches:
            self.played.set()
            await asyncio.sleep(3600)  # until the client leaves
        return reply


def told(folder: Path, lists: list[tuple[int, list[Manifest]]], watches: dict[str, list[Manifest]]) -> list[Any]:
    """The changes in order, and then what the mirror holds."""
    changes: list[Any] = []

    async def play() -> None:
        script = Script(lists, watches)
        application = web.Application()
        application.router.add_get("/pods", script.answer)
        authority = str(Authority(folder).certificate_file)
        async with TestServer(application) as server, Api(str(server.make_url("/")), authority, "token") as api:
            mirror = Mirror(
                api, "/pods", lambda uid, found: changes.append((uid, found and found["metadata"]["resourceVersion"]))
            )
            running = asyncio.create_task(mirror.run())
            await script.played.wait()
            while changes[-1:] != [("last", "99")]:
                await asyncio.sleep(0)
            running.cancel()
            changes.append(sorted(mirror.objects))

    asyncio.run(play())
    return changes


END = event("ADDED", "last", 99)


def test_an_ordinary_end_of_a_watch_goes_on_where_it_was(tmp_path: Path) -> None:
    watches = {
        "5": [event("ADDED", "b", 6), {"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": "9"}}}],
        "9": [event("MODIFIED", "a", 10), event("DELETED", "b", 11), END],
    }
    expected = [("a", "1"), ("b", "6"), ("a", "10"), ("b", None), ("last", "99"), ["a", "last"]]
    assert told(tmp_path, [(5, [item("a", 1)])], watches) == expected


def test_after_a_gap_what_is_gone_is_told_and_what_is_unchanged_is_not(tmp_path: Path) -> None:
    lists = [(5, [item("a", 1), item("b", 2), item("c", 3)]), (20, [item("b", 2), item("c", 15), item("d", 16)])]
    watches = {"5": [EXPIRED], "20": [END]}
    changes = told(tmp_path, lists, watches)
    assert changes[:3] == [("a", "1"), ("b", "2"), ("c", "3")]
    assert changes[3:] == [("a", None), ("c", "15"), ("d", "16"), ("last", "99"), ["b", "c", "d", "last"]]
