"""The life of one pod on a process node: from its binding to its deletion."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

from testbed.folders import remove
from testbed.process_node.api import ApiError, Manifest
from testbed.process_node.errors import NotYet, StartError, Unsupported
from testbed.process_node.events import Events
from testbed.process_node.faults import Fault
from testbed.process_node.launch import Host, prepare
from testbed.process_node.messages import termination_message
from testbed.process_node.process import KILLED, Process
from testbed.process_node.status import ContainerStatus, PodStatus
from testbed.process_node.stop import Stop
from testbed.process_node.support import unsupported
from testbed.process_node.volumes import MOUNT, Volumes

_RETRY_SECONDS = 0.2
# What a kubelet leaves to a pod that was removed from the API server by force.
_FORCED_GRACE_SECONDS = 1.0
_FINAL = ("Succeeded", "Failed")

T = TypeVar("T")
log = logging.getLogger(__name__)


class _Stopped(Exception):
    """Asked to stop before there was a process."""


class _Gone(Exception):
    """The API server does not know the pod any more."""


class Pod:
    """`live` is a task of its own; `update` and `vanish` tell it what is seen of its object."""

    def __init__(self, manifest: Manifest, host: Host) -> None:
        metadata = manifest["metadata"]
        self.node: str = manifest["spec"]["nodeName"]
        self._manifest = manifest
        self._host = host
        self._uid = metadata["uid"]
        self._path = f"/api/v1/namespaces/{metadata['namespace']}/pods/{metadata['name']}"
        self._folder = host.folder / self._uid
        self._status = PodStatus(manifest)
        self._reported: Manifest = {}
        self._events = Events(host.api, manifest)
        self._stop = Stop()
        self._vanished = False
        self.update(manifest)

    def update(self, manifest: Manifest) -> None:
        """The object was changed: a deletion is the one change that counts."""
        if "deletionTimestamp" in manifest["metadata"]:
            self._stop.wish(manifest["metadata"].get("deletionGracePeriodSeconds") or 0)

    def vanish(self) -> None:
        """The object is gone; if its processes are not, somebody removed it by force."""
        self._vanished = True
        self._stop.wish(_FORCED_GRACE_SECONDS)

    async def live(self) -> None:
        """All of its life, as long as its object is there; nothing is left of it in the end."""
        self._folder.mkdir(parents=True, exist_ok=True)
        with suppress(_Gone):
            if self._status.phase not in _FINAL:
                await self._work()
                await self._report()
            await self._stop.wait()
            if not self._vanished:
                await self._host.api.delete(self._path, uid=self._uid, grace=0)
        remove(self._folder, below=self._host.folder)

    async def _work(self) -> None:
        """Bring the pod to a final phase."""
        try:
            if self._status.ran:
                self._status.lose()
            else:
                await self._run()
        except _Stopped:
            self._status.fail()
        except Unsupported as error:
            self._status.fail("NotSupported", str(error))
        except _Gone:
            raise
        except Exception as error:
            log.exception("%s", self._path)
            self._status.fail("ProcessNodeError", repr(error))

    async def _run(self) -> None:
        if problems := unsupported(self._manifest):
            raise Unsupported("; ".join(problems))
        prepared = Volumes(self._host.api, self._manifest, self._folder / "volumes").prepare
        volumes = await self._patiently(self._status.containers[0], prepared)
        self._status.address = self._status.address or self._host.rendezvous.new_address()  # the sandbox comes second
        await self._report()
        spec = self._manifest["spec"]
        containers = [*(spec.get("initContainers") or ()), *spec["containers"]]
        for container, status in zip(containers, self._status.containers, strict=True):
            await self._run_container(container, status, volumes)
            if status.exit_code:
                return

    async def _run_container(self, container: Manifest, status: ContainerStatus, volumes: Mapping[str, Path]) -> None:
        launch = await self._patiently(status, lambda: prepare(container, self._manifest, volumes, self._host))
        try:
            process = await self._host.runner.start(launch.command, launch.working_dir, launch.environ, launch.log)
        except StartError as error:
            status.fail_to_start(str(error))
            self._events.warn("Failed", f"Error: {error}")
            return
        try:
            status.run(process.pid, process.started)
            self._events.note("Started", f"Container started: {status.name}")
            await self._report()
            await self._until_ended(process)
        finally:
            code = await process.kill()
        message = termination_message(container, launch.termination_file, launch.log, code)
        status.end(code, message, process.finished, out_of_memory=code == KILLED and self._has(Fault.OUT_OF_MEMORY))
        await self._report()

    async def _until_ended(self, process: Process) -> None:
        """Wait for the end; once it is wished ask for it, and return at the latest when the time for it is over. Return
        when its memory is over, too."""
        await _first(process.end, self._stop.wait(), self._host.faults.wait(Fault.OUT_OF_MEMORY, self._uid))
        if not process.end.done() and self._stop.wished:
            if not self._has(Fault.DEAF):
                process.terminate()
            self._events.note("Killing", "Stopping container")
            await _first(process.end, self._stop.over())

    def _has(self, fault: Fault) -> bool:
        return self._host.faults.holds(fault, self._uid)

    async def _patiently(self, status: ContainerStatus, action: Callable[[], Awaitable[T]]) -> T:
        """The result of an action that needs what may not be there yet. Raises _Stopped."""
        told = ""
        while not self._stop.wished:
            try:
                return await action()
            except NotYet as error:
                if str(error) != told:
                    told = str(error)
                    await self._tell(status, error)
            await self._stop.wait(_RETRY_SECONDS)
        raise _Stopped

    async def _tell(self, status: ContainerStatus, error: NotYet) -> None:
        """As a kubelet does: volumes are a matter of events, the rest is the container's reason to wait."""
        if error.reason == MOUNT:
            self._events.warn(MOUNT, str(error))
        else:
            status.wait(error.reason, str(error))
        await self._report()

    async def _report(self) -> None:
        """Write the status if there is something new in it. Raises _Gone."""
        status = self._status.manifest()
        body: dict[str, Any] = {"metadata": {"uid": self._uid}, "status": status}
        while self._reported != status:
            try:
                self._manifest = await self._host.api.patch(f"{self._path}/status", body)
                self._reported = status
            except ApiError as error:
                if not await self._is_there():
                    raise _Gone from error
                if error.code != 409:  # else somebody wrote at the same moment
                    raise

    async def _is_there(self) -> bool:
        """Whether the object is still this one, not a namesake."""
        try:
            found = await self._host.api.get(self._path)
        except ApiError as error:
            if error.code != 404:
                raise
            return False
        return bool(found["metadata"]["uid"] == self._uid)


async def _first(task: asyncio.Task[int], *others: Coroutine[Any, Any, object]) -> None:
    """Wait for one of them; the task goes on, the others do not."""
    waiting = [asyncio.create_task(other) for other in others]
    try:
        await asyncio.wait({task, *waiting}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for each in waiting:
            each.cancel()
