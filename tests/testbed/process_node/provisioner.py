"""The default StorageClass: a folder for each claim, on one machine, so any number of pods may share it."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

from testbed.folders import remove
from testbed.process_node.api import Api, ApiError, Manifest
from testbed.process_node.mirror import Mirror

NAME = "testbed.pet.dev/folder"
CLASS = "folders"
_CLASSES = "/apis/storage.k8s.io/v1/storageclasses"
_BY = "pv.kubernetes.io/provisioned-by"

log = logging.getLogger(__name__)


class Provisioner:
    """Makes and removes the volumes of its class, as folders below its own."""

    def __init__(self, api: Api, folder: Path) -> None:
        self._api = api
        self._folder = folder
        self._work: asyncio.Queue[Manifest] = asyncio.Queue()
        self._claims = Mirror(api, "/api/v1/persistentvolumeclaims", self._seen)
        self._volumes = Mirror(api, "/api/v1/persistentvolumes", self._seen)

    async def run(self) -> None:
        """Serve claims, for ever."""
        self._folder.mkdir(parents=True, exist_ok=True)
        await self._make_class()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._claims.run())
            tasks.create_task(self._volumes.run())
            while True:
                await self._serve(await self._work.get())

    def _seen(self, _: str, item: Manifest | None) -> None:
        if item is not None:
            self._work.put_nowait(item)

    async def _serve(self, item: Manifest) -> None:
        spec, phase = item["spec"], (item.get("status") or {}).get("phase")
        if spec.get("storageClassName") != CLASS:
            return
        try:
            if item["kind"] == "PersistentVolumeClaim" and phase == "Pending" and not spec.get("volumeName"):
                await self._provide(item)
            elif item["kind"] == "PersistentVolume" and phase == "Released":
                await self._reclaim(item)
        except ApiError as error:
            log.warning("%s %s: %s", item["kind"], item["metadata"]["name"], error)

    async def _provide(self, claim: Manifest) -> None:
        metadata, spec = claim["metadata"], claim["spec"]
        name = f"pvc-{metadata['uid']}"
        folder = self._folder / name
        folder.mkdir(exist_ok=True)
        volume = {
            "metadata": {"name": name, "annotations": {_BY: NAME}},
            "spec": {
                "storageClassName": CLASS,
                "capacity": {"storage": spec["resources"]["requests"]["storage"]},
                "accessModes": spec["accessModes"],
                "persistentVolumeReclaimPolicy": "Delete",
                "hostPath": {"path": str(folder), "type": "Directory"},
                "claimRef": {
                    "apiVersion": "v1",
                    "kind": "PersistentVolumeClaim",
                    **{key: metadata[key] for key in ("namespace", "name", "uid")},
                },
            },
        }
        try:
            await self._api.post("/api/v1/persistentvolumes", volume)
        except ApiError as error:
            if error.code != 409:  # made before, and not bound yet
                raise

    async def _reclaim(self, volume: Manifest) -> None:
        metadata, spec = volume["metadata"], volume["spec"]
        ours = (metadata.get("annotations") or {}).get(_BY) == NAME
        folder = Path(spec.get("hostPath", {}).get("path", ""))
        if ours and spec["persistentVolumeReclaimPolicy"] == "Delete" and folder.parent == self._folder:
            remove(folder, below=self._folder)
            await self._api.delete(f"/api/v1/persistentvolumes/{metadata['name']}", uid=metadata["uid"])

    async def _make_class(self) -> None:
        body = {
            "metadata": {"name": CLASS, "annotations": {"storageclass.kubernetes.io/is-default-class": "true"}},
            "provisioner": NAME,
            "reclaimPolicy": "Delete",
            "volumeBindingMode": "Immediate",
        }
        try:
            await self._api.post(_CLASSES, body)
        except ApiError as error:
            if error.code != 409:
                raise
