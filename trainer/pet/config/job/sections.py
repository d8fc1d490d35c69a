"""The sections of a job's spec that say where things live and how long they may take, one function for each."""

from __future__ import annotations

import posixpath

from pet.config.environment import JobEnvironment
from pet.config.errors import ClusterProblem
from pet.config.job.fields import Fields, why_not_relative
from pet.config.job.model import (
    Checkpoint,
    CheckpointVolume,
    DataVolume,
    Deadlines,
    Metrics,
    Restart,
    SharedMemory,
)

WRITABLE_MODES = ("ReadWriteOnce", "ReadWriteMany", "ReadWriteOncePod")


def read_shared_memory(memory: Fields) -> SharedMemory:
    """`spec.sharedMemory`."""
    result = SharedMemory(memory.quantity("size"), memory.flag("disabled", False))
    if result.size and result.disabled:
        memory.report("size", f"{result.size} and disabled: true exclude each other; give one of them")
    memory.close()
    return result


def read_data(spec: Fields) -> DataVolume | None:
    """`spec.data`, None where it is absent."""
    data = spec.child("data")
    if "data" not in spec:
        return None
    result = DataVolume(
        claim_name=data.text("claimName", "", required=True),
        path=data.relative_path("path", ""),
        read_only=data.flag("readOnly", True),
    )
    data.close()
    return result


def read_checkpoint(checkpoint: Fields, name: str, nodes: int) -> Checkpoint:
    """`spec.checkpoint` of the job with this name and number of nodes."""
    path = checkpoint.relative_path("path", name)
    keep = checkpoint.integer("keep", None, minimum=0)
    if keep == 1:
        checkpoint.report("keep", "1 leaves nothing to fall back to; give at least 2, or 0 to keep all")
    result = Checkpoint(
        path=path,
        volume=_volume(checkpoint, nodes),
        keep=keep,
        resume=_resume(checkpoint, path),
        grace_period_seconds=checkpoint.integer("gracePeriodSeconds", Checkpoint.grace_period_seconds, minimum=1),
        on_delete=checkpoint.choice("onDelete", Checkpoint.on_delete, ("Retain", "Delete")),
    )
    checkpoint.close()
    return result


def _volume(checkpoint: Fields, nodes: int) -> CheckpointVolume | None:
    volume = checkpoint.child("volume")
    if "volume" not in checkpoint:
        return None
    result = CheckpointVolume(
        claim_name=volume.text("claimName", ""),
        size=volume.quantity("size"),
        storage_class_name=volume.text("storageClassName", ""),
        access_modes=volume.texts("accessModes"),
    )
    if volume.readable and ("claimName" in volume) == ("size" in volume):
        checkpoint.report("volume", "needs one of claimName, an existing claim, and size, a claim to be made")
    if "claimName" in volume and ("storageClassName" in volume or "accessModes" in volume):
        volume.report("claimName", "names a claim that exists; storageClassName and accessModes are for a new one")
    if unknown := [mode for mode in result.access_modes if mode not in WRITABLE_MODES]:
        allowed = ", ".join(WRITABLE_MODES)
        volume.report("accessModes", f"{', '.join(unknown)} cannot be written to; give one of {allowed}")
    elif result.access_modes and nodes > 1 and "ReadWriteMany" not in result.access_modes:
        volume.report(
            "accessModes", f"{', '.join(result.access_modes)} cannot be mounted on {nodes} nodes; give ReadWriteMany"
        )
    volume.close()
    return result


def _resume(checkpoint: Fields, own: str) -> str:
    resume = checkpoint.text("resume", "Auto")
    if resume in ("Auto", "Never"):
        return resume
    if resume.capitalize() in ("Auto", "Never"):
        checkpoint.report("resume", f"{resume!r} is read as a path; write {resume.capitalize()}")
    elif (reason := why_not_relative(resume)) is not None:
        checkpoint.report("resume", f"{resume!r} {reason}, or Auto or Never")
    elif f"{posixpath.normpath(resume)}/".startswith(f"{own}/"):
        checkpoint.report("resume", f"{resume!r} is in this job's own folder {own!r}; Auto resumes from there")
    else:
        if "volume" not in checkpoint:
            message = f"{resume!r} is a path in a volume, and none is given; add spec.checkpoint.volume"
            checkpoint.problems.append(ClusterProblem(f"{checkpoint.path}.resume", message))
        return posixpath.normpath(resume)
    return "Auto"


def read_restart(restart: Fields) -> Restart:
    """`spec.restart`."""
    result = Restart(
        max_restarts=restart.integer("maxRestarts", Restart.max_restarts, minimum=0),
        window_seconds=restart.integer("windowSeconds", Restart.window_seconds, minimum=1),
    )
    restart.close()
    return result


def read_deadlines(deadlines: Fields) -> Deadlines:
    """`spec.deadlines`."""
    automatic = deadlines.value("stallSeconds") == "auto"
    result = Deadlines(
        active_seconds=deadlines.integer("activeSeconds", None, minimum=1),
        startup_seconds=deadlines.integer("startupSeconds", Deadlines.startup_seconds, minimum=1),
        stall_seconds=None if automatic else deadlines.integer("stallSeconds", None, minimum=1),
    )
    deadlines.close()
    return result


def read_metrics(metrics: Fields) -> Metrics:
    """`spec.metrics`."""
    result = Metrics(
        port=metrics.integer("port", Metrics.port, minimum=1, maximum=65535),
        per_rank=metrics.flag("perRank", Metrics.per_rank),
        port_given="port" in metrics,
    )
    if result.port == JobEnvironment.master_port:
        metrics.report("port", f"{result.port} is where launchers of several pods meet; give another one")
    metrics.close()
    return result
