"""A job of a cluster in words, for people: everything that its status tells, and its pods."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from datetime import datetime

from pet_operator.cli.cluster.freshness import status_of
from pet_operator.cli.live import short_duration
from pet_operator.cli.output import count, fact, line
from pet_operator.domain.codec import read_time
from pet_operator.domain.conditions import CHECKPOINT_HEALTHY, HUNG
from pet_operator.domain.ends import describe
from pet_operator.domain.numbers import duration
from pet_operator.domain.status import (
    FAILED,
    RUNNING,
    SUCCEEDED,
    Accounting,
    AttemptRecord,
    CheckpointStatus,
    Condition,
    Failure,
    JobStatus,
    Progress,
)
from pet_operator.domain.views import PodView
from pet_operator.runtime.ports import Manifest

_COLOURS = {RUNNING: "green", SUCCEEDED: "green", FAILED: "red"}
_BAR = 30
_TRACEBACK_LINES = 8  # the newest frames are the last ones
_MOST_PODS = 16


def age(since: datetime | None, now: datetime) -> str:
    """`42s`, `14h12m`; empty if it is not known since when. The clocks may differ a little."""
    return "" if since is None else duration(max(0, int((now - since).total_seconds())))


def print_job(job: Manifest, now: datetime) -> None:
    """All that the job's status tells `now`."""
    status = status_of(job, now)
    metadata = job["metadata"]
    phase = status.phase or "not looked at yet"
    reason = f", {status.reason}" if status.reason else ""
    line((metadata["name"], "bold"), ": ", (phase, _COLOURS.get(status.phase, "yellow")), reason)
    fact("namespace", metadata["namespace"])
    fact("age", age(read_time(metadata.get("creationTimestamp")), now))
    if not status.phase:
        fact("message", "no operator has written a status; does one run, and look after this namespace?")
    fact("message", status.message)
    for condition in filter(_is_trouble, status.conditions):
        fact("warning", f"{condition.reason}: {condition.message}")
    for label, value in _facts(status, now):
        fact(label, value)
    fact("attempts", *(_attempt(record, status.failure, now) for record in status.attempts))
    if status.failure is not None:
        # The last word on a job that failed; else the cause of its last restart.
        fact("failure" if status.phase == FAILED else "last failure", *_failure(status.failure))


def print_pods(pods: Sequence[PodView]) -> None:
    """The newest attempt first; of many, those that do not run."""
    ordered = sorted(pods, key=lambda pod: (pod.ready, -pod.attempt, pod.node_index))
    shown = ordered if len(ordered) <= _MOST_PODS else ordered[:_MOST_PODS]
    shown = sorted(shown, key=lambda pod: (-pod.attempt, pod.node_index))
    width = max((len(pod.name) for pod in shown), default=0)
    fact("pods", *(f"{pod.name:<{width}}  {_pod(pod)}" for pod in shown))
    if len(shown) < len(ordered):
        fact("", f"and {len(ordered) - len(shown)} more")


def _is_trouble(condition: Condition) -> bool:
    """What is wrong although the job may go on."""
    return (condition.type, condition.status) in ((HUNG, "True"), (CHECKPOINT_HEALTHY, "False"))


def _facts(status: JobStatus, now: datetime) -> Iterator[tuple[str, str]]:
    if status.world_size is not None:
        rank0 = f", rank 0 in {status.rank0_pod}" if status.rank0_pod else ""
        yield "ranks", f"{status.world_size} of {status.script or 'the image’s own script'}{rank0}"
    if status.nodes is not None:
        yield "nodes", f"{status.nodes.ready} of {status.nodes.desired} ready"
    if status.progress is not None:
        yield from _progress(status.progress, status, now)
    if status.checkpoint is not None:
        yield "checkpoint", _checkpoint(status.checkpoint, now)
    if status.attempt:
        yield "restarts", str(status.restarts)
    if status.accounting is not None and (time := _time(status.accounting)):
        yield "time", time


def _progress(progress: Progress, status: JobStatus, now: datetime) -> Iterator[tuple[str, str]]:
    stale = progress.stale and not status.finished
    mark = "~" if stale else ""
    news = f"; last news {age(progress.observed_at, now)} ago" if stale and progress.observed_at else ""
    if progress.iteration is not None:
        percent = progress.percent or 0
        bar = "#" * (_BAR * percent // 100)
        epoch = f", epoch {progress.epoch}" if progress.epoch is not None else ""
        where = f"iteration {mark}{progress.iteration} of {progress.max_iterations}{epoch}{news}"
        yield "progress", f"[{bar:.<{_BAR}}] {percent} %, {where}"
    if progress.eta_seconds is not None and not status.finished:
        yield "eta", f"{mark}{short_duration(progress.eta_seconds)}"
    if progress.loss is not None:
        rate = f", learning rate {progress.learning_rate:.4g}" if progress.learning_rate is not None else ""
        speed = f", {progress.samples_per_second:,.0f} images/s" if progress.samples_per_second else ""
        yield "loss", f"{mark}{progress.loss:.4g}{rate}{speed}"
    if progress.metrics:
        yield "metrics", "  ".join(f"{name} {value}" for name, value in progress.metrics.items())


def _checkpoint(checkpoint: CheckpointStatus, now: datetime) -> str:
    parts = [f"iteration {checkpoint.iteration}", checkpoint.file]
    if checkpoint.bytes is not None:
        parts.append(f"{checkpoint.bytes / 1e6:,.1f} MB")
    if checkpoint.saved_at is not None:
        parts.append(f"{age(checkpoint.saved_at, now)} old")
    if checkpoint.verified is not None:
        parts.append("verified" if checkpoint.verified else "not verified")
    return ", ".join(part for part in parts if part)


def _time(accounting: Accounting) -> str:
    """What became of it: `1h2m, 93 % productive; lost: queue 2m, startup 40s; 8.3 GPU hours`."""
    lost = dataclasses.asdict(accounting.lost_seconds)
    total = accounting.productive_seconds + sum(lost.values())
    if not total:
        return ""
    causes = ", ".join(f"{cause} {duration(seconds)}" for cause, seconds in lost.items() if seconds)
    parts = [
        f"{duration(total)}, {100 * accounting.productive_seconds // total} % productive",
        f"lost: {causes}" if causes else "",
        f"{accounting.gpu_seconds / 3600:.1f} GPU hours" if accounting.gpu_seconds else "",
    ]
    return "; ".join(filter(None, parts))


def _attempt(record: AttemptRecord, failure: Failure | None, now: datetime) -> str:
    """`2  12m, iterations 100 to 200: rank 3 on node gpu-7: AppError: …`; the failure that is told below, in a word."""
    until = record.ended_at or now
    begin = record.from_iteration or 0
    way = f"iterations {begin} to {record.to_iteration}" if record.to_iteration is not None else f"from {begin}"
    restarts = f", ranks restarted {count(record.restarts, 'time')}" if record.restarts else ""
    below = failure is not None and record.message == describe(failure)
    end = record.reason if below else record.message or record.reason
    return f"{record.attempt}  {age(record.started_at, until)}, {way}{restarts}{f': {end}' if end else ''}"


def _failure(failure: Failure) -> Iterator[str]:
    places = (
        ("rank", failure.rank),
        ("node", failure.node or None),
        ("pod", failure.pod or None),
        ("iteration", failure.iteration),
        ("exit code", failure.exit_code),
    )
    yield f"{failure.class_}: " + ", ".join(f"{name} {value}" for name, value in places if value is not None)
    # A refusal is an error of its class's own name: it is not said twice.
    kind = f"{failure.type}: " if failure.type not in ("", failure.class_) else ""
    yield f"{kind}{failure.message}"
    frames = failure.traceback.rstrip().splitlines()
    if len(frames) > _TRACEBACK_LINES:
        yield "  …"
    yield from (f"  {frame}" for frame in frames[-_TRACEBACK_LINES:])


def _pod(pod: PodView) -> str:
    phase = "Terminating" if pod.terminating else pod.phase
    where = f"  {pod.node}" if pod.node else ""
    if pod.awaited is not None:
        return f"{phase}{where}  {': '.join(part for part in pod.awaited if part)}"
    if pod.exit is not None:
        return f"{phase}{where}  exit code {pod.exit.code}"
    return f"{phase}{where}{'' if pod.ready or pod.phase != 'Running' else '  not ready'}"
