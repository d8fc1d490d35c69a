"""A local copy of all objects of one kind, kept up to date by list and watch."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import aiohttp

from testbed.process_node.api import Api, ApiError, Manifest

_PAUSE_SECONDS = 0.5
_GONE = 410

log = logging.getLogger(__name__)


class Mirror:
    """`objects` by uid. `changed(uid, object)` is called after each change, with None for an object that is gone."""

    def __init__(self, api: Api, path: str, changed: Callable[[str, Manifest | None], None]) -> None:
        self.objects: dict[str, Manifest] = {}
        self.synced = asyncio.Event()
        self._api = api
        self._path = path
        self._changed = changed

    async def run(self) -> None:
        """List, then watch, for ever; list again whenever the server cannot go on from our version."""
        version = ""
        while True:
            try:
                if not version:
                    version = await self._list()
                    self.synced.set()
                async for event in self._api.watch(self._path, version):
                    version = self._apply(event)
            except ApiError as error:
                log.warning("watch of %s: %s; listed again", self._path, error)
                version = ""
                await asyncio.sleep(0 if error.code == _GONE else _PAUSE_SECONDS)
            except (aiohttp.ClientError, TimeoutError) as error:  # the version is still good
                log.warning("watch of %s: %r", self._path, error)
                await asyncio.sleep(_PAUSE_SECONDS)

    async def _list(self) -> str:
        answer = await self._api.get(self._path)
        # Items of a list have neither of these.
        names = {"apiVersion": answer["apiVersion"], "kind": answer["kind"].removesuffix("List")}
        present = {item["metadata"]["uid"]: {**names, **item} for item in answer["items"]}
        for uid in self.objects.keys() - present.keys():  # no event ever told of these
            del self.objects[uid]
            self._changed(uid, None)
        for uid, item in present.items():
            if _version(item) != _version(self.objects.get(uid)):
                self.objects[uid] = item
                self._changed(uid, item)
        return str(answer["metadata"]["resourceVersion"])

    def _apply(self, event: Manifest) -> str:
        kind, item = event["type"], event["object"]
        if kind == "ERROR":
            raise ApiError(item.get("code", 500), item.get("message", "the watch failed"))
        if kind != "BOOKMARK":
            uid = item["metadata"]["uid"]
            if kind == "DELETED":
                self.objects.pop(uid, None)
                self._changed(uid, None)
            else:
                self.objects[uid] = item
                self._changed(uid, item)
        return str(item["metadata"]["resourceVersion"])


def _version(item: Manifest | None) -> Any:
    return item["metadata"]["resourceVersion"] if item else None
