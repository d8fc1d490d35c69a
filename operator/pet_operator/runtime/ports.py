"""What the runtime needs of the outside; `pet_operator.adapters` provides it, tests provide their own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from pet_operator.domain.constants import Kind

Manifest = Mapping[str, Any]


@dataclass(frozen=True, order=True)
class Key:
    """A job's place: what its objects, its pods and its work in the queue are found by."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


LONGEST_WAIT = 60.0  # seconds


class ApiError(Exception):
    """The API server refused a request: HTTP status, the reason word and the message of its Status object.
    `retry_after`: seconds, at most `LONGEST_WAIT`: a proxy on the way may say a day."""

    def __init__(self, status: int, reason: str, message: str, retry_after: float | None = None) -> None:
        super().__init__(f"{status} {reason}: {message}")
        self.status = status
        self.reason = reason
        self.message = message
        self.retry_after = None if retry_after is None else min(retry_after, LONGEST_WAIT)


class Gone(ApiError):
    """A watch cannot go on from where it was: list again (410)."""

    def __init__(self, message: str) -> None:
        super().__init__(410, "Gone", message)


@dataclass(frozen=True)
class Listing:
    """Objects of a kind, as they were at one resource version."""

    items: list[Manifest]
    resource_version: str


class Gateway(Protocol):
    """The API server. Dicts in, dicts out; all methods raise ApiError, or OSError where it cannot be reached."""

    async def create(self, kind: Kind, manifest: Manifest) -> Manifest:
        """POST; returns the object."""

    async def get(self, kind: Kind, key: Key) -> Manifest | None:
        """The object, None if it does not exist."""

    async def delete(self, kind: Kind, key: Key, *, uid: str, grace: int | None = None) -> Manifest | None:
        """Delete the object if it still has this uid; returns it as it goes, None if it is gone at once. `grace`: in
        seconds, other than the object's own; 0 removes a pod of which nobody confirms the end."""

    async def apply_status(self, key: Key, status: Manifest, *, uid: str, resource_version: str) -> Manifest:
        """Replace a job's status, if the job has not changed since this version; returns the job."""

    def pages(self, kind: Kind, selector: str, fields: str = "") -> AsyncIterator[Listing]:
        """All objects with these labels and fields, in all namespaces that we look after, or of the cluster: some
        hundred at a time, all of them as they were at one version."""

    def watch(
        self, kind: Kind, selector: str, resource_version: str, fields: str = ""
    ) -> AsyncIterator[tuple[str, Manifest]]:
        """Changes since then as (type, object), bookmarks too, until the server closes. Raises Gone."""


class TrainerClient(Protocol):
    """The launchers' HTTP endpoints."""

    async def status(self, address: str, port: int) -> Manifest:
        """The document at `/status`. Raises OSError if there is none."""


class Clock(Protocol):
    """Time. Decisions are made at `now`; how long something lasted is told by `monotonic`, in seconds."""

    def now(self) -> datetime:
        """The time of day, in UTC, to the second."""

    def precise_now(self) -> datetime:
        """The same to the microsecond, for what is told one after the other."""

    def monotonic(self) -> float:
        """A clock that is never set."""
