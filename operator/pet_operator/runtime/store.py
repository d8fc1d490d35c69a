"""What is known of one kind of objects: views of them, by job and by uid, newest version first come or last."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

from pet_operator.runtime.ports import Key, Manifest

V = TypeVar("V")

_REMEMBERED_DELETIONS = 10_000


@dataclass(frozen=True, slots=True)
class _Entry(Generic[V]):
    key: Key
    version: int
    view: V


class Store(Generic[V]):
    """Filled by a watch, and at once by the answers to our own writes: a decision that follows one sees it.

    `since`: when the watch began, on the monotonic clock, that has had no gap until now; None while there is none.

    Versions of objects are compared as numbers, which Kubernetes promises since 1.35 and always did in fact.
    """

    def __init__(
        self,
        view: Callable[[Manifest], V],
        key: Callable[[Manifest], Key],
        changed: Callable[[Key], None],
        gone: Callable[[Key, V], None] = lambda key, view: None,
    ) -> None:
        """`key` gives the job that an object belongs to, `changed` is told of it after each change, and before that
        `gone` of each object that is gone, as it was last."""
        self.since: float | None = None
        self._gone = gone
        self._view = view
        self._key = key
        self._changed = changed
        self._entries: dict[str, _Entry[V]] = {}
        self._by_key: dict[Key, dict[str, None]] = {}
        self._deleted: dict[str, int] = {}  # the version at which it was

    def __len__(self) -> int:
        return len(self._entries)

    def of(self, key: Key) -> list[V]:
        """The views of the job's objects."""
        return [self._entries[uid].view for uid in self._by_key.get(key, ())]

    def all(self) -> Iterator[V]:
        """The views of all objects."""
        return (entry.view for entry in self._entries.values())

    def items(self) -> Iterator[tuple[Key, V]]:
        """The views of all objects, each with the job that it belongs to."""
        return ((entry.key, entry.view) for entry in self._entries.values())

    def keys(self) -> list[Key]:
        """All jobs that have objects here."""
        return list(self._by_key)

    def put(self, manifest: Manifest) -> None:
        """An object as it was made or changed. Older news than is known is ignored, and so is what was told before its
        deletion; later it is there after all, and only had not the labels that are watched for a while."""
        uid, version = _identity(manifest)
        known = self._entries.get(uid)
        if self._deleted.get(uid, -1) >= version or (known is not None and known.version >= version):
            return
        self._deleted.pop(uid, None)
        entry = _Entry(self._key(manifest), version, self._view(manifest))
        if known is not None and known.key != entry.key:
            self._leave(known.key, uid)
        self._entries[uid] = entry
        self._by_key.setdefault(entry.key, {})[uid] = None
        if known is None or (known.key, known.view) != (entry.key, entry.view):
            self._changed(entry.key)

    def restore(self, manifest: Manifest) -> None:
        """An object that was found, whatever was told of its deletion: to a watch it is also gone when it has not the
        labels any more that are watched for."""
        self._deleted.pop(manifest["metadata"]["uid"], None)
        self.put(manifest)

    def drop(self, uid: str) -> None:
        """An object that was looked for and is not there any more."""
        if (entry := self._entries.get(uid)) is not None:
            self._remove(uid, entry.version)

    def remove(self, manifest: Manifest) -> None:
        """An object that is gone, as it was then."""
        uid, version = _identity(manifest)
        known = self._entries.get(uid)
        last = self._view(manifest) if known is not None and known.version < version else None
        self._remove(uid, version, last)

    def retain(self, uids: Collection[str], resource_version: str) -> None:
        """These are all that there were at this version: what is not among them and not newer is gone."""
        for uid in self._entries.keys() - set(uids):
            if self._entries[uid].version <= int(resource_version):
                self._remove(uid, int(resource_version))

    def _remove(self, uid: str, version: int, last: V | None = None) -> None:
        self._deleted[uid] = version
        while len(self._deleted) > _REMEMBERED_DELETIONS:
            del self._deleted[next(iter(self._deleted))]
        entry = self._entries.pop(uid, None)
        if entry is not None:
            self._gone(entry.key, entry.view if last is None else last)
            self._leave(entry.key, uid)

    def _leave(self, key: Key, uid: str) -> None:
        siblings = self._by_key[key]
        del siblings[uid]
        if not siblings:
            del self._by_key[key]
        self._changed(key)


def _identity(manifest: Manifest) -> tuple[str, int]:
    metadata = manifest["metadata"]
    return metadata["uid"], int(metadata["resourceVersion"])
