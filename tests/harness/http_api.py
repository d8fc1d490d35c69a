"""An API server in memory over plain HTTP: what it holds is `MemoryApi`, how it misbehaves is `api_faults`.

It proves faults, never semantics: those are tried on a real one in `tests/integration`.
"""

from __future__ import annotations

import asyncio
import copy
import json
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from harness.api_faults import Asked, Cut, Faults, Stream, gone_event, whole
from harness.memory_api import MemoryApi, Object
from pet_operator.adapters.leader import LEASE
from pet_operator.domain.constants import CLAIM, CONFIG_MAP, EVENT, GROUP, JOB, NODE, POD, SERVICE, Kind
from pet_operator.runtime.ports import ApiError, Key

_KINDS = {kind.plural: kind for kind in (JOB, POD, SERVICE, CONFIG_MAP, CLAIM, EVENT, NODE, LEASE)}
_VERBS = {"POST": "create", "PUT": "replace", "DELETE": "delete", "PATCH": "apply"}
_BOOKMARK_SECONDS = 0.5
_PAGE = 3  # objects, so that lists come in several pages


@dataclass(frozen=True)
class Place:
    """What a path names; `name` is empty for a collection."""

    kind: Kind
    key: Key

    @classmethod
    def of(cls, path: str) -> Place:
        """Raises KeyError where nothing is."""
        words = path.strip("/").split("/")[2 if path.startswith("/api/") else 3 :]
        namespace = words[1] if words[0] == "namespaces" and len(words) > 2 else ""
        plural, name, *_ = [*(words[2:] if namespace else words), ""]
        return cls(_KINDS[plural], Key(namespace, name))

    def holds(self, manifest: Object) -> bool:
        """Whether an object of the kind is in this collection."""
        return self.key.namespace in ("", manifest["metadata"]["namespace"])


class HttpApi:
    """Serves `api` while it is `run`. Whatever is written there, by whomever, is told to those who watch."""

    def __init__(self, api: MemoryApi, faults: Faults) -> None:
        self.requests: Counter[str] = Counter()  # verb and plural → how many
        self.read: set[str] = set()  # the paths that were listed or watched
        self._api = api
        self._faults = faults
        self._history: list[tuple[str, Kind, Object]] = []
        self._forgotten = api.version
        self._news = asyncio.Event()
        self._watches = 0  # of this age
        self._lists: dict[str, list[Object]] = {}  # those of which a page was asked for, by their tokens
        told = api.told

        def tell(type_: str, kind: Kind, manifest: Object) -> None:
            self._history.append((type_, kind, copy.deepcopy(manifest)))
            self._wake()
            told(type_, kind, manifest)

        api.told = tell

    def compact(self) -> None:
        """Forget what was: whoever wants to go on from there must list again."""
        self._history.clear()
        self._forgotten = self._api.version

    def cut_watches(self) -> None:
        """Close those that are there; each is begun again."""
        self._watches += 1
        self._wake()

    async def start(self) -> tuple[web.AppRunner, str]:
        """Returns what is to be cleaned up, and the address."""
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._answer)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        return runner, f"http://127.0.0.1:{runner.addresses[0][1]}"

    def _wake(self) -> None:
        self._news.set()
        self._news = asyncio.Event()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        asked = _asked(request)
        self.requests[f"{asked.verb} {asked.plural}"] += 1
        if asked.verb in ("list", "watch"):
            self.read.add(request.path)
        content = await request.read()  # before anything else: a client that gives up has asked all the same
        fault = self._faults.meets(asked)
        if fault is not None:
            await asyncio.sleep(fault.delay)
            if request.transport is None or request.transport.is_closing():
                return web.Response()  # nobody waits any more, so it is cancelled
            if fault.status:
                return _refusal(ApiError(fault.status, fault.reason, "injected"), fault.headers)
        try:
            if asked.verb == "watch":
                return await self._watch(request, fault.stream if fault is not None else whole)
            answer = await self._done(asked, request, json.loads(content or "{}"))
        except ApiError as error:
            return _refusal(error)
        if fault is not None and fault.loses_answer:
            _hang_up(request)
        return web.json_response(answer)

    async def _done(self, asked: Asked, request: web.Request, body: Object) -> Any:
        if asked.verb == "discover":
            return _discovery(request.path)
        place = Place.of(request.path)
        if asked.verb == "create":
            return await self._api.create(place.kind, body)
        if asked.verb == "delete":
            how = {"uid": body["preconditions"]["uid"], "grace": body.get("gracePeriodSeconds")}
            gone = await self._api.delete(place.kind, place.key, **how)
            return gone or {"kind": "Status", "status": "Success"}
        if asked.verb == "apply":
            metadata = body["metadata"]
            precondition = {"uid": metadata["uid"], "resource_version": metadata["resourceVersion"]}
            return await self._api.apply_status(place.key, body["status"], **precondition)
        if asked.verb == "list":
            return await self._page(place, request.query)
        found = await self._api.get(place.kind, place.key)
        if found is None:
            raise ApiError(404, "NotFound", f'{place.kind.plural} "{place.key.name}" not found')
        if asked.verb == "get":
            return found
        if found["metadata"]["resourceVersion"] != body["metadata"]["resourceVersion"]:
            raise ApiError(409, "Conflict", "the object has been modified")
        return self._api.put(place.kind, body)

    async def _page(self, place: Place, query: Mapping[str, str]) -> Object:
        """All pages of a list are of one moment."""
        kind = place.kind
        if (token := query.get("continue", "")) not in self._lists:
            listing = await self._api.list(kind, "")
            token = f"{kind.plural} {listing.resource_version} 0"
            self._lists[token] = [each for each in listing.items if place.holds(each)]
        items, (_, version, first) = self._lists.pop(token), token.split()
        after = int(first) + min(_PAGE, int(query.get("limit", _PAGE)))
        metadata = {"resourceVersion": version}
        if after < len(items):
            metadata["continue"] = f"{kind.plural} {version} {after}"
            self._lists[metadata["continue"]] = items
        return {
            "kind": f"{kind.kind}List",
            "apiVersion": kind.api_version,
            "metadata": metadata,
            "items": items[int(first) : after],
        }

    async def _watch(self, request: web.Request, stream: Stream) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        place, since = Place.of(request.path), int(request.query["resourceVersion"])
        with suppress(ConnectionError):  # nobody listens any more
            await response.prepare(request)
            try:
                async for event in stream(self._events(place, since)):
                    await response.write(json.dumps(event).encode() + b"\n")
            except Cut:
                await response.write(b'{"type":"MODIFIED","object":{"metad')
                _hang_up(request)
        return response

    async def _events(self, place: Place, since: int) -> AsyncIterator[Object]:
        """Everything after this version, then bookmarks while nothing happens."""
        if since < self._forgotten:
            yield gone_event()
            return
        age = self._watches
        while age == self._watches:
            news, version = self._news, self._api.version
            for type_, its, manifest in list(self._history):
                if (
                    place.holds(manifest)
                    and its is place.kind
                    and since < int(manifest["metadata"]["resourceVersion"]) <= version
                ):
                    yield {"type": type_, "object": manifest}
            since = version
            try:
                async with asyncio.timeout(_BOOKMARK_SECONDS):
                    await news.wait()
            except TimeoutError:
                yield {
                    "type": "BOOKMARK",
                    "object": {"kind": place.kind.kind, "metadata": {"resourceVersion": str(since)}},
                }


def _asked(request: web.Request) -> Asked:
    try:
        place = Place.of(request.path)
    except (KeyError, IndexError):
        return Asked("discover", "")
    if request.method != "GET":
        return Asked(_VERBS[request.method], place.kind.plural)
    verb = "get" if place.key.name else "watch" if "watch" in request.query else "list"
    return Asked(verb, place.kind.plural)


def _discovery(path: str) -> Object:
    """What there is, as kopf asks for it; the namespace by which the operator knows the cluster is the only one."""
    if path == "/api":
        return {"versions": ["v1"]}
    if path == "/apis":
        version = {"version": "v1", "groupVersion": f"{GROUP}/v1"}
        return {"groups": [{"name": GROUP, "versions": [version], "preferredVersion": version}]}
    if path.startswith("/api/v1/namespaces/"):
        return {"metadata": {"name": path.rpartition("/")[2], "uid": "uid-of-kube-system"}}
    verbs = ["get", "list", "watch"]
    kinds = [(JOB.kind, JOB.plural, True)] if GROUP in path else [("Namespace", "namespaces", False)]
    resources = [
        {"kind": kind, "name": plural, "singularName": kind.lower(), "namespaced": namespaced, "verbs": verbs}
        for kind, plural, namespaced in kinds
    ]
    return {"kind": "APIResourceList", "resources": resources}


def _refusal(error: ApiError, headers: Mapping[str, str] | None = None) -> web.Response:
    content = {"kind": "Status", "code": error.status, "reason": error.reason, "message": error.message}
    return web.json_response(content, status=error.status, headers=headers)


def _hang_up(request: web.Request) -> None:
    if request.transport is not None:
        request.transport.close()
