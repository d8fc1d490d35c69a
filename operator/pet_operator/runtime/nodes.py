"""Which nodes are not ready, and for how long that has been seen."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import NamedTuple

from pet_operator.domain.views import UnreadyNode, unready
from pet_operator.runtime.ports import Clock, Manifest


class _Unready(NamedTuple):
    """A node that is not ready: what is said of it, and when it was seen so first."""

    uid: str
    message: str
    first: float


class Nodes:
    """Filled by a watch. `changed` is told of each node that becomes ready, or is not any more.

    `since`: when the watch began that has had no gap until now, None while there is none (`runtime.store.Store`).
    """

    def __init__(self, clock: Clock, changed: Callable[[str], None]) -> None:
        self.since: float | None = None
        self._clock = clock
        self._changed = changed
        self._unready: dict[str, _Unready] = {}  # by name

    def of(self, name: str) -> UnreadyNode | None:
        """The node of this name, if it is one that is not ready."""
        if name not in self._unready:
            return None
        node = self._unready[name]
        return UnreadyNode(message=node.message, seconds=seen_for(node.first, self.since, self._clock))

    def put(self, manifest: Manifest) -> None:
        """A node as it is now."""
        name, message = manifest["metadata"]["name"], unready(manifest)
        known = self._unready.get(name)
        if message is not None:
            first = known.first if known is not None else self._clock.monotonic()
            self._unready[name] = _Unready(manifest["metadata"]["uid"], message, first)
        elif known is not None:
            del self._unready[name]
        if (known is None) != (message is None):
            self._changed(name)

    def remove(self, manifest: Manifest) -> None:
        """A node that is gone. Of its pods the cluster tells: it removes them."""
        if self._unready.pop(name := manifest["metadata"]["name"], None) is not None:
            self._changed(name)

    def retain(self, uids: Collection[str], resource_version: str) -> None:
        """These are all that there are; the version is of no use here, since nothing else writes into it."""
        for name in [name for name, node in self._unready.items() if node.uid not in uids]:
            self.remove({"metadata": {"name": name}})


def seen_for(first: float, since: float | None, clock: Clock) -> float:
    """Seconds for which something has been seen without a gap, that was seen first then; 0 while nothing is seen."""
    return 0.0 if since is None else clock.monotonic() - max(first, since)
