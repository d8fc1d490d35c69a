"""A Node object and the Lease that keeps it alive."""

from __future__ import annotations

import asyncio
import platform
from datetime import UTC, datetime

from testbed.process_node.api import Api, ApiError, Manifest
from testbed.process_node.settings import NodeSpec

HOST_ADDRESS = "127.0.0.1"
_LEASES = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"
_LEASE_SECONDS, _RENEW_SECONDS = 40, 10
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
    await api.patch(f"/api/v1/nodes/{spec.name}/status", {"status": _status(spec, port)})


async def keep_alive(api: Api, name: str) -> None:
    """Renew the node's Lease, for ever."""
    manifest = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": name}}
    while True:
        now = datetime.now(UTC).strftime(_MICROSECONDS)
        spec = {"holderIdentity": name, "leaseDurationSeconds": _LEASE_SECONDS, "renewTime": now}
        await _make(api, _LEASES, manifest)
        await api.patch(f"{_LEASES}/{name}", {"spec": spec})
        await asyncio.sleep(_RENEW_SECONDS)


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
