"""Job files as data, for tests to break."""

from __future__ import annotations

from typing import Any


def manifest(name: str = "job", **spec: Any) -> dict[str, Any]:
    """A PetTrainingJob with nothing wrong, but for `spec`, the fields of its spec."""
    return {
        "apiVersion": "pet.dev/v1",
        "kind": "PetTrainingJob",
        "metadata": {"name": name},
        "spec": {"cfg": "cfgs/tasks/cls/a.yaml"} | spec,
    }


def cpu_manifest(name: str = "job", **spec: Any) -> dict[str, Any]:
    """The same for two ranks on CPU, whose configuration is to be in `spec`."""
    fields = {"gpusPerNode": 0, "procsPerNode": 2, "checkpoint": {"volume": {"size": "1Gi"}}}
    return manifest(name, **(fields | spec))
