"""Claims, and what jobs want of them: the part of a claim, and of a job's manifest, that decisions look at."""

from __future__ import annotations

import posixpath
from dataclasses import dataclass
from datetime import datetime

from pet.config.job import PetTrainingJob
from pet_operator.domain import names
from pet_operator.domain.codec import decode, read_time
from pet_operator.domain.constants import LABEL_JOB, LABEL_MANAGED_BY, MANAGED_BY
from pet_operator.domain.views import Manifest, owner_of


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimView:
    """A PersistentVolumeClaim. `made_for` is the name of the job that an operator made it for, empty for others;
    `owner_uid` is that of the job that it goes with, empty if it outlives all jobs."""

    name: str
    access_modes: tuple[str, ...]
    terminating: bool = False
    made_for: str = ""
    owner_uid: str = ""


@dataclass(frozen=True, slots=True)
class FolderUse:
    """A job that writes its checkpoints to some folder. `begun`: it has had an attempt."""

    job: str
    uid: str
    created: datetime | None = None
    begun: bool = False


@dataclass(frozen=True, slots=True)
class JobVolumes:
    """The claims that a job names or has made for it, and its checkpoint folder as (claim, path), None without one."""

    claims: frozenset[str]
    folder: tuple[str, str] | None
    use: FolderUse


def claim_view(claim: Manifest) -> ClaimView:
    """A claim. A volume may have more modes than the claim asks for; once it is bound they are in the status."""
    metadata, labels = claim["metadata"], claim["metadata"].get("labels") or {}
    modes = (claim.get("status") or {}).get("accessModes") or (claim.get("spec") or {}).get("accessModes") or ()
    return ClaimView(
        name=metadata["name"],
        access_modes=tuple(modes),
        terminating="deletionTimestamp" in metadata,
        made_for=labels.get(LABEL_JOB, "") if labels.get(LABEL_MANAGED_BY) == MANAGED_BY else "",
        owner_uid=owner_of(claim).get("uid", ""),
    )


def job_volumes(job: Manifest) -> JobVolumes:
    """What a job's manifest says, read without all the rest: it is asked at every change of every job."""
    metadata, parts = job["metadata"], decode(_Job, job)
    name, checkpoint = metadata["name"], parts.spec.checkpoint
    claim = "" if checkpoint.volume is None else checkpoint.volume.claim_name or names.claim(name)
    folder = (claim, posixpath.normpath(checkpoint.path or name)) if claim else None
    created = read_time(metadata.get("creationTimestamp"))
    use = FolderUse(name, metadata["uid"], created, begun=parts.status.attempt > 0)
    return JobVolumes(frozenset({claim, parts.spec.data.claim_name} - {""}), folder, use)


def checkpoint_claim(job: PetTrainingJob) -> str:
    """The claim that holds the job's checkpoints, empty without a volume."""
    volume = job.spec.checkpoint.volume
    return "" if volume is None else volume.claim_name or names.claim(job.name)


# The parts of a job that are read here; whatever else is in their place counts as nothing.


@dataclass(frozen=True)
class _Claim:
    claim_name: str = ""


@dataclass(frozen=True)
class _Checkpoint:
    volume: _Claim | None = None
    path: str = ""


@dataclass(frozen=True)
class _Spec:
    checkpoint: _Checkpoint = _Checkpoint()
    data: _Claim = _Claim()


@dataclass(frozen=True)
class _Status:
    attempt: int = 0


@dataclass(frozen=True)
class _Job:
    spec: _Spec = _Spec()
    status: _Status = _Status()
