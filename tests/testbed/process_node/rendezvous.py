"""Where the pods of one job meet: the part of cluster DNS that a trainer needs, told by variables.

Every pod has an address of its own in 127.0.0.0/8, but the master's store listens on all addresses of the machine: so
each master has a port of its own as well.
"""

from __future__ import annotations

import ipaddress
import random

from testbed.process_node.api import Api, ApiError, Manifest
from testbed.process_node.errors import NotYet
from testbed.process_node.mirror import Mirror
from testbed.processes import free_port

BIND_ADDRESS, MASTER_ADDRESS, MASTER_PORT = "PETJOB_BIND_ADDRESS", "PET_MASTER_ADDR", "PET_MASTER_PORT"


class Rendezvous:
    """Addresses and master ports of all pods that `pods` mirrors."""

    def __init__(self, api: Api, pods: Mirror) -> None:
        self._api = api
        self._pods = pods
        self._ports: dict[str, int] = {}

    def new_address(self) -> str:
        """An address of the loopback network. Nobody keeps a list of these: there are 16 million."""
        return f"127.{random.randint(1, 254)}.{random.randint(0, 255)}.{random.randint(1, 254)}"

    async def variables(self, given: dict[str, str], pod: Manifest) -> dict[str, str]:
        """The container's own variables of these names with what holds on this machine. Raises NotYet."""
        found = {}
        if BIND_ADDRESS in given:
            found[BIND_ADDRESS] = pod["status"]["podIP"]
        host = given.get(MASTER_ADDRESS, "")
        if "." in host and not _is_address(host):
            master = await self._find(host, pod)
            found[MASTER_ADDRESS] = master["status"]["podIP"]
            found[MASTER_PORT] = str(self._port(master["metadata"]["uid"]))
        return found

    async def _find(self, host: str, pod: Manifest) -> Manifest:
        """The pod that DNS would name so: it has an address, and the headless service publishes it. Raises NotYet."""
        name, subdomain, *_ = host.split(".")
        namespace = pod["metadata"]["namespace"]
        named = [
            other
            for other in self._pods.objects.values()
            if other["metadata"]["namespace"] == namespace
            and (other["spec"].get("hostname"), other["spec"].get("subdomain")) == (name, subdomain)
            and (other.get("status") or {}).get("podIP")
            and other["status"].get("phase") in ("Pending", "Running")
        ]
        if named:
            try:
                service = await self._api.get(f"/api/v1/namespaces/{namespace}/services/{subdomain}")
            except ApiError as error:
                raise NotYet("ContainerCreating", f"{host} has no address: {error}") from error
            published = [other for other in named if _publishes(service["spec"], other)]
            if published:
                return max(published, key=lambda other: str(other["metadata"]["creationTimestamp"]))
        raise NotYet("ContainerCreating", f"{host} has no address yet")

    def _port(self, master: str) -> int:
        for gone in self._ports.keys() - self._pods.objects.keys():
            del self._ports[gone]
        if master not in self._ports:
            self._ports[master] = free_port(self._ports.values())
        return self._ports[master]


def _publishes(service: Manifest, pod: Manifest) -> bool:
    labels = pod["metadata"].get("labels") or {}
    selector = service.get("selector") or {}
    ready = any(entry["type"] == "Ready" and entry["status"] == "True" for entry in pod["status"]["conditions"])
    return (
        service.get("clusterIP") == "None"
        and bool(selector)
        and selector.items() <= labels.items()
        and (ready or service.get("publishNotReadyAddresses", False))
    )


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
