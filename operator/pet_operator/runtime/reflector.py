"""Keeps a store equal to what the API server has: list, then watch, and list again where the watch was cut."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import AsyncIterator, Callable, Collection
from typing import Protocol

from pet_operator.domain.constants import Kind
from pet_operator.runtime.ports import ApiError, Clock, Gateway, Gone, Listing, Manifest

_LOG = logging.getLogger(__name__)
_FIRST_DELAY, _LONGEST_DELAY = 0.5, 15.0
_SILENT_SECONDS = 5.0  # a watch that tells nothing for so long may be cut


class Watched(Protocol):
    """What a reflector fills. `since`: when the watch began that has had no gap until now, None while there is none."""

    since: float | None

    def put(self, manifest: Manifest) -> None:
        """An object as it was made or changed."""

    def remove(self, manifest: Manifest) -> None:
        """An object that is gone."""

    def retain(self, uids: Collection[str], resource_version: str) -> None:
        """These are all that there were at this version."""


async def refill(store: Watched, pages: AsyncIterator[Listing]) -> str:
    """Make a store equal to a list, page by page: all of it at once would be most of the operator's memory. Returns the
    list's version."""
    version, present = "", set[str]()
    async for page in pages:
        for manifest in page.items:
            store.put(manifest)
            present.add(manifest["metadata"]["uid"])
        version = page.resource_version
    store.retain(present, version)
    return version


class Reflector:
    """One kind of objects. `run` it as a task; it ends only when it is cancelled.

    kopf cannot do this: it never tells of an object that was deleted while its watch was down.
    """

    def __init__(
        self,
        gateway: Gateway,
        kind: Kind,
        selector: str,
        store: Watched,
        clock: Clock,
        *,
        fields: str = "",
        without: str = "",
        again: Callable[[str, str], None] = lambda plural, reason: None,
    ) -> None:
        """`selector` picks by labels, `fields` by what else the API server can tell objects of the kind apart.

        `without` is said where we may not see them: then nobody waits for them, though they are asked for again and
        again. Where it is empty they are waited for. `again` is told of each watch that is begun again, and why: it was
        closed, expired or failed.
        """
        self.kind = kind
        self.synced = asyncio.Event()
        self.last_contact = clock.monotonic()
        self.failing = False
        self._delay = 0.0
        self._gateway = gateway
        self._selector = selector
        self._fields = fields
        self._without = without
        self._again = again
        self._said = ""
        self._known = clock.monotonic()  # when the store was as the API server has it, for certain
        self._renewing = asyncio.Lock()
        self._store = store
        self._clock = clock

    async def run(self) -> None:
        """List and watch until cancelled."""
        version = ""
        while True:
            try:
                version = await self._watch(version or await self._list())
                self._again(self.kind.plural, "closed")
            except Gone:
                version, self._store.since = "", None
                self._again(self.kind.plural, "expired")
            except (ApiError, OSError, TimeoutError) as error:
                version, self.failing, self._store.since = "", True, None
                self._again(self.kind.plural, "failed")
                self._tell(error)
                if isinstance(error, ApiError) and error.retry_after is not None:
                    await asyncio.sleep(error.retry_after)
            await self._pause()

    async def renew(self) -> bool:
        """List, if nothing has been heard for so long that the watch may be cut. Whether that was so; where there is no
        watch that is known without. Until it is done this is not synced."""
        async with self._renewing:
            if self._store.since is None or self._clock.monotonic() - self._known <= _SILENT_SECONDS:
                return False
            self.synced.clear()
            try:
                await refill(self._store, self._gateway.pages(self.kind, self._selector, self._fields))
            finally:
                self.synced.set()
            self._known = self._clock.monotonic()
            return True

    def _tell(self, error: Exception) -> None:
        """Once, as long as it is the same."""
        text = str(error)
        if self._without and isinstance(error, ApiError) and error.status == 403:
            text += f"; {self._without}"
            self._store.retain((), "")  # what was seen last would be believed for ever
            self.synced.set()
        if text != self._said:
            self._said = text
            _LOG.warning("cannot watch %s: %s", self.kind.plural, text)

    async def _pause(self) -> None:
        """None after a watch that told something or lasted; ever longer ones after watches that end at once."""
        delay, self._delay = self._delay, min(_LONGEST_DELAY, max(_FIRST_DELAY, 2 * self._delay))
        await asyncio.sleep(delay * random.uniform(0.75, 1.25))

    async def _list(self) -> str:
        version = await refill(self._store, self._gateway.pages(self.kind, self._selector, self._fields))
        self._store.since = self._clock.monotonic()
        self._heard()
        self.synced.set()
        return version

    async def _watch(self, version: str) -> str:
        """Until the server closes the watch; returns where to go on from."""
        began = self._clock.monotonic()
        async for kind, manifest in self._gateway.watch(self.kind, self._selector, version, self._fields):
            self._heard()
            self._delay = 0.0
            version = manifest["metadata"]["resourceVersion"]
            if kind == "DELETED":
                self._store.remove(manifest)
            elif kind != "BOOKMARK":
                self._store.put(manifest)
        if self._clock.monotonic() - began > _LONGEST_DELAY:  # it was as quiet as what it watched
            self._heard()
            self._delay = 0.0
        return version

    def _heard(self) -> None:
        self.last_contact = self._known = self._clock.monotonic()
        self.failing, self._said = False, ""
