"""What `decide` looks at, and what it answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from pet.config.job import PetTrainingJob
from pet_operator.domain.constants import Kind
from pet_operator.domain.status import JobStatus
from pet_operator.domain.views import PodView, ServiceView, TrainerView, UnreadyNode
from pet_operator.domain.volumes import ClaimView, FolderUse

DELETE_REFUSED = "DeleteRefused"


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """What all jobs of a cluster share. `cluster` is the uid of the namespace kube-system."""

    cluster: str
    trainer_image: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Validation:
    """What the checks of `pet.config` found; made once for each generation of a job."""

    problems: tuple[str, ...] = ()
    warnings: tuple[tuple[str, str], ...] = ()  # (reason, message)
    script: str = ""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why one of a job's objects cannot be made, or not be deleted: a CamelCase reason, and which and why in words."""

    reason: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """One job and what belongs to it, as the caches have it at one moment.

    `claims` are those that the job names or has made for it, by name; `rivals` the other jobs that write to its
    checkpoint folder; `holder` what is there of the job whose folder it wants to take over, empty if nothing is.
    `unready` are nodes by name, as far as nodes are watched; `cut_off`: most of the cluster's are, so that no time
    counts for them; `leaving` tells for how many seconds pods, by uid, have
    been seen terminating without a gap, `ended` likewise of those whose ranks are over. `refused` is how the newest
    attempt at making or deleting this job's objects went, None if that could be done.
    """

    job: PetTrainingJob
    generation: int
    resource_version: str
    status: JobStatus
    validation: Validation
    site: Site
    synced: bool = True
    deleting: bool = False
    created: datetime | None = None
    pods: tuple[PodView, ...] = ()  # of all attempts
    predecessors: tuple[PodView, ...] = ()  # of a deleted job with the same name
    service: ServiceView | None = None
    claims: Mapping[str, ClaimView] = field(default_factory=dict)
    rivals: tuple[FolderUse, ...] = ()
    holder: str = ""
    trainers: Mapping[str, TrainerView] = field(default_factory=dict)  # pod's uid → answer; absent: unknown
    unready: Mapping[str, UnreadyNode] = field(default_factory=dict)
    cut_off: bool = False
    leaving: Mapping[str, float] = field(default_factory=dict)
    ended: Mapping[str, float] = field(default_factory=dict)
    refused: Refusal | None = None

    @property
    def over(self) -> bool:
        """Finished; an invalid job that never had an attempt is judged again when it was edited."""
        status = self.status
        return status.finished and (status.attempt > 0 or status.observed_generation == self.generation)

    @property
    def under_way(self) -> bool:
        """Whether an attempt was begun and has not ended yet."""
        return self.status.attempt > 0 and self.status.current.ended_at is None

    @property
    def current(self) -> tuple[PodView, ...]:
        """The pods of the attempt that counts now, by their place in the job."""
        attempt = self.status.attempt
        return tuple(sorted((pod for pod in self.pods if pod.attempt == attempt), key=lambda pod: pod.node_index))


@dataclass(frozen=True, slots=True)
class Create:
    """Make an object. One of this name that is ours already is what we want."""

    kind: Kind
    manifest: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Delete:
    """Delete the object of this name if it still has this uid; empty: if it is the job's, for what nobody watches.
    `force`: at once, whatever may still run of it."""

    kind: Kind
    name: str
    uid: str
    force: bool = False


Action = Create | Delete


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do now, in order, what to write, and when to look again without being told (seconds)."""

    status: JobStatus
    actions: tuple[Action, ...] = ()
    requeue_after: float | None = None
