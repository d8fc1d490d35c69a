"""The objects of a job, as manifests."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pet.config.job import PetTrainingJob
from pet_operator.domain import names
from pet_operator.domain.constants import (
    CLAIM,
    CONFIG_MAP,
    GROUP,
    JOB,
    LABEL_ATTEMPT,
    LABEL_JOB,
    LABEL_JOB_UID,
    LABEL_MANAGED_BY,
    LABEL_NODE_INDEX,
    LABEL_TYPE,
    MANAGED_BY,
    POD,
    SERVICE,
    Kind,
)
from pet_operator.domain.decision import Create, Site
from pet_operator.domain.environment import MASTER_PORT, environment
from pet_operator.domain.pod_spec import CONFIG_KEY, pod_spec
from pet_operator.domain.template import overlay

CONTROLLER = f"{GROUP}/{MANAGED_BY}"


def shared(job: PetTrainingJob, script: str) -> tuple[Create, ...]:
    """What all attempts share, but for the Service: the configuration, and a claim if the job asks for a size."""
    return (*config_map(job, script), *claim(job, script))


def config_map(job: PetTrainingJob, script: str) -> tuple[Create, ...]:
    """The embedded configuration, of a job that has one."""
    return (_config_map(job, job.spec.config, script),) if job.spec.config is not None else ()


def claim(job: PetTrainingJob, script: str) -> tuple[Create, ...]:
    """The claim for the checkpoints, of a job that asks for a size."""
    volume = job.spec.checkpoint.volume
    return (_claim(job, script),) if volume is not None and volume.size else ()


def service(job: PetTrainingJob, script: str) -> Create:
    """The headless Service: names for the pods that resolve before they are ready, since rendezvous comes first."""
    spec = {
        "clusterIP": "None",
        "publishNotReadyAddresses": True,
        "selector": {LABEL_JOB_UID: job.uid},
        "ports": [{"name": "rendezvous", "port": MASTER_PORT}, {"name": "metrics", "port": job.spec.metrics.port}],
    }
    return _create(SERVICE, job, script, names.service(job.name), {"spec": spec})


def pod(
    job: PetTrainingJob,
    site: Site,
    script: str,
    attempt: int,
    node_index: int,
    restarts_left: int,
    avoided: tuple[str, ...] = (),
    *,
    saved: bool = False,
    takeover_uid: str = "",
) -> Create:
    """One pod of one attempt. `avoided`: nodes that it had better not be on; the others are `environment`'s."""
    env = environment(job, site.cluster, attempt, node_index, restarts_left, saved=saved, takeover_uid=takeover_uid)
    template = job.spec.template.get("metadata") or {}
    labels = {LABEL_ATTEMPT: str(attempt), LABEL_NODE_INDEX: str(node_index)}
    metadata = {
        "labels": {**(template.get("labels") or {}), **labels},
        "annotations": {
            "kubectl.kubernetes.io/default-container": "trainer",
            **(template.get("annotations") or {}),
        },
    }
    content = {"metadata": metadata, "spec": pod_spec(job, site.trainer_image, env, node_index, avoided)}
    return _create(POD, job, script, names.pod(job.name, attempt, node_index), content)


def _config_map(job: PetTrainingJob, config: str, script: str) -> Create:
    content = {"immutable": True, "data": {CONFIG_KEY: config}}
    return _create(CONFIG_MAP, job, script, names.config_map(job.name, config), content)


def _claim(job: PetTrainingJob, script: str) -> Create:
    """The claim outlives the job unless it says otherwise: garbage collection takes what has an owner."""
    checkpoint = job.spec.checkpoint
    assert checkpoint.volume is not None
    modes = checkpoint.volume.access_modes or (("ReadWriteMany",) if job.spec.nodes > 1 else ("ReadWriteOnce",))
    spec: dict[str, Any] = {"accessModes": list(modes), "resources": {"requests": {"storage": checkpoint.volume.size}}}
    if checkpoint.volume.storage_class_name:
        spec["storageClassName"] = checkpoint.volume.storage_class_name
    owned = checkpoint.on_delete == "Delete"
    return _create(CLAIM, job, script, names.claim(job.name), {"spec": spec}, owned=owned)


def _create(
    kind: Kind, job: PetTrainingJob, script: str, name: str, content: Mapping[str, Any], *, owned: bool = True
) -> Create:
    owner = {
        "apiVersion": JOB.api_version,
        "kind": JOB.kind,
        "name": job.name,
        "uid": job.uid,
        "controller": True,
        "blockOwnerDeletion": True,
    }
    labels = {
        "app.kubernetes.io/name": "pet-trainer",
        "app.kubernetes.io/instance": job.name,
        "app.kubernetes.io/component": "trainer",
        LABEL_MANAGED_BY: MANAGED_BY,
        LABEL_JOB: job.name,
        LABEL_JOB_UID: job.uid,
        LABEL_TYPE: _type(script),
    }
    metadata: dict[str, Any] = {"name": name, "namespace": job.namespace, "labels": labels}
    if owned:
        metadata["ownerReferences"] = [owner]
    return Create(kind, overlay(content, {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": metadata}))


def _type(script: str) -> str:
    """`tools/tasks/cls/train_net.py` → `tasks`."""
    parts = script.split("/")
    return parts[1] if len(parts) > 2 else ""
