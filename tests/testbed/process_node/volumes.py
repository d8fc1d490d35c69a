"""Puts a pod's volumes into folders of its own."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from testbed.process_node.api import Api, ApiError, Manifest
from testbed.process_node.errors import NotYet, Unsupported
from testbed.process_node.fields import field_of
from testbed.process_node.sources import Sources

MOUNT = "FailedMount"


class Volumes:
    """The volumes of one pod. `folder` is the pod's; claims and host paths are where they are."""

    def __init__(self, api: Api, pod: Manifest, folder: Path) -> None:
        self._api = api
        self._pod = pod
        self._folder = folder
        self._sources = Sources(api, pod)

    async def prepare(self) -> dict[str, Path]:
        """The place of each volume by its name. Raises NotYet until all can be had, Unsupported."""
        volumes = self._pod["spec"].get("volumes") or ()
        return {volume["name"]: await self._place(volume) for volume in volumes}

    async def _place(self, volume: Manifest) -> Path:
        folder = self._folder / str(volume["name"])
        if "hostPath" in volume:
            return _host_path(volume["hostPath"])
        if "persistentVolumeClaim" in volume:
            return await self._claimed(volume["persistentVolumeClaim"]["claimName"])
        if folder.exists():  # from an earlier try
            return folder
        if "emptyDir" in volume:
            folder.mkdir(parents=True)
            return folder
        if "projected" in volume:
            sources = volume["projected"].get("sources") or []
        else:
            sources = [{kind: source for kind, source in volume.items() if kind != "name"}]
        files: dict[str, bytes] = {}
        for source in sources:
            files |= await self._files(source)
        _write(folder, files)
        return folder

    async def _files(self, source: Mapping[str, Any]) -> dict[str, bytes]:
        kind, given = next(iter(source.items()))
        if kind == "configMap":
            return _chosen(await self._data("configmaps", given), given)
        if kind == "secret":
            named = {"name": given.get("secretName") or given.get("name"), "optional": given.get("optional")}
            return _chosen(await self._data("secrets", named), given)
        if kind == "downwardAPI":
            return {item["path"]: field_of(self._pod, item).encode() for item in given.get("items") or ()}
        if kind == "serviceAccountToken":
            return {given["path"]: await self._sources.token(given)}
        raise Unsupported(f"a process node has no volumes of kind {kind}")

    async def _data(self, kind: str, reference: Mapping[str, Any]) -> dict[str, bytes]:
        try:
            return await self._sources.data(kind, reference)
        except NotYet as error:
            raise NotYet(MOUNT, str(error)) from error

    async def _claimed(self, name: str) -> Path:
        namespace = self._pod["metadata"]["namespace"]
        try:
            claim = await self._api.get(f"/api/v1/namespaces/{namespace}/persistentvolumeclaims/{name}")
        except ApiError as error:
            raise NotYet(MOUNT, str(error)) from error
        if (claim.get("status") or {}).get("phase") != "Bound":
            raise NotYet(MOUNT, f'persistentvolumeclaim "{name}" is not bound')
        volume = await self._api.get(f"/api/v1/persistentvolumes/{claim['spec']['volumeName']}")
        source = volume["spec"].get("hostPath") or volume["spec"].get("local")
        if source is None:
            raise Unsupported(f"the volume of claim {name} is no folder")
        return _host_path(source)


def mounts(container: Manifest, volumes: Mapping[str, Path]) -> dict[str, Path]:
    """Where each mount of a container is here. Raises NotYet for one that leads out of its volume, Unsupported."""
    places = {}
    for mount in container.get("volumeMounts") or ():
        if mount.get("subPathExpr"):
            raise Unsupported("a process node knows no subPathExpr")
        volume = volumes[mount["name"]]
        place = volume / mount.get("subPath", "")
        if not place.resolve().is_relative_to(volume.resolve()):
            raise NotYet("CreateContainerConfigError", f"subPath {mount['subPath']} leads out of its volume")
        if not place.exists():
            place.mkdir(parents=True)
        places[mount["mountPath"]] = place
    return places


def _host_path(source: Mapping[str, Any]) -> Path:
    place = Path(source["path"])
    kind = source.get("type") or ""
    if kind == "DirectoryOrCreate":
        place.mkdir(parents=True, exist_ok=True)
    checks = {"": place.exists, "Directory": place.is_dir, "DirectoryOrCreate": place.is_dir, "File": place.is_file}
    if kind not in checks:
        raise Unsupported(f"a process node has no hostPath of type {kind}")
    if not checks[kind]():
        raise NotYet(MOUNT, f"hostPath type check failed: {place} is no {kind or 'file or folder'}")
    return place


def _chosen(data: Mapping[str, bytes], given: Mapping[str, Any]) -> dict[str, bytes]:
    """The keys that are asked for, at their paths."""
    items = given.get("items")
    if not items:
        return dict(data)
    missing = [item["key"] for item in items if item["key"] not in data]
    if missing and not given.get("optional"):
        raise NotYet(MOUNT, f"references non-existent config key: {missing[0]}")
    return {item["path"]: data[item["key"]] for item in items if item["key"] in data}


def _write(folder: Path, files: Mapping[str, bytes]) -> None:
    """As a kubelet does: the files are in a folder of this version, what a container sees are links into it."""
    version = folder / "..version"
    version.mkdir(parents=True)
    for path, content in files.items():
        target = version / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
    (folder / "..data").symlink_to(version.name)
    for name in {Path(path).parts[0] for path in files}:
        (folder / name).symlink_to(Path("..data", name))
