"""How the objects of a job are called. Names of pods are never used again: each attempt has its own."""

from __future__ import annotations

import hashlib


def service(job: str) -> str:
    """The headless Service, the subdomain of the pods' host names."""
    return job


def pod(job: str, attempt: int, node_index: int) -> str:
    """One pod of one attempt."""
    return f"{job}-{attempt}-{node_index}"


def job_of_pod(name: str) -> str:
    """The job that a pod of this name may belong to."""
    return name.rsplit("-", 2)[0]


def host(job: str, node_index: int) -> str:
    """The host name of the pod with this place in the job, the same in every attempt."""
    return f"{job}-{node_index}"


def config_map(job: str, config: str) -> str:
    """The ConfigMap that holds this text."""
    return f"{job}-config-{hashlib.sha256(config.encode()).hexdigest()[:8]}"


def claim(job: str) -> str:
    """The claim that is made where the job asks for a size."""
    return f"{job}-checkpoints"
