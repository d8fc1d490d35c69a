"""How attempts end, in words: the classes of the trainer's exit codes, and those that only the cluster can tell."""

from __future__ import annotations

from pet.runfiles.exits import ExitCode
from pet_operator.domain.launcher import LauncherReport, RankFailure
from pet_operator.domain.status import Failure
from pet_operator.domain.views import PodView

APP_ERROR, CRASH = ExitCode.APP_ERROR.exit_class, ExitCode.CRASH.exit_class
PEER_LOST, PREEMPTED = ExitCode.PEER_LOST.exit_class, ExitCode.PREEMPTED.exit_class
HANG, NUMERIC_GUARD = ExitCode.HANG.exit_class, ExitCode.NUMERIC_GUARD.exit_class
STORAGE_FULL = ExitCode.STORAGE_FULL.exit_class
CONFIG_ERROR, NO_RESTART = ExitCode.CONFIG_ERROR.exit_class, ExitCode.NO_RESTART.exit_class
CHECKPOINT_UNUSABLE = ExitCode.CHECKPOINT_UNUSABLE.exit_class
FINISHED = ExitCode.SUCCEEDED.exit_class
OUT_OF_MEMORY = "OOM"
DISRUPTED = "Disrupted"
NODE_LOST = "NodeLost"  # a type of Disrupted

# As reasons of attempts that nobody is to blame for.
DISRUPTIONS = (DISRUPTED, NODE_LOST, PREEMPTED)
# Likewise, where somebody asked for it.
SUSPEND, RESTART = "Suspended", "RestartRequested"


def failure_of(
    pod: PodView,
    class_: str,
    type_: str,
    message: str,
    exit_code: int | None = None,
    told: LauncherReport | RankFailure | None = None,
) -> Failure:
    """A failure through this pod, with what its launcher has told of the rank; None: nothing."""
    told = told or LauncherReport()
    return Failure(
        class_=class_,
        type=type_,
        message=message,
        exit_code=exit_code,
        rank=told.rank,
        pod=pod.name,
        node_index=pod.node_index,
        node=pod.node,
        iteration=told.iteration,
        traceback=told.traceback,
    )


def reason_of(cause: Failure) -> str:
    """What the status says of an attempt that ended so, in one word."""
    return NODE_LOST if (cause.class_, cause.type) == (DISRUPTED, NODE_LOST) else cause.class_


def is_disruption(cause: Failure) -> bool:
    """Whether nobody is to blame: such an end costs no restart."""
    return cause.class_ in (DISRUPTED, PREEMPTED)


def describe(cause: Failure) -> str:
    """For example `rank 3 on node gpu-7: AppError: ValueError: bad label`."""
    who = f"rank {cause.rank}" if cause.rank is not None else f"pod {cause.pod}"
    where = f" on node {cause.node}" if cause.node else ""
    kind = "" if cause.type in ("", cause.class_) or cause.type in cause.message else f"{cause.type}: "
    return f"{who}{where}: {cause.class_}: {kind}{cause.message}"
