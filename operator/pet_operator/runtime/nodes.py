"""Which nodes are not ready, and for how long that has been seen."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import NamedTuple

from pet_operator.domain.policy.lost import are_cut_off
from pet_operator.domain.views import UnreadyNode, unready
from pet_operator.runtime.ports import Clock, Manifest


class _Unready(NamedTuple):
    """What is said of a node that is not ready, and when it was seen so first."""

    message: str
    first: float


class Nodes:
    """Filled by a watch. `changed` is told of the nodes, by name, of which something else is to be thought: those that
    become ready, or are not any more, and all that are not when they are cut off together, or were.

    `since`: when the watch began that has had no gap until now, None while there is none (`runtime.store.Store`).
    """

    def __init__(self, clock: Clock, changed: Callable[[Collection[str]], None]) -> None:
        self.since: float | None = None
        self.cut_off = False
        self._apart = clock.monotonic()  # since when they are not cut off together, if they are not
        self._clock = clock
        self._changed = changed
        self._uids: dict[str, str] = {}  # of all nodes, by name
        self._unready: dict[str, _Unready] = {}  # by name

    def of(self, name: str) -> UnreadyNode | None:
        """The node of this name, if it is one that is not ready."""
        if name not in self._unready:
            return None
        node = self._unready[name]
        return UnreadyNode(message=node.message, seconds=seen_for(node.first, self.patient(self.since), self._clock))

    def patient(self, since: float | None) -> float | None:
        """Since when a node has had its time to answer, of a watch that has had no gap since then: None while nodes are
        cut off together, and not before they are not any more, since they come back one by one."""
        return None if since is None or self.cut_off else max(since, self._apart)

    def put(self, manifest: Manifest) -> None:
        """A node as it is now."""
        name, message = manifest["metadata"]["name"], unready(manifest)
        self._uids[name] = manifest["metadata"]["uid"]
        known = self._unready.get(name)
        if message is not None:
            self._unready[name] = _Unready(message, known.first if known is not None else self._clock.monotonic())
        elif known is not None:
            del self._unready[name]
        self._tell({name} if (known is None) != (message is None) else set())

    def remove(self, manifest: Manifest) -> None:
        """A node that is gone. Of its pods the cluster tells: it removes them."""
        self._uids.pop(name := manifest["metadata"]["name"], None)
        self._tell({name} if self._unready.pop(name, None) is not None else set())

    def retain(self, uids: Collection[str], resource_version: str) -> None:
        """These are all that there are; the version is of no use here, since nothing else writes into it."""
        for name in [name for name, uid in self._uids.items() if uid not in uids]:
            self.remove({"metadata": {"name": name}})

    def _tell(self, names: set[str]) -> None:
        before, self.cut_off = self.cut_off, are_cut_off(len(self._unready), len(self._uids))
        if before and not self.cut_off:
            self._apart = self._clock.monotonic()
        if before != self.cut_off:
            names |= self._unready.keys()
        if names:
            self._changed(names)


def seen_for(first: float, since: float | None, clock: Clock) -> float:
    """Seconds for which something has been seen without a gap, that was seen first then; 0 while nothing is seen."""
    return 0.0 if since is None else clock.monotonic() - max(first, since)
