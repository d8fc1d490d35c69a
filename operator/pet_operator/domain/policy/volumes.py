"""What a job needs of the cluster's storage before it begins: claims that are there and that all its pods can mount,
and a checkpoint folder that no other job writes to.

A folder inside another job's folder is its own: the store looks at no subfolders but those of its records.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from pet_operator.domain import names
from pet_operator.domain.conditions import Statement
from pet_operator.domain.constants import TAKE_OVER
from pet_operator.domain.decision import Observed
from pet_operator.domain.volumes import ClaimView, FolderUse, checkpoint_claim

NOT_FOUND, TERMINATING, PATH_IN_USE = "ClaimNotFound", "ClaimTerminating", "CheckpointPathInUse"
NAME_TAKEN = "ClaimNameTaken"
NOT_SHAREABLE, READ_ONLY = "CheckpointVolumeNotShareable", "CheckpointVolumeReadOnly"
DATA_NOT_SHAREABLE = "DataVolumeNotShareable"

_FIELD = "spec.checkpoint.volume"
_MANY = "ReadWriteMany"
# ReadWriteOncePod serves a job of one node: its pods follow each other. Another job's pod in the claim is waited for by
# the scheduler, which says so.
_WRITABLE = (_MANY, "ReadWriteOnce", "ReadWriteOncePod")

Problem = tuple[str, str]  # reason, and the field with its remedy


def unmet(observed: Observed) -> Statement | None:
    """Everything that is missing; the reason is the first one's. None if nothing is."""
    found = [*_checkpoints(observed), *_data(observed), *_rival(observed)]
    return Statement("False", found[0][0], "\n".join(words for _, words in found)) if found else None


def going(observed: Observed) -> str:
    """Which of the job's claims somebody deletes, so that no pod can start with it, in words; empty if none."""
    claim = next((claim for _, claim in sorted(observed.claims.items()) if claim.terminating), None)
    if claim is None:
        return ""
    again = "it is made again once it is gone" if claim.made_for == observed.job.name else "make it again"
    return f"the PersistentVolumeClaim {claim.name} is being deleted, and is waited for; {again}"


def of_predecessor(observed: Observed) -> ClaimView | None:
    """The claim that was made for the deleted job of this name and goes with it, while it is there."""
    job, claim = observed.job, observed.claims.get(names.claim(observed.job.name))
    gone = claim is not None and claim.made_for == job.name and claim.owner_uid not in ("", job.uid)
    return claim if gone else None


def _checkpoints(observed: Observed) -> list[Problem]:
    job, volume = observed.job, observed.job.spec.checkpoint.volume
    if volume is None:
        return []
    name = checkpoint_claim(job)
    claim = observed.claims.get(name)
    if volume.claim_name:
        return _unfit(f"{_FIELD}.claimName", name, claim, job.spec.nodes)
    if claim is None or claim is of_predecessor(observed):
        return []  # it is made, once there is none
    if claim.made_for != job.name:
        words = "exists and belongs to somebody else; delete it or rename the job"
        return [(NAME_TAKEN, f"{_FIELD}: the PersistentVolumeClaim {name} {words}")]
    return _unfit(_FIELD, name, claim, job.spec.nodes)


def _unfit(field: str, name: str, claim: ClaimView | None, nodes: int) -> list[Problem]:
    if claim is None or claim.terminating:
        return _absent(field, name, claim)
    if not set(_WRITABLE) & set(claim.access_modes):
        words = f"is {_or(claim.access_modes)}, and checkpoints are written; give a claim that is {_or(_WRITABLE)}"
        return [(READ_ONLY, f"{field}: {name} {words}")]
    if nodes > 1 and _MANY not in claim.access_modes:
        return [(NOT_SHAREABLE, _not_shared(field, claim, nodes, (_MANY,)))]
    return []


def _data(observed: Observed) -> list[Problem]:
    data, nodes, field = observed.job.spec.data, observed.job.spec.nodes, "spec.data.claimName"
    if data is None:
        return []
    claim = observed.claims.get(data.claim_name)
    if claim is None or claim.terminating:
        return _absent(field, data.claim_name, claim)
    modes = (_MANY, "ReadOnlyMany") if data.read_only else (_MANY,)
    if nodes > 1 and not set(modes) & set(claim.access_modes):
        return [(DATA_NOT_SHAREABLE, _not_shared(field, claim, nodes, modes))]
    return []


def _absent(field: str, name: str, claim: ClaimView | None) -> list[Problem]:
    if claim is None:
        return [(NOT_FOUND, f"{field}: there is no PersistentVolumeClaim {name} in this namespace; make it")]
    return [(TERMINATING, f"{field}: the PersistentVolumeClaim {name} is being deleted; a new one is waited for")]


def _not_shared(field: str, claim: ClaimView, nodes: int, modes: Sequence[str]) -> str:
    words = f"{claim.name} is {_or(claim.access_modes)}, which cannot be mounted on {nodes} nodes"
    return f"{field}: {words}; give a claim that is {_or(modes)}, or spec.nodes: 1"


def _or(modes: Sequence[str]) -> str:
    return " or ".join(modes)


def _rival(observed: Observed) -> list[Problem]:
    """Of the jobs in one folder that goes first which has begun, then the oldest, also when it is over."""
    job = observed.job
    mine = FolderUse(job.name, job.uid, observed.created, observed.status.attempt > 0)
    first = min((mine, *observed.rivals), key=_turn)
    if first is mine:
        return []
    path = job.spec.checkpoint.path
    words = (
        f"spec.checkpoint.path: {path} in the claim {checkpoint_claim(job)} is the folder of the job {first.job}; give "
        f"another path, with spec.checkpoint.resume: {path} to begin with that job's model, or delete that job and set "
        f"the annotation {TAKE_OVER}: {first.uid} to go on from its checkpoints"
    )
    return [(PATH_IN_USE, words)]


def _turn(use: FolderUse) -> tuple[bool, datetime, str]:
    return not use.begun, use.created or datetime.max.replace(tzinfo=UTC), use.uid
