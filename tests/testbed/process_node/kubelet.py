"""Everything that a process node does, put together: its Nodes, their pods, the logs, the volumes."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from pathlib import Path

from testbed.folders import remove
from testbed.process_node.api import Api, Manifest
from testbed.process_node.faults import Fault, Faults
from testbed.process_node.launch import Host
from testbed.process_node.logs import LogServer
from testbed.process_node.mirror import Mirror
from testbed.process_node.node import keep_alive, register
from testbed.process_node.pod import Pod
from testbed.process_node.process import Runner
from testbed.process_node.provisioner import Provisioner
from testbed.process_node.rendezvous import Rendezvous
from testbed.process_node.settings import NodeSpec, Settings

log = logging.getLogger(__name__)


class Kubelet:
    """One kubelet for all nodes of the settings."""

    def __init__(self, api: Api, settings: Settings) -> None:
        self._api = api
        self._nodes = {node.name: node for node in settings.nodes}
        self._folder = Path(settings.folder) / "pods"
        self._ready_file = settings.ready_file
        self._mirror = Mirror(api, "/api/v1/pods", self._seen)
        self._faults = Faults(settings.faults_folder)
        host = Host(
            api=api,
            image=settings.image,
            runner=Runner(),
            rendezvous=Rendezvous(api, self._mirror),
            faults=self._faults,
            folder=self._folder,
        )
        self._hosts = {name: replace(host, api=api.line()) for name in self._nodes}
        self._missed: dict[str, dict[str, Manifest | None]] = {name: {} for name in self._nodes}  # by uid
        self._logs = LogServer(
            self._mirror, self._folder, settings.serving_certificate, settings.serving_key, settings.authority
        )
        self._provisioner = Provisioner(api, Path(settings.folder) / "volumes")
        self._pods: dict[str, Pod] = {}  # as long as their objects are seen, which is longer than some live
        self._lives: dict[str, asyncio.Task[None]] = {}

    async def run(self) -> None:
        """Work until cancelled; then the pods' processes end at once, as on a machine that is switched off."""
        self._folder.mkdir(parents=True, exist_ok=True)
        port = await self._logs.start()
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._provisioner.run())
                tasks.create_task(self._mirror.run())
                for node in self._nodes.values():
                    line = self._hosts[node.name].api
                    await register(line, node, port)
                    tasks.create_task(keep_alive(line, node, port))
                    tasks.create_task(self._cut_on_command(node, port))
                await self._mirror.synced.wait()
                self._remove_orphans()
                self._ready_file.touch()
        finally:
            for life in self._lives.values():
                life.cancel()
            await asyncio.gather(*self._lives.values(), return_exceptions=True)
            await self._logs.stop()

    def _seen(self, uid: str, manifest: Manifest | None) -> None:
        pod = self._pods.get(uid)
        node = pod.node if pod is not None else (manifest or {}).get("spec", {}).get("nodeName")
        if node not in self._nodes:
            return
        if not self._hosts[node].api.connected.is_set():
            self._missed[node][uid] = manifest
        elif manifest is None:
            if pod is not None:
                pod.vanish()
                del self._pods[uid]
        elif pod is not None:
            pod.update(manifest)
        else:
            self._pods[uid] = Pod(manifest, self._hosts[node])
            self._lives[uid] = asyncio.create_task(self._live(uid, self._pods[uid]))

    async def _cut_on_command(self, node: NodeSpec, port: int) -> None:
        """Cut the node off while it is to be, and then let it hear what it has missed."""
        line = self._hosts[node.name].api
        while True:
            await self._faults.wait(Fault.CUT_OFF, node.name)
            line.connected.clear()
            self._faults.confirm(Fault.CUT_OFF, node.name)
            await self._faults.wait(Fault.CUT_OFF, node.name, until=False)
            line.connected.set()
            await register(line, node, port)
            missed, self._missed[node.name] = self._missed[node.name], {}
            for uid, manifest in missed.items():
                self._seen(uid, manifest)

    async def _live(self, uid: str, pod: Pod) -> None:
        try:
            await pod.live()
        except Exception:
            log.exception("pod %s is given up", uid)
        finally:
            del self._lives[uid]

    def _remove_orphans(self) -> None:
        """Folders of pods that were deleted while no process node ran."""
        for folder in self._folder.iterdir():
            if folder.name not in self._mirror.objects:
                remove(folder, below=self._folder)
