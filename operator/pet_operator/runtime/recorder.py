"""Kubernetes Events about jobs: few, each once, and never in the way of the work."""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections import OrderedDict
from datetime import datetime
from typing import Any

from pet_operator.domain.constants import EVENT, JOB, MANAGED_BY
from pet_operator.domain.events import Event
from pet_operator.runtime.ports import ApiError, Gateway, Manifest

_LOG = logging.getLogger(__name__)
_PER_SECOND, _BURST = 5.0, 25
_NOTE_BYTES = 1024
_REMEMBERED = 4096


class Recorder:
    """`record` only queues; `run` posts, at most five in a second. What does not fit is counted in `dropped`."""

    def __init__(self, gateway: Gateway, instance: str) -> None:
        """`instance` tells this process from others, for example the name of its pod."""
        self.dropped = 0
        self._gateway = gateway
        self._instance = instance
        self._waiting: asyncio.Queue[Manifest] = asyncio.Queue(maxsize=_BURST)
        self._told: OrderedDict[tuple[str, ...], None] = OrderedDict()

    def record(self, job: Manifest, event: Event, now: datetime) -> None:
        """Tell of a transition of the job, which is as it was written with it. The same words are told once between two
        changes of its attempt, its restarts or its conditions: what a kubelet or a scheduler says comes in turns."""
        same = (*_stage(job), event.reason, event.message)
        if same in self._told:
            return
        self._told[same] = None
        while len(self._told) > _REMEMBERED:
            self._told.popitem(last=False)
        try:
            self._waiting.put_nowait(self._manifest(job, event, now))
        except asyncio.QueueFull:
            self.dropped += 1

    async def run(self) -> None:
        """Post what is recorded until cancelled."""
        while True:
            manifest = await self._waiting.get()
            try:
                await self._gateway.create(EVENT, manifest)
            except (ApiError, OSError, TimeoutError) as error:
                self.dropped += 1
                _LOG.warning("an event was not recorded: %s", error)
            await asyncio.sleep(1 / _PER_SECOND)

    def _manifest(self, job: Manifest, event: Event, now: datetime) -> dict[str, Any]:
        metadata = job["metadata"]
        moment = now.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        return {
            "apiVersion": EVENT.api_version,
            "kind": EVENT.kind,
            "metadata": {"name": f"{metadata['name']}.{uuid.uuid4().hex[:16]}", "namespace": metadata["namespace"]},
            "eventTime": moment,
            "type": "Warning" if event.warning else "Normal",
            "reason": event.reason,
            "action": "Reconcile",
            "note": _cut(event.message),
            "regarding": {
                "apiVersion": JOB.api_version,
                "kind": JOB.kind,
                "name": metadata["name"],
                "namespace": metadata["namespace"],
                "uid": metadata["uid"],
                "resourceVersion": metadata["resourceVersion"],
            },
            "reportingController": f"pet.dev/{MANAGED_BY}",
            "reportingInstance": self._instance,
        }


def _stage(job: Manifest) -> tuple[str, ...]:
    """What the job is at, other than in words."""
    status = job.get("status") or {}
    changed = (condition.get("lastTransitionTime", "") for condition in status.get("conditions") or ())
    counts = (str(status.get(name, 0)) for name in ("attempt", "restarts"))
    return (job["metadata"]["uid"], *counts, max(changed, default=""))


def _cut(text: str) -> str:
    """The API server takes 1024 bytes."""
    return text.encode(errors="replace")[:_NOTE_BYTES].decode(errors="ignore")
