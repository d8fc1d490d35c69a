"""Events of a pod, as `kubectl describe` shows them."""

from __future__ import annotations

import asyncio
import logging
import secrets

from testbed.process_node.api import Api, ApiError, Manifest
from testbed.process_node.status import timestamp

log = logging.getLogger(__name__)


class Events:
    """Written beside the pod's work: nothing waits for them."""

    def __init__(self, api: Api, pod: Manifest) -> None:
        self._api = api
        self._pod = pod
        self._writing: set[asyncio.Task[None]] = set()

    def note(self, reason: str, message: str) -> None:
        """Something that had to happen."""
        self._write("Normal", reason, message)

    def warn(self, reason: str, message: str) -> None:
        """Something that keeps the pod from running."""
        self._write("Warning", reason, message)

    def _write(self, kind: str, reason: str, message: str) -> None:
        task = asyncio.create_task(self._post(kind, reason, message))
        self._writing.add(task)
        task.add_done_callback(self._writing.discard)

    async def _post(self, kind: str, reason: str, message: str) -> None:
        metadata, now = self._pod["metadata"], timestamp()
        namespace = metadata["namespace"]
        event = {
            "metadata": {"name": f"{metadata['name']}.{secrets.token_hex(8)}", "namespace": namespace},
            "involvedObject": {
                "apiVersion": "v1",
                "kind": "Pod",
                **{name: metadata[name] for name in ("namespace", "name", "uid", "resourceVersion")},
            },
            "type": kind,
            "reason": reason,
            "message": message,
            "source": {"component": "kubelet", "host": self._pod["spec"]["nodeName"]},
            "firstTimestamp": now,
            "lastTimestamp": now,
            "count": 1,
        }
        try:
            await self._api.post(f"/api/v1/namespaces/{namespace}/events", event)
        except ApiError as error:  # the namespace is going
            log.info("event %s of pod %s: %s", reason, metadata["name"], error)
