"""The status of a job, as the operator means it and as the API server keeps it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

PENDING, STARTING, RUNNING, RESTARTING = "Pending", "Starting", "Running", "Restarting"
SUSPENDED, SUCCEEDED, FAILED = "Suspended", "Succeeded", "Failed"
FINISHED = (SUCCEEDED, FAILED)
# Pods of the attempt may still have to be made; after these phases one that is absent is lost.
MAKING = ("", PENDING, RESTARTING)

KEPT_ATTEMPTS = 10


@dataclass(frozen=True, slots=True)
class Nodes:
    """How many pods there should be, and how many are ready."""

    desired: int = 0
    ready: int = 0


@dataclass(frozen=True, slots=True)
class Progress:
    """What the launcher of rank 0 told last. `metrics` are the newest evaluation's, as text."""

    iteration: int | None = None
    max_iterations: int | None = None
    percent: int | None = None
    epoch: int | None = None
    loss: float | None = None
    learning_rate: float | None = None
    samples_per_second: float | None = None
    eta_seconds: int | None = None
    observed_at: datetime | None = None
    stale: bool = False
    metrics: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Display:
    """The texts of the table that `kubectl get` prints."""

    step: str = ""
    eta: str = ""
    loss: str = ""


@dataclass(frozen=True, slots=True)
class CheckpointStatus:
    """The newest checkpoint that the ranks told of."""

    iteration: int | None = None
    file: str = ""
    bytes: int | None = None
    saved_at: datetime | None = None
    verified: bool | None = None


@dataclass(frozen=True, slots=True)
class Failure:
    """The root cause of the end of an attempt. `class_` is the exit class, for example `AppError`."""

    class_: str = ""
    type: str = ""
    message: str = ""
    exit_code: int | None = None
    rank: int | None = None
    pod: str = ""
    node_index: int | None = None
    node: str = ""
    iteration: int | None = None
    traceback: str = ""


@dataclass(frozen=True, slots=True)
class Hang:
    """The ranks that all others wait for, of one pod; a long list is cut. `section` is what they are at, after
    `iteration`."""

    since: datetime | None = None
    ranks: tuple[int, ...] = ()
    pod: str = ""
    node_index: int | None = None
    node: str = ""
    iteration: int | None = None
    section: str = ""


@dataclass(frozen=True, slots=True)
class LostSeconds:
    """Seconds without progress, by cause."""

    queue: int = 0
    startup: int = 0
    redo: int = 0
    stall: int = 0
    restart: int = 0


@dataclass(frozen=True, slots=True)
class StateSeconds(LostSeconds):
    """These and those with progress, times the GPUs that the job had asked for then."""

    productive: int = 0


@dataclass(frozen=True, slots=True)
class ToldSeconds:
    """What the ranks had told of their newest start when seconds were counted last."""

    productive: int = 0
    redo: int = 0
    stall: int = 0


@dataclass(frozen=True, slots=True)
class Accounting:
    """What became of the time until `counted_until`, when the pods held so many `gpus`. Productive and lost seconds add
    up to all of it."""

    gpu_seconds: int = 0
    productive_seconds: int = 0
    lost_seconds: LostSeconds = LostSeconds()
    gpu_seconds_by_state: StateSeconds = StateSeconds()
    counted_until: datetime | None = None
    gpus: int = 0
    told: ToldSeconds = ToldSeconds()


@dataclass(frozen=True, slots=True)
class AttemptRecord:
    """One attempt, from its decision to its end. `restarts` counts the starts of ranks in place of failed ones."""

    attempt: int = 0
    started_at: datetime | None = None
    ended_at: datetime | None = None
    from_iteration: int | None = None
    to_iteration: int | None = None
    restarts: int = 0
    reason: str = ""
    rank: int | None = None
    node: str = ""
    exit_code: int | None = None
    message: str = ""


@dataclass(frozen=True, slots=True)
class RestartWindow:
    """How many restarts were counted since it began, whether checkpoints advanced or not."""

    since: datetime | None = None
    restarts: int = 0


@dataclass(frozen=True, slots=True)
class Condition:
    """As every Kubernetes condition."""

    type: str = ""
    status: str = "Unknown"
    reason: str = ""
    message: str = ""
    observed_generation: int = 0
    last_transition_time: datetime | None = None


@dataclass(frozen=True, slots=True)
class JobStatus:
    """The whole status; `attempt` 0 means that none was begun.

    `config_map` is the one that its pods have the configuration from, empty if none is embedded, or it has none yet;
    `restart_requested` is the newest request that an attempt followed, `recent_restarts` are the times of the counted
    restarts since the newest checkpoint last advanced.
    """

    observed_generation: int = 0
    spec_hash: str = ""
    config_map: str = ""
    restart_requested: datetime | None = None
    phase: str = ""
    reason: str = ""
    message: str = ""
    script: str = ""
    world_size: int | None = None
    attempt: int = 0
    restarts: int = 0
    recent_restarts: tuple[datetime, ...] = ()
    restart_window: RestartWindow | None = None
    rank0_pod: str = ""
    start_time: datetime | None = None
    completion_time: datetime | None = None
    nodes: Nodes | None = None
    progress: Progress | None = None
    display: Display | None = None
    checkpoint: CheckpointStatus | None = None
    hang: Hang | None = None
    failure: Failure | None = None
    attempts: tuple[AttemptRecord, ...] = ()
    accounting: Accounting | None = None
    conditions: tuple[Condition, ...] = ()

    @property
    def finished(self) -> bool:
        """Whether nothing more will be done for the job."""
        return self.phase in FINISHED

    @property
    def current(self) -> AttemptRecord:
        """The record of the attempt that counts now; an empty one before the first."""
        return self.attempts[-1] if self.attempts else AttemptRecord()
