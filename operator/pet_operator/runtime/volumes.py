"""Which jobs name a claim, and which write to the same checkpoint folder: whom a change of one concerns."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import TypeVar

from pet_operator.domain.volumes import FolderUse, JobVolumes, job_volumes
from pet_operator.runtime.ports import Key, Manifest

K = TypeVar("K", bound=Hashable)


class Volumes:
    """An index over all jobs, live or finished."""

    def __init__(self) -> None:
        self._known: dict[Key, JobVolumes] = {}
        self._naming: dict[Key, set[Key]] = {}  # claim → jobs
        self._sharing: dict[tuple[Key, str], set[Key]] = {}  # claim and path → jobs

    def update(self, key: Key, manifest: Manifest | None) -> set[Key]:
        """A job as it is now, None if it is gone. Returns the other jobs that this concerns."""
        old, new = self._known.get(key), job_volumes(manifest) if manifest is not None else None
        if old == new:
            return set()
        others = self._others(key)
        if old is not None:
            self._leave(key, old)
        if new is not None:
            self._enter(key, new)
        return others | self._others(key)

    def naming(self, claim: Key) -> Iterable[Key]:
        """The jobs that name this claim."""
        return tuple(self._naming.get(claim, ()))

    def claims(self, key: Key) -> Iterable[Key]:
        """The claims that this job names."""
        known = self._known.get(key)
        return (Key(key.namespace, name) for name in sorted(known.claims)) if known is not None else ()

    def rivals(self, key: Key) -> tuple[FolderUse, ...]:
        """The other jobs that write to this one's folder."""
        return tuple(self._known[other].use for other in sorted(self._others(key)))

    def _others(self, key: Key) -> set[Key]:
        known = self._known.get(key)
        folder = _folder(key, known) if known is not None else None
        return self._sharing[folder] - {key} if folder is not None else set()

    def _enter(self, key: Key, volumes: JobVolumes) -> None:
        self._known[key] = volumes
        for name in volumes.claims:
            self._naming.setdefault(Key(key.namespace, name), set()).add(key)
        if (folder := _folder(key, volumes)) is not None:
            self._sharing.setdefault(folder, set()).add(key)

    def _leave(self, key: Key, volumes: JobVolumes) -> None:
        del self._known[key]
        for name in volumes.claims:
            _discard(self._naming, Key(key.namespace, name), key)
        if (folder := _folder(key, volumes)) is not None:
            _discard(self._sharing, folder, key)


def _folder(key: Key, volumes: JobVolumes) -> tuple[Key, str] | None:
    if volumes.folder is None:
        return None
    claim, path = volumes.folder
    return Key(key.namespace, claim), path


def _discard(index: dict[K, set[Key]], place: K, key: Key) -> None:
    index[place].discard(key)
    if not index[place]:
        del index[place]
