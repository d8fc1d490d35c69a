"""Leadership by a Lease: of several operators one works, the others stand by."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from kubernetes.aio.client import ApiClient
from kubernetes.aio.client.exceptions import ApiException
from kubernetes.aio.leaderelection.electionconfig import Config
from kubernetes.aio.leaderelection.leaderelection import LeaderElection
from kubernetes.aio.leaderelection.resourcelock.leaselock import LeaseLock

from pet_operator.adapters.credentials import Credentials

_LOG = logging.getLogger(__name__)
LEASE = "pet-operator"
_LEASE_SECONDS, _RENEW_SECONDS, _RETRY_SECONDS = 15, 10, 3
_REQUEST_SECONDS = 4.0


class LeadershipLost(Exception):
    """Another operator may work by now: this one has to end."""


async def lead(credentials: Credentials, namespace: str, identity: str, work: Callable[[], Awaitable[None]]) -> None:
    """Wait for the lease, then `work` while it is ours. Raises LeadershipLost, and whatever ends the work.

    Two leaders for a moment do no harm: names, uids and resource versions keep their writes apart.
    """
    async with ApiClient(credentials.configuration) as client:
        lease = _Lease(LEASE, namespace, identity, client)
        ours = asyncio.Event()

        async def leading() -> None:
            ours.set()

        timing = {
            "lease_duration": _LEASE_SECONDS,
            "renew_deadline": _RENEW_SECONDS,
            "retry_period": _RETRY_SECONDS,
        }
        config = Config(lease, **timing, onstarted_leading=leading, onstopped_leading=None)  # type: ignore[arg-type]
        election = asyncio.create_task(LeaderElection(config).run(), name="election")
        try:
            await _first(election, ours.wait())
            _LOG.info("leading as %s", identity)
            await _first(election, work())
        finally:
            election.cancel()
            await asyncio.gather(election, return_exceptions=True)
            if ours.is_set():
                await lease.release()


async def _first(election: asyncio.Task[None], other: Any) -> None:
    """Wait for `other`, which is cancelled when the election ends before it."""
    task = asyncio.ensure_future(other)
    try:
        await asyncio.wait({election, task}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise LeadershipLost("the lease could not be renewed")
        task.result()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


class _Lease(LeaseLock):
    """A request that hangs must not outlast the lease; and it can be given back."""

    async def get(self, name: str, namespace: str) -> Any:
        try:
            async with asyncio.timeout(_REQUEST_SECONDS):
                return await super().get(name, namespace)
        except (OSError, TimeoutError) as error:
            return False, ApiException(reason=repr(error))

    async def create(self, name: str, namespace: str, election_record: Any) -> Any:
        return await self._bounded(super().create(name, namespace, election_record))

    async def update(self, name: str, namespace: str, updated_record: Any) -> Any:
        return await self._bounded(super().update(name, namespace, updated_record))

    async def release(self) -> None:
        """Let a successor begin at once instead of after the lease's end."""
        lease = self.lease_reference
        if lease is None or lease.spec is None or lease.spec.holder_identity != self.identity:
            return
        lease.spec.holder_identity = None
        try:
            async with asyncio.timeout(_REQUEST_SECONDS):
                await self.api_instance.replace_namespaced_lease(self.name, self.namespace, lease)
        except (ApiException, OSError, TimeoutError) as error:
            _LOG.warning("the lease was not given back: %s", error)

    async def _bounded(self, request: Any) -> bool:
        try:
            async with asyncio.timeout(_REQUEST_SECONDS):
                return bool(await request)
        except (OSError, TimeoutError) as error:
            _LOG.warning("the lease was not written: %r", error)
            return False
