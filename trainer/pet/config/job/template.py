"""`spec.template` of a job: what Kubernetes gives a pod, without what the operator says itself."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from typing import Any

from pet.config.environment import RESERVED_NAMES, RESERVED_PREFIXES, is_reserved
from pet.config.job.fields import Fields
from pet.config.values import show

# What the operator says itself, and where to say it instead. What is the same anyway may be in a template.
_OVERRULED_OF_TRAINER = {
    "image": "give spec.image",
    "command": "the operator starts Pet's launcher; give spec.cfg and spec.scriptArgs, or a container of another name",
    "args": "the operator starts Pet's launcher; give spec.cfg and spec.scriptArgs, or a container of another name",
    "restartPolicy": "the launcher is never restarted by the kubelet, see spec.restart; leave it out",
    "restartPolicyRules": "the launcher is never restarted by the kubelet, see spec.restart; leave it out",
}
_OVERRULED_OF_POD = {
    "hostname": "ranks find each other by the operator's names; leave it out",
    "subdomain": "ranks find each other by the operator's names; leave it out",
    "restartPolicy": "pods of a job are never restarted by the kubelet, see spec.restart; leave it out",
    "enableServiceLinks": "pods of a job have no variables of Services; leave it out",
    "terminationGracePeriodSeconds": "give spec.checkpoint.gracePeriodSeconds",
}
_OVERRULED_OF_METADATA = {
    "name": "each pod has a name by its place in the job; leave it out",
    "generateName": "each pod has a name by its place in the job; leave it out",
    "namespace": "pods are in the job's namespace; leave it out",
    "finalizers": "a pod that is held would be in the way of the next attempt; leave it out",
    "ownerReferences": "pods belong to their job; leave it out",
}
# Where the operator mounts volumes of its own into the trainer's container: always, or where the spec has this field.
_MOUNTED = {
    "/checkpoints": ("", "give spec.checkpoint.volume"),
    "/data": ("data", "give the claim in spec.data, or leave spec.data out"),
    "/etc/pet": ("config", "spec.config is mounted there; choose another place"),
}
_VOLUME_NAMES = ("pet-checkpoints", "pet-config", "pet-data", "pet-shm")
_SAME = {"restartPolicy": "Never", "enableServiceLinks": False}
_TRAINER = "trainer"

# What the operator looks at in a template, or puts something beside. A list here holds the form of its entries, if it
# matters.
_CONTAINER: dict[str, Any] = {
    "env": [{}],
    "ports": [{}],
    "resources": {"limits": {}},
    "securityContext": {"capabilities": {"add": []}},
    "volumeMounts": [{}],
}
_TEMPLATE: dict[str, Any] = {
    "metadata": {"labels": {}, "annotations": {}},
    "spec": {
        "containers": [_CONTAINER],
        "initContainers": [_CONTAINER],
        "securityContext": {"seccompProfile": {}},
        "tolerations": [{}],
        "volumes": [{}],
    },
}


def read_template(spec: Fields) -> dict[str, Any]:
    """`spec.template` as it is: of the form that Kubernetes gives a pod, with the operator's environment names free."""
    template = spec.child("template")
    _check_form(template, _TEMPLATE)
    _check_overruled(template)
    _check_volumes(template, {path: remedy for path, (field, remedy) in _MOUNTED.items() if not field or field in spec})
    template.close()
    return template.content


def _check_form(owner: Fields, form: Mapping[str, Any]) -> None:
    for name, inner in form.items():
        if name == "env":
            _check_environment(owner)
        elif isinstance(inner, Mapping):
            _check_form(owner.child(name), inner)
        else:
            for index, entry in enumerate(_entries(owner, name)):
                for form_of_entry in inner:
                    if entry is None:
                        owner.report(f"{name}[{index}]", "null is not a mapping")
                    _check_form(Fields(entry, f"{owner.path}.{name}[{index}]", owner.problems), form_of_entry)


def _check_overruled(template: Fields) -> None:
    """What has no effect is refused: a job would run otherwise than its author believes."""
    metadata, spec = (part if isinstance(part := template.value(name), dict) else {} for name in ("metadata", "spec"))
    trainers = [(path, container, _OVERRULED_OF_TRAINER) for path, container in _trainers(template)]
    parts = [("metadata", metadata, _OVERRULED_OF_METADATA), ("spec", spec, _OVERRULED_OF_POD), *trainers]
    for path, content, overruled in parts:
        for name, remedy in overruled.items():
            if content.get(name) not in (None, [], _SAME.get(name)):
                template.report(f"{path}.{name}", f"has no effect: {remedy}")


def _check_volumes(template: Fields, mounted: Mapping[str, str]) -> None:
    """`mounted`: the places that are the operator's, each with what to do instead."""
    for path, container in _trainers(template):
        for index, mount in enumerate(_mappings(container.get("volumeMounts"))):
            where = mount.get("mountPath")
            place = posixpath.normpath(where) if isinstance(where, str) else ""
            if place in mounted:
                field = f"{path}.volumeMounts[{index}].mountPath"
                template.report(field, f"{place} has no effect: the operator mounts a volume there; {mounted[place]}")
    spec = template.value("spec")
    for index, volume in enumerate(_mappings(spec.get("volumes") if isinstance(spec, dict) else None)):
        if (name := volume.get("name")) in _VOLUME_NAMES:
            words = f"{name} has no effect: the operator calls a volume of its own so; choose another name"
            template.report(f"spec.volumes[{index}].name", words)


def _trainers(template: Fields) -> list[tuple[str, Mapping[str, Any]]]:
    """The trainer's container, and those of the same name that Kubernetes would refuse, each with its path."""
    spec = template.value("spec")
    containers = enumerate(_mappings(spec.get("containers") if isinstance(spec, dict) else None))
    return [(f"spec.containers[{i}]", container) for i, container in containers if container.get("name") == _TRAINER]


def _mappings(entries: object) -> list[Mapping[str, Any]]:
    """The entries of a list, whatever else there is as empty ones: it is refused by its form."""
    return [entry if isinstance(entry, dict) else {} for entry in entries] if isinstance(entries, list) else []


def _check_environment(container: Fields) -> None:
    for index, variable in enumerate(_entries(container, "env")):
        name = variable.get("name") if isinstance(variable, dict) else None
        if not isinstance(name, str):
            container.report(f"env[{index}]", f"{show(variable)} has no name")
        elif is_reserved(name):
            reserved = ", ".join([*RESERVED_NAMES, *(f"{prefix}*" for prefix in RESERVED_PREFIXES)])
            container.report(
                f"env[{index}].name", f"{name} is reserved, the operator sets it; choose a name other than {reserved}"
            )


def _entries(owner: Fields, name: str) -> list[Any]:
    """A list of anything; empty where it is absent or wrong."""
    value = owner.value(name)
    if isinstance(value, list):
        return value
    if value is not None:
        owner.report(name, f"{show(value)} is not a list")
    return []
