"""The environment of a pod: every variable that the operator (or `pet run --local`) sets, with its default.

The one place on the trainer's side that knows these names. An empty variable means its default, with one exception:
an empty `PETJOB_CHECKPOINT_DIR` says "save nothing", an absent one says "the configuration's MISC.CKPT".
"""

from __future__ import annotations

import math
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from pet.config.errors import ConfigError, Problem

DEFAULT_METRICS_PORT = 9400

RESERVED_PREFIXES = ("PETJOB_", "PET_", "MASTER_")
RESERVED_NAMES = ("RANK", "LOCAL_RANK", "WORLD_SIZE")
# What torch's own launchers leave behind; a launcher inside another's environment must not believe it.
INHERITED = (*RESERVED_NAMES, "MASTER_ADDR", "MASTER_PORT")


def is_reserved(name: str) -> bool:
    """Whether a user's template or environment may not set this variable."""
    return name in RESERVED_NAMES or name.startswith(RESERVED_PREFIXES)


@dataclass(frozen=True)
class JobEnvironment:
    """The parsed environment. Field names follow the variables; times are seconds."""

    cluster_uid: str = ""
    namespace: str = ""
    name: str = "local"
    uid: str = ""  # empty: by hand; the checkpoint folder's owner record then gives it
    attempt: int | None = None  # None: by hand; one more than the folder's owner record
    node_index: int = 0
    pod_name: str = ""
    node_name: str = ""
    metrics_port: int | None = None  # None: DEFAULT_METRICS_PORT or the next free one
    metrics_per_rank: bool = False
    bind_address: str = ""
    startup_seconds: float = 600.0
    stall_seconds: float | None = None  # None: judged from the run itself
    grace_seconds: float = 30.0
    restarts_left: int = 3
    restart_window_seconds: float = 3600.0
    checkpoint_dir: str | None = None  # None: MISC.CKPT; "": save nothing
    checkpoint_keep: int | None = None  # None: SOLVER.SNAPSHOT_KEEP
    resume: str = "Auto"  # Auto, Never or an absolute path
    takeover_uid: str = ""
    data_dir: str = "data"
    run_dir: str = ""
    termination_log: str = ""
    nnodes: int = 1
    nproc_per_node: int | None = None  # None: one rank per visible device, or --nproc on CPU
    node_rank: int = 0
    master_addr: str = "localhost"
    master_port: int = 29500

    @property
    def by_hand(self) -> bool:
        """No operator behind this run: nobody gave it an identity."""
        return not self.uid

    def own_only(self, *, auto_resume: bool) -> bool:
        """Whether only this job's own checkpoints are gone on from: by resume Never or a path, or TRAIN.AUTO_RESUME."""
        return self.resume != "Auto" or not auto_resume

    def to_environ(self) -> dict[str, str]:
        """Every variable of the contract, unset ones empty; `PETJOB_CHECKPOINT_DIR` is left out when None."""
        values = {name: _text(getattr(self, field)) for field, (name, _) in _VARIABLES.items()}
        if self.checkpoint_dir is None:
            del values["PETJOB_CHECKPOINT_DIR"]
        return values

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> JobEnvironment:
        """Read the variables; raises ConfigError naming every one that does not parse."""
        values: dict[str, object] = {}
        problems: list[Problem] = []
        for field, (name, parse) in _VARIABLES.items():
            text = environ.get(name, "")
            if not text:
                continue
            try:
                values[field] = parse(text)
            except ValueError as error:
                problems.append(Problem(name, f"{text!r} is not valid: {error}"))
        if environ.get("PETJOB_CHECKPOINT_DIR") == "":
            values["checkpoint_dir"] = ""
        if problems:
            raise ConfigError(problems)
        host = socket.gethostname()
        values.setdefault("pod_name", host)
        values.setdefault("node_name", host)
        return cls(**values)  # type: ignore[arg-type]


def _text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "1" if value else "0"
    if isinstance(value, float):
        return f"{value:g}"
    return str(value)


def _flag(text: str) -> bool:
    if text not in ("0", "1"):
        raise ValueError("give 0 or 1")
    return text == "1"


def _seconds(text: str) -> float:
    value = float(text)
    if not 0 <= value < math.inf:  # nor is it a NaN, by which no time would ever be over
        raise ValueError("give seconds, 0 or more")
    return value


def _stall(text: str) -> float | None:
    return None if text == "auto" else _seconds(text)


def _within(least: int, most: float = math.inf) -> Callable[[str], int]:
    def parse(text: str) -> int:
        value = int(text)
        if not least <= value <= most:
            raise ValueError(f"give {least} or more" if most == math.inf else f"give {least} to {most}")
        return value

    return parse


_VARIABLES: dict[str, tuple[str, Callable[[str], object]]] = {
    "cluster_uid": ("PETJOB_CLUSTER_UID", str),
    "namespace": ("PETJOB_NAMESPACE", str),
    "name": ("PETJOB_NAME", str),
    "uid": ("PETJOB_UID", str),
    "attempt": ("PETJOB_ATTEMPT", int),
    "node_index": ("PETJOB_NODE_INDEX", _within(0)),
    "pod_name": ("PETJOB_POD_NAME", str),
    "node_name": ("PETJOB_NODE_NAME", str),
    "metrics_port": ("PETJOB_METRICS_PORT", int),
    "metrics_per_rank": ("PETJOB_METRICS_PER_RANK", _flag),
    "bind_address": ("PETJOB_BIND_ADDRESS", str),
    "startup_seconds": ("PETJOB_STARTUP_SECONDS", _seconds),
    "stall_seconds": ("PETJOB_STALL_SECONDS", _stall),
    "grace_seconds": ("PETJOB_GRACE_SECONDS", _seconds),
    "restarts_left": ("PETJOB_RESTARTS_LEFT", _within(0)),
    "restart_window_seconds": ("PETJOB_RESTART_WINDOW_SECONDS", _seconds),
    "checkpoint_dir": ("PETJOB_CHECKPOINT_DIR", str),
    "checkpoint_keep": ("PETJOB_CHECKPOINT_KEEP", int),
    "resume": ("PETJOB_RESUME", str),
    "takeover_uid": ("PETJOB_TAKEOVER_UID", str),
    "data_dir": ("PETJOB_DATA_DIR", str),
    "run_dir": ("PETJOB_RUN_DIR", str),
    "termination_log": ("PETJOB_TERMINATION_LOG", str),
    "nnodes": ("PET_NNODES", _within(1)),
    "nproc_per_node": ("PET_NPROC_PER_NODE", int),
    "node_rank": ("PET_NODE_RANK", _within(0)),
    "master_addr": ("PET_MASTER_ADDR", str),
    "master_port": ("PET_MASTER_PORT", _within(0, 65535)),
}
