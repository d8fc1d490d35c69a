"""The environment of a trainer's container, the operator's side of the contract: every variable, empty where unused.

`pet.config.environment` reads it; a test holds the two together.
"""

from __future__ import annotations

import posixpath
from typing import Any

from pet.config.job import PetTrainingJob
from pet_operator.domain import names
from pet_operator.domain.template import trainer_of

CHECKPOINTS, DATA = "/checkpoints", "/data"
TERMINATION_LOG = "/dev/termination-log"  # where Kubernetes looks unless the container says otherwise
MASTER_PORT = 29500


def environment(
    job: PetTrainingJob,
    cluster: str,
    attempt: int,
    node_index: int,
    restarts_left: int,
    *,
    saved: bool = False,
    takeover_uid: str = "",
) -> list[Any]:
    """The `env` of one pod. `restarts_left`: what its launcher may use up in place; `saved`: the job has a checkpoint;
    `takeover_uid`: the job that is gone and whose folder it may take over."""
    spec = job.spec
    stall = spec.deadlines.stall_seconds
    values = {
        "PETJOB_CLUSTER_UID": cluster,
        "PETJOB_NAMESPACE": job.namespace,
        "PETJOB_NAME": job.name,
        "PETJOB_UID": job.uid,
        "PETJOB_ATTEMPT": attempt,
        "PETJOB_NODE_INDEX": node_index,
        "PETJOB_POD_NAME": names.pod(job.name, attempt, node_index),
        "PETJOB_METRICS_PORT": spec.metrics.port,
        "PETJOB_METRICS_PER_RANK": int(spec.metrics.per_rank),
        "PETJOB_BIND_ADDRESS": "",
        "PETJOB_STARTUP_SECONDS": spec.deadlines.startup_seconds,
        "PETJOB_STALL_SECONDS": "auto" if stall is None else stall,
        "PETJOB_GRACE_SECONDS": spec.checkpoint.grace_period_seconds,
        "PETJOB_RESTARTS_LEFT": restarts_left,
        "PETJOB_RESTART_WINDOW_SECONDS": spec.restart.window_seconds,
        "PETJOB_CHECKPOINT_DIR": checkpoint_folder(job),
        "PETJOB_CHECKPOINT_KEEP": "" if spec.checkpoint.keep is None else spec.checkpoint.keep,
        "PETJOB_RESUME": _resume(job, saved=saved),
        "PETJOB_TAKEOVER_UID": takeover_uid,
        "PETJOB_DATA_DIR": DATA,
        "PETJOB_RUN_DIR": "",
        "PETJOB_TERMINATION_LOG": trainer_of(spec.template).get("terminationMessagePath") or TERMINATION_LOG,
        "PET_NNODES": spec.nodes,
        "PET_NPROC_PER_NODE": spec.ranks_per_node,
        "PET_NODE_RANK": node_index,
        "PET_MASTER_ADDR": f"{names.host(job.name, 0)}.{names.service(job.name)}",
        "PET_MASTER_PORT": MASTER_PORT,
    }
    node_name = {"name": "PETJOB_NODE_NAME", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}}
    return [*({"name": name, "value": str(value)} for name, value in values.items()), node_name]


def checkpoint_folder(job: PetTrainingJob) -> str:
    """Where checkpoints go in the pod; empty, which means that none are saved, where other pods could not see them."""
    checkpoint = job.spec.checkpoint
    if checkpoint.volume is None and job.spec.nodes > 1:
        return ""
    return posixpath.join(CHECKPOINTS, checkpoint.path)


def _resume(job: PetTrainingJob, *, saved: bool) -> str:
    """The user's wish says how the job begins, also when its first pods were lost before it had; from then on it goes
    on from its own checkpoints. A launcher that is told the wish once more prefers these as well."""
    resume = job.spec.checkpoint.resume
    if saved:
        return "Auto"
    return resume if resume in ("Auto", "Never") else posixpath.join(CHECKPOINTS, resume)
