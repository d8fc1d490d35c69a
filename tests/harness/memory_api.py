"""An API server in memory, as far as the operator's runtime asks it: `pet_operator.runtime.ports.Gateway`.

It proves faults, never semantics: those are tried on a real one in `tests/integration`.
"""

from __future__ import annotations

import copy
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

from pet_operator.domain.constants import JOB, POD, Kind
from pet_operator.runtime.ports import ApiError, Gone, Key, Listing, Manifest

Object = dict[str, Any]
# Called before each request with its verb, kind and name; what it raises is the answer.
Fault = Callable[[str, Kind, str], None]


class MemoryApi:
    """`writes` lists what was written as (verb, plural, name); `fault` may refuse a request."""

    def __init__(self) -> None:
        self.writes: list[tuple[str, str, str]] = []
        self.fault: Fault = lambda verb, kind, name: None
        self.told: Callable[[str, Kind, Object], None] = lambda type_, kind, manifest: None
        self._objects: dict[tuple[Kind, Key], Object] = {}
        self._version = 0
        self._uids = 0

    @property
    def version(self) -> int:
        """Of the newest change."""
        return self._version

    def all(self, kind: Kind) -> list[Object]:
        """Every object of a kind, to be looked at."""
        return [found for (its, _), found in sorted(self._objects.items(), key=lambda item: item[0][1]) if its is kind]

    def put(self, kind: Kind, manifest: Manifest) -> Object:
        """Write an object as somebody else does: a user, a kubelet."""
        content = json.loads(json.dumps(manifest))
        metadata = content["metadata"]
        key = Key(metadata.setdefault("namespace", "default"), metadata["name"])
        self._version += 1
        metadata["resourceVersion"] = str(self._version)
        if "uid" not in metadata:
            self._uids += 1
            metadata |= {"uid": f"uid-{self._uids}", "generation": 1}
        known = (kind, key) in self._objects
        self._objects[kind, key] = content
        self.told("MODIFIED" if known else "ADDED", kind, copy.deepcopy(content))
        return copy.deepcopy(content)

    def drop(self, kind: Kind, name: str, namespace: str = "default") -> None:
        """Remove an object, and what it owns."""
        gone = self._objects.pop((kind, Key(namespace, name)), None)
        if gone is None:
            return
        self._version += 1
        gone["metadata"]["resourceVersion"] = str(self._version)
        self.told("DELETED", kind, copy.deepcopy(gone))
        for (its, key), owned in list(self._objects.items()):
            owners = [owner["uid"] for owner in owned["metadata"].get("ownerReferences") or ()]
            if gone["metadata"]["uid"] in owners:
                self.drop(its, key.name, key.namespace)

    async def create(self, kind: Kind, manifest: Manifest) -> Manifest:
        """POST."""
        key = Key(manifest["metadata"]["namespace"], manifest["metadata"]["name"])
        self._asked("create", kind, key)
        if (kind, key) in self._objects:
            raise ApiError(409, "AlreadyExists", f'{kind.plural} "{key.name}" already exists')
        return self.put(kind, manifest)

    async def get(self, kind: Kind, key: Key) -> Manifest | None:
        """The object, None if it does not exist."""
        self.fault("get", kind, key.name)
        return copy.deepcopy(self._objects.get((kind, key)))

    async def delete(self, kind: Kind, key: Key, *, uid: str, grace: int | None = None) -> Manifest | None:
        """A pod that runs goes when its kubelet says so unless it has no time for it, everything else at once."""
        self._asked("delete", kind, key)
        found = self._found(kind, key, uid)
        if kind is POD and found.get("status", {}).get("phase") == "Running" and grace != 0:
            seconds = found["spec"].get("terminationGracePeriodSeconds", 30)
            going = {"deletionTimestamp": "2026-01-31T12:00:00Z", "deletionGracePeriodSeconds": seconds}
            found["metadata"] |= going
            return self.put(kind, found)
        self.drop(kind, key.name, key.namespace)
        return None

    async def apply_status(self, key: Key, status: Manifest, *, uid: str, resource_version: str) -> Manifest:
        """Replace a job's status; without a change there is no new version."""
        self._asked("apply", JOB, key)
        found = self._found(JOB, key, uid)
        if found["metadata"]["resourceVersion"] != resource_version:
            raise ApiError(409, "Conflict", "the object has been modified")
        if found.get("status") == status:
            return found
        return self.put(JOB, found | {"status": status})

    async def list(self, kind: Kind, selector: str, fields: str = "") -> Listing:
        """All objects of a kind."""
        self.fault("list", kind, "")
        return Listing([copy.deepcopy(each) for each in self.all(kind)], str(self._version))

    async def pages(self, kind: Kind, selector: str, fields: str = "") -> AsyncIterator[Listing]:
        """The same, on one page."""
        yield await self.list(kind, selector)

    async def watch(
        self, kind: Kind, selector: str, resource_version: str, fields: str = ""
    ) -> AsyncIterator[tuple[str, Manifest]]:
        """Nothing can be watched here: who wants to see what happens listens to `told`."""
        raise Gone("no watch")
        yield

    def _asked(self, verb: str, kind: Kind, key: Key) -> None:
        self.fault(verb, kind, key.name)
        self.writes.append((verb, kind.plural, key.name))

    def _found(self, kind: Kind, key: Key, uid: str) -> Object:
        found = self._objects.get((kind, key))
        if found is None:
            raise ApiError(404, "NotFound", f'{kind.plural} "{key.name}" not found')
        if found["metadata"]["uid"] != uid:
            raise ApiError(409, "Conflict", "the uid in the precondition does not match")
        return copy.deepcopy(found)


def refuse(status: int, reason: str, message: str = "no", *, verbs: str = "create apply delete") -> Fault:
    """Every such request is refused."""

    def fault(verb: str, kind: Kind, name: str) -> None:
        if verb in verbs.split():
            raise ApiError(status, reason, message)

    return fault
