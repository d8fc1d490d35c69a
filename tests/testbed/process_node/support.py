"""What a pod may ask for that processes on a machine cannot do, or that nobody needed: said, never ignored."""

from __future__ import annotations

from testbed.process_node.api import Manifest

_CONTAINER_FIELDS = ("livenessProbe", "readinessProbe", "startupProbe", "lifecycle", "volumeDevices", "restartPolicy")


def unsupported(pod: Manifest) -> list[str]:
    """Sentences, none for a pod that can run. Security contexts and limits count for nothing, as without root."""
    spec = pod["spec"]
    found = []
    if len(spec["containers"]) != 1:
        found.append(f"a process node runs pods with one container; this one has {len(spec['containers'])}")
    if spec.get("restartPolicy") != "Never":
        found.append(f"a process node restarts nothing: restartPolicy must be Never, not {spec.get('restartPolicy')}")
    if "activeDeadlineSeconds" in spec:
        found.append("a process node knows no activeDeadlineSeconds")
    for container in [*(spec.get("initContainers") or ()), *spec["containers"]]:
        found += [
            f"a process node knows no {field} of containers (container {container['name']})"
            for field in _CONTAINER_FIELDS
            if field in container
        ]
        if not container.get("command"):
            found.append(f"a process node reads no images: container {container['name']} must say its command")
    return found
