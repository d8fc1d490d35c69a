"""Leadership by a Lease: of several operators one works, the others stand by.

Who may lead is the Kubernetes client library's algorithm. Its own lock cannot create a Lease (release 37 passes a flag
that its models refuse), would wait minutes for a request that hangs, and never gives the Lease back: the lock is ours.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

from kubernetes.aio.client.exceptions import ApiException
from kubernetes.aio.leaderelection.electionconfig import Config
from kubernetes.aio.leaderelection.leaderelection import LeaderElection
from kubernetes.aio.leaderelection.leaderelectionrecord import LeaderElectionRecord

from pet_operator.domain.constants import Kind
from pet_operator.kube.gateway import KubeGateway
from pet_operator.runtime.ports import ApiError, Key, Manifest

_LOG = logging.getLogger(__name__)
LEASE = Kind("coordination.k8s.io/v1", "Lease", "leases")
_NAME = "pet-operator"
_LEASE_SECONDS, _RENEW_SECONDS, _RETRY_SECONDS = 15, 10, 3
_REQUEST_SECONDS = 4.0


class LeadershipLost(Exception):
    """Another operator may work by now: this one has to end."""


async def lead(gateway: KubeGateway, namespace: str, identity: str, work: Callable[[], Awaitable[None]]) -> None:
    """Wait for the Lease, then `work` while it is ours. Raises LeadershipLost, and whatever ends the work.

    Two leaders for a moment do no harm: names, uids and resource versions keep their writes apart.
    """
    lock = _Lock(gateway, Key(namespace, _NAME), identity)
    ours = asyncio.Event()

    async def leading() -> None:
        ours.set()

    timing = {"lease_duration": _LEASE_SECONDS, "renew_deadline": _RENEW_SECONDS, "retry_period": _RETRY_SECONDS}
    config = Config(lock, **timing, onstarted_leading=leading, onstopped_leading=None)  # type: ignore[arg-type]
    election = asyncio.create_task(LeaderElection(config).run(), name="election")
    try:
        await _first(election, ours.wait())
        _LOG.info("leading as %s", identity)
        await _first(election, work())
    finally:
        election.cancel()
        await asyncio.gather(election, return_exceptions=True)
        await lock.release()


async def _first(election: asyncio.Task[None], other: Awaitable[object]) -> None:
    """Wait for `other`, which is cancelled when the election ends before it."""
    task = asyncio.ensure_future(other)
    try:
        await asyncio.wait({election, task}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            election.result()
            raise LeadershipLost("the lease could not be renewed")
        task.result()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


class _Lock:
    """What the library's election asks of a lock; its records have texts for numbers and times."""

    def __init__(self, gateway: KubeGateway, key: Key, identity: str) -> None:
        self.name, self.namespace, self.identity = key.name, key.namespace, identity
        self._gateway = gateway
        self._key = key
        self._lease: Manifest | None = None  # as it was seen or written last

    async def get(self, _name: str, _namespace: str) -> tuple[bool, object]:
        """(True, record), or (False, error); the election reads the code in the error's body."""
        try:
            async with asyncio.timeout(_REQUEST_SECONDS):
                self._lease = await self._gateway.get(LEASE, self._key)
        except (ApiError, OSError, TimeoutError) as error:
            return False, ApiException(reason=repr(error))
        if self._lease is None:
            return False, ApiException(status=404, reason="NotFound", body=json.dumps({"code": 404}))
        return True, _record(self._lease.get("spec") or {})

    async def create(self, name: str, namespace: str, election_record: LeaderElectionRecord) -> bool:
        """Whether the Lease is made, and ours."""
        manifest = {
            "apiVersion": LEASE.api_version,
            "kind": LEASE.kind,
            "metadata": {"name": name, "namespace": namespace},
        }
        return await self._write(self._gateway.create(LEASE, {**manifest, "spec": _spec(election_record)}))

    async def update(self, _name: str, _namespace: str, record: LeaderElectionRecord) -> bool:
        """Whether the Lease is ours now: nobody else has written since it was read."""
        assert self._lease is not None, "the election reads before it writes"
        spec = {**(self._lease.get("spec") or {}), **_spec(record)}
        return await self._write(self._gateway.replace(LEASE, {**self._lease, "spec": spec}))

    async def release(self) -> None:
        """Let a successor begin at once instead of after the Lease's end."""
        if self._lease is not None and self._lease["spec"].get("holderIdentity") == self.identity:
            spec = {**self._lease["spec"], "holderIdentity": None}
            await self._write(self._gateway.replace(LEASE, {**self._lease, "spec": spec}))

    async def _write(self, request: Awaitable[Manifest]) -> bool:
        try:
            async with asyncio.timeout(_REQUEST_SECONDS):
                self._lease = await request
        except (ApiError, OSError, TimeoutError) as error:
            _LOG.warning("the lease was not written: %r", error)
            return False
        return True


def _record(spec: Manifest) -> LeaderElectionRecord:
    values = (spec.get(name) for name in ("holderIdentity", "leaseDurationSeconds", "acquireTime", "renewTime"))
    return LeaderElectionRecord(*(str(value) if value is not None else None for value in values))


def _spec(record: LeaderElectionRecord) -> dict[str, Any]:
    return {
        "holderIdentity": record.holder_identity,
        "leaseDurationSeconds": int(record.lease_duration or _LEASE_SECONDS),
        "acquireTime": _time(record.acquire_time),
        "renewTime": _time(record.renew_time),
    }


def _time(text: str | None) -> str | None:
    """The election writes this machine's time without a zone; what comes from the Lease has one already."""
    if text is None:
        return None
    return datetime.fromisoformat(text).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
