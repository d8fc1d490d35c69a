"""A PetTrainingJob as frozen values: what `read_job` makes of a manifest, and what everything behind it looks at.

Fields are those of the resource in Python's spelling. Times are seconds; quantities keep Kubernetes' text (`16Gi`).
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from pet.config.environment import DEFAULT_METRICS_PORT
from pet.config.values import read_text

API_VERSION = "pet.dev/v1"
KIND = "PetTrainingJob"

# What may be edited while a job runs: it says how the job is looked after, not what it computes.
_EDITABLE = ("suspend", "restart", "deadlines", "ttl_seconds_after_finished", "clean_pods", "checkpoint.keep")


@dataclass(frozen=True)
class SharedMemory:
    """/dev/shm of the trainer's container; an empty size is derived by the operator."""

    size: str = ""
    disabled: bool = False


@dataclass(frozen=True)
class DataVolume:
    """An existing claim that is mounted at /data; `path` is a folder in it."""

    claim_name: str
    path: str = ""
    read_only: bool = True


@dataclass(frozen=True)
class CheckpointVolume:
    """Where checkpoints live: an existing claim (`claim_name`), or one that the operator makes (`size`)."""

    claim_name: str = ""
    size: str = ""
    storage_class_name: str = ""
    access_modes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Checkpoint:
    """`path` is relative to the volume's root and normalised; `resume` is Auto, Never or such a path."""

    path: str
    volume: CheckpointVolume | None = None
    keep: int | None = None  # None: SOLVER.SNAPSHOT_KEEP; 0: all
    resume: str = "Auto"
    grace_period_seconds: int = 120
    on_delete: str = "Retain"


@dataclass(frozen=True)
class Restart:
    """How many restarts without checkpoint progress are allowed, and in which time."""

    max_restarts: int = 3
    window_seconds: int = 3600


@dataclass(frozen=True)
class Deadlines:
    """None: no limit for `active_seconds`, judged from the run itself for `stall_seconds`."""

    active_seconds: int | None = None
    startup_seconds: int = 600
    stall_seconds: int | None = None


@dataclass(frozen=True)
class Metrics:
    """The launcher's HTTP port, and whether each rank gets its own series."""

    port: int = DEFAULT_METRICS_PORT
    per_rank: bool = False
    port_given: bool = False  # if not, launchers that share a machine take the next free one


@dataclass(frozen=True)
class JobSpec:
    """What to train, where, and how to keep it alive."""

    cfg: str
    checkpoint: Checkpoint
    type: str | None = None
    config: str | None = None  # the embedded configuration as YAML text; None: the image's own file at `cfg`
    overrides: tuple[tuple[str, str], ...] = ()  # (KEY, text) pairs, as a command line gives them
    script_args: tuple[str, ...] = ()
    image: str = ""  # empty: the stock trainer image
    nodes: int = 1
    gpus_per_node: int = 1
    procs_per_node: int = 1  # counts only with gpus_per_node 0
    gpu_resource: str = "nvidia.com/gpu"
    template: Mapping[str, Any] = field(default_factory=dict)
    shared_memory: SharedMemory = SharedMemory()
    data: DataVolume | None = None
    suspend: bool = False
    restart: Restart = Restart()
    deadlines: Deadlines = Deadlines()
    ttl_seconds_after_finished: int | None = None
    clean_pods: str = "Running"
    managed_by: str = ""
    metrics: Metrics = Metrics()

    @property
    def ranks_per_node(self) -> int:
        """One rank per GPU, or `procs_per_node` ranks on the CPU."""
        return self.gpus_per_node or self.procs_per_node

    @property
    def world_size(self) -> int:
        """All ranks of the job."""
        return self.nodes * self.ranks_per_node

    @property
    def override_args(self) -> tuple[str, ...]:
        """The overrides as KEY, VALUE, KEY, VALUE, …; a text that looks like an option of the launcher is in quotes."""
        return tuple(word for key, text in self.overrides for word in (key, _no_option(text)))

    @cached_property
    def hash(self) -> str:
        """16 hexadecimal digits of everything that may not change while the job runs.

        Fields that have their defaults do not count: a field that a later release adds changes no hash.
        """
        content = _changed(self, _EDITABLE)
        canonical = json.dumps(content, sort_keys=True, default=str)
        return hashlib.sha256(canonical.encode()).hexdigest()[:16]


@dataclass(frozen=True)
class PetTrainingJob:
    """One job: its identity and its spec."""

    name: str
    spec: JobSpec
    namespace: str = "default"
    uid: str = ""
    annotations: Mapping[str, str] = field(default_factory=dict)


def _no_option(text: str) -> str:
    """Whoever reads the value takes it out of its quotes. Numbers are no options in any case."""
    return json.dumps(text) if text.startswith("-") and isinstance(read_text(text), str) else text


def _changed(section: Any, ignored: Collection[str], prefix: str = "") -> dict[str, Any]:
    """The fields of a section, and of those in it, that differ from their defaults."""
    content: dict[str, Any] = {}
    for each in dataclasses.fields(section):
        name, value = prefix + each.name, getattr(section, each.name)
        if name in ignored or value == each.default:
            continue
        content[each.name] = _changed(value, ignored, f"{name}.") if dataclasses.is_dataclass(value) else value
    return content
