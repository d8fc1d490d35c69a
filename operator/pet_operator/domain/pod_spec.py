"""The spec of a trainer's pod: what the operator decides over what the user's template says.

Where a field is the user's choice (security, tolerations) the operator's value is only the default under it.
"""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from typing import Any

from pet.config.job import JobSpec, PetTrainingJob
from pet_operator.domain import names
from pet_operator.domain.constants import CONTAINER
from pet_operator.domain.environment import CHECKPOINTS, DATA
from pet_operator.domain.quantity import memory_request, shared_memory_size
from pet_operator.domain.template import mounts, overlay, trainer_of
from pet_operator.domain.volumes import checkpoint_claim

CONFIG_KEY = "config.yaml"
_CONFIG_ROOT = "/etc/pet"
_LOST = ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable")
_TOLERATED_SECONDS = 30
_HOSTNAME = "kubernetes.io/hostname"
_PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"


def pod_spec(
    job: PetTrainingJob, image: str, environment: list[Any], node_index: int, avoided: tuple[str, ...] = ()
) -> dict[str, Any]:
    """The whole spec. `image` counts where the job names none; `avoided` are names of nodes."""
    theirs = job.spec.template.get("spec") or {}
    tolerations = {"tolerations": _tolerations(theirs.get("tolerations") or [])}
    spec = overlay(overlay(_defaults(job.spec), {**theirs, **tolerations}), _ours(job, image, environment, node_index))
    return overlay(spec, _elsewhere(spec, avoided)) if avoided else spec


def command_line(spec: JobSpec) -> list[str]:
    """The launcher's arguments. The kubelet expands `$(NAME)`; a doubled dollar is one that it leaves alone."""
    where = posixpath.normpath(spec.cfg)
    cfg = posixpath.join(_CONFIG_ROOT, where) if spec.config is not None else where
    kind = ("--type", spec.type) if spec.type else ()
    words = ("--cfg", cfg, *kind, *spec.script_args, *spec.override_args)
    return [word.replace("$", "$$") for word in words]


def _defaults(spec: JobSpec) -> dict[str, Any]:
    theirs = trainer_of(spec.template).get("securityContext") or {}
    added = (theirs.get("capabilities") or {}).get("add") or ()
    # The API server refuses these two together with allowPrivilegeEscalation: false.
    privileged = theirs.get("privileged") or "CAP_SYS_ADMIN" in added
    escalation = {} if privileged else {"allowPrivilegeEscalation": False}
    return {
        "automountServiceAccountToken": False,
        "securityContext": {
            "seccompProfile": {"type": "RuntimeDefault"},
            "fsGroupChangePolicy": "OnRootMismatch",
        },
        "containers": [{"name": CONTAINER, "securityContext": {**escalation, "capabilities": {"drop": ["ALL"]}}}],
    }


def _tolerations(theirs: list[Any]) -> list[Any]:
    """With how long a lost node is waited for, where the user does not say it: the API server's default is 300 s."""
    waits = [each for each in theirs if each.get("effect") in (None, "", "NoExecute")]
    said = [each.get("key") or "" for each in waits]
    return theirs + [
        {"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": _TOLERATED_SECONDS}
        for key in _LOST
        if key not in said and "" not in said  # one without a key tolerates everything
    ]


def _elsewhere(spec: Mapping[str, Any], avoided: tuple[str, ...]) -> dict[str, Any]:
    """A preference beside the user's own, as strong as one can be, and no more: in a cluster of one node, or where the
    user requires what only these nodes have, the job must still run."""
    term = {"key": _HOSTNAME, "operator": "NotIn", "values": list(avoided)}
    node_affinity = (spec.get("affinity") or {}).get("nodeAffinity") or {}
    theirs = node_affinity.get(_PREFERRED) or []
    preferred = [*theirs, {"weight": 100, "preference": {"matchExpressions": [term]}}]
    return {"affinity": {"nodeAffinity": {_PREFERRED: preferred}}}


def _ours(job: PetTrainingJob, image: str, environment: list[Any], node_index: int) -> dict[str, Any]:
    spec = job.spec
    volumes, mounted = _volumes(job)
    container: dict[str, Any] = {
        "name": CONTAINER,
        "image": spec.image or image,
        "command": ["python", "-u", "tools/train_net_all.py"],
        "args": command_line(spec),
        "env": environment,
        "ports": [{"name": "metrics", "containerPort": spec.metrics.port}],
        "volumeMounts": mounted,
    }
    if resources := _resources(spec):
        container["resources"] = resources
    return {
        "hostname": names.host(job.name, node_index),
        "subdomain": names.service(job.name),
        "restartPolicy": "Never",
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": spec.checkpoint.grace_period_seconds,
        "volumes": volumes,
        "containers": [container],
    }


def _resources(spec: JobSpec) -> dict[str, Any]:
    """What is asked for beside the user's own words, or instead of them."""
    trainer = trainer_of(spec.template)
    memory = memory_request(trainer, spec.shared_memory.size) if _shared_memory(spec) else None
    limits = {"limits": {spec.gpu_resource: str(spec.gpus_per_node)}} if spec.gpus_per_node else {}
    return {**limits, **({"requests": {"memory": memory}} if memory else {})}


def _shared_memory(spec: JobSpec) -> str:
    """The size of /dev/shm, empty where it is left alone."""
    trainer = trainer_of(spec.template)
    if spec.shared_memory.disabled or mounts(trainer, "/dev/shm"):
        return ""
    return spec.shared_memory.size or shared_memory_size(trainer)


def _volumes(job: PetTrainingJob) -> tuple[list[Any], list[Any]]:
    """The pod's volumes and the container's mounts of them."""
    spec = job.spec
    volumes, mounted = [], []

    def add(name: str, source: Mapping[str, Any], path: str, **how: Any) -> None:
        volumes.append({"name": name, **source})
        mounted.append({"name": name, "mountPath": path, **how})

    if spec.config is not None:
        items = [{"key": CONFIG_KEY, "path": posixpath.normpath(spec.cfg)}]
        source = {"configMap": {"name": names.config_map(job.name, spec.config), "items": items}}
        add("pet-config", source, _CONFIG_ROOT, readOnly=True)
    if claim := checkpoint_claim(job):
        add("pet-checkpoints", {"persistentVolumeClaim": {"claimName": claim}}, CHECKPOINTS)
    elif spec.nodes == 1:
        add("pet-checkpoints", {"emptyDir": {}}, CHECKPOINTS)
    if spec.data is not None:
        claim_source = {"claimName": spec.data.claim_name, "readOnly": spec.data.read_only}
        folder = {"subPath": spec.data.path} if spec.data.path else {}
        add("pet-data", {"persistentVolumeClaim": claim_source}, DATA, readOnly=spec.data.read_only, **folder)
    if size := _shared_memory(spec):
        add("pet-shm", {"emptyDir": {"medium": "Memory", "sizeLimit": size}}, "/dev/shm")
    return volumes, mounted
