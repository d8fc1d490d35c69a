"""A Node object, what is said of it, and the Lease that keeps it alive."""

from __future__ import annotations

import asyncio
import platform
from datetime import UTC, datetime

from testbed.process_node.api import Api, ApiError, Manifest
from testbed.process_node.settings import NodeSpec

HOST_ADDRESS = "127.0.0.1"
_LEASES = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"
_LEASE_SECONDS, _RENEW_SECONDS = 40, 5
_MICROSECONDS = "%Y-%m-%dT%H:%M:%S.%fZ"


async def register(api: Api, spec: NodeSpec, port: int) -> None:
    """Make the Node, or take it over from an earlier process; its logs are served on `port`."""
    labels = {
        "kubernetes.io/hostname": spec.name,
        "kubernetes.io/os": "linux",
        "kubernetes.io/arch": {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine()),
        **spec.labels,
    }
    await _make(api, "/api/v1/nodes", {"kind": "Node", "metadata": {"name": spec.name, "labels": labels}})
    await _report(api, spec, port)


async def keep_alive(api: Api, spec: NodeSpec, port: int) -> None:
    """Renew the node's Lease, for ever, and set right what others say of the node meanwhile.

    The node lifecycle controller calls nodes whose Leases were not renewed Unknown, also where it was the API server
    that was away, and takes that back for no renewal: only the node's own word ends it.
    """
    name = spec.name
    manifest = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": name}}
    while True:
        now = datetime.now(UTC).strftime(_MICROSECONDS)
        lease = {"holderIdentity": name, "leaseDurationSeconds": _LEASE_SECONDS, "renewTime": now}
        await _make(api, _LEASES, manifest)
        await api.patch(f"{_LEASES}/{name}", {"spec": lease})
        if not is_ready(await api.get(f"/api/v1/nodes/{name}")):
            await _report(api, spec, port)
        await asyncio.sleep(_RENEW_SECONDS)


def is_ready(node: Manifest) -> bool:
    """What is said of a Node."""
    conditions = node.get("status", {}).get("conditions") or ()
    return any((entry["type"], entry["status"]) == ("Ready", "True") for entry in conditions)


async def _report(api: Api, spec: NodeSpec, port: int) -> None:
    await api.patch(f"/api/v1/nodes/{spec.name}/status", {"status": _status(spec, port)})


async def _make(api: Api, path: str, body: Manifest) -> None:
    try:
        await api.post(path, body)
    except ApiError as error:
        if error.code != 409:
            raise


def _status(spec: NodeSpec, port: int) -> Manifest:
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    verdicts = {
        "Ready": ("True", "KubeletReady", "the process node runs"),
        "MemoryPressure": ("False", "KubeletHasSufficientMemory", "not measured"),
        "DiskPressure": ("False", "KubeletHasNoDiskPressure", "not measured"),
        "PIDPressure": ("False", "KubeletHasSufficientPID", "not measured"),
    }
    return {
        "capacity": spec.capacity,
        "allocatable": spec.capacity,
        "addresses": [
            {"type": "InternalIP", "address": HOST_ADDRESS},
            {"type": "Hostname", "address": spec.name},
        ],
        "daemonEndpoints": {"kubeletEndpoint": {"Port": port}},
        "conditions": [
            {
                "type": kind,
                "status": status,
                "reason": reason,
                "message": message,
                "lastHeartbeatTime": now,
                "lastTransitionTime": now,
            }
            for kind, (status, reason, message) in verdicts.items()
        ],
        "nodeInfo": {
            "kubeletVersion": "process-node",
            "containerRuntimeVersion": "process://1",
            "kernelVersion": platform.release(),
            "osImage": platform.system(),
            "operatingSystem": "linux",
            "architecture": platform.machine(),
        },
    }
