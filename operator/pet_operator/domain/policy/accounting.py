"""What became of the time of a job: whole seconds, each counted once, under one heading.

The seconds since the status was written last are added whenever it is written again, so an operator that restarts
neither loses nor doubles any. Their heading is what the status said meanwhile, split by what is known of that time:
when pods got their nodes and ended, and what the ranks tell of themselves.
"""

from __future__ import annotations

from dataclasses import astuple, dataclass, replace
from datetime import datetime, timedelta
from operator import add

from pet_operator.domain.decision import Observed
from pet_operator.domain.policy.progress import read
from pet_operator.domain.status import (
    FINISHED,
    PENDING,
    RESTARTING,
    RUNNING,
    SUSPENDED,
    Accounting,
    JobStatus,
    LostSeconds,
    StateSeconds,
    ToldSeconds,
)
from pet_operator.domain.views import PodView

# In these phases no time of a job passes.
_AT_REST = ("", SUSPENDED, *FINISHED)


@dataclass(frozen=True)
class _Span:
    """The seconds since the last write: how many, after how many all pods had nodes, after how many all were over."""

    since: datetime
    passed: int
    placed: int
    ended: int

    def after(self, moment: datetime | None) -> int:
        """How many had passed at a moment, at most all."""
        return self.passed if moment is None else min(self.passed, _after(self.since, moment))


def accounted(observed: Observed, status: JobStatus, now: datetime) -> Accounting | None:
    """The account that belongs to `status`, which is about to be written."""
    old, rests = observed.status, status.phase in _AT_REST
    before = old.accounting or Accounting()
    if old.phase in _AT_REST or before.counted_until is None:
        return old.accounting if rests else replace(before, counted_until=now.replace(microsecond=0))
    span = _span(observed, before.counted_until, now, rests)
    told = _told(observed)
    productive, lost = _headings(observed, status, span, told and _news(told, before.told))
    asked = observed.job.spec.nodes * observed.job.spec.gpus_per_node
    begins = rests or status.attempt != old.attempt
    return Accounting(
        gpu_seconds=before.gpu_seconds + _gpu_seconds(observed, before.gpus, span),
        productive_seconds=before.productive_seconds + productive,
        lost_seconds=LostSeconds(*map(add, astuple(before.lost_seconds), astuple(lost))),
        gpu_seconds_by_state=_with(before.gpu_seconds_by_state, asked, (*astuple(lost), productive)),
        counted_until=span.since + timedelta(seconds=span.passed),
        gpus=0 if rests else observed.job.spec.gpus_per_node * sum(map(_holds, observed.pods)),
        told=ToldSeconds() if begins else told or before.told,
    )


def _with(before: StateSeconds, gpus: int, seconds: tuple[int, ...]) -> StateSeconds:
    """The seconds are those of the span, state by state, the productive ones last."""
    return StateSeconds(*(counted + gpus * new for counted, new in zip(astuple(before), seconds, strict=True)))


def _span(observed: Observed, since: datetime, now: datetime, rests: bool) -> _Span:
    """The time of a job that comes to rest ends with its last pod."""
    pods, passed = observed.current, _after(since, now)
    whole = _Span(since, passed, passed, passed)
    ended = whole.after(_last([pod.exit.finished_at if pod.exit else None for pod in pods]))
    made = observed.status.phase != PENDING or len(pods) == observed.job.spec.nodes
    placed = whole.after(_last([pod.scheduled_at for pod in pods])) if made and pods else passed
    return _Span(since, ended if rests else passed, min(placed, ended), ended)


def _headings(observed: Observed, status: JobStatus, span: _Span, news: ToldSeconds | None) -> tuple[int, LostSeconds]:
    """Productive and lost seconds: together all of the span."""
    old = observed.status
    if not observed.under_way:
        return 0, LostSeconds(queue=span.passed)
    if old.phase == RESTARTING:
        return 0, LostSeconds(restart=span.passed)
    steps = old.phase == RUNNING
    queue = 0 if steps else span.placed
    hang = old.hang or status.hang
    hung = span.ended - min(span.ended, span.after(hang.since)) if steps and hang is not None else 0
    left = span.ended - queue - hung
    if news is None:
        news = ToldSeconds(redo=_redone(old, status, left) if steps else 0)
    redo = min(news.redo, left)
    stall = min(news.stall, left - redo)
    rest = left - redo - stall
    productive = rest if steps else min(news.productive, rest)
    lost = LostSeconds(queue, rest - productive, redo, stall + hung, restart=span.passed - span.ended)
    return productive, lost


def _redone(old: JobStatus, new: JobStatus, seconds: int) -> int:
    """By what the operator has seen itself: the part of the steps that an attempt before had made already."""
    reached = max((record.to_iteration or 0 for record in old.attempts[:-1]), default=0)
    begin, end = (status.progress.iteration if status.progress else None for status in (old, new))
    if begin is None or begin >= reached:
        return 0
    return seconds if end is None or end <= reached else seconds * (reached - begin) // (end - begin)


def _gpu_seconds(observed: Observed, held: int, span: _Span) -> int:
    """Of each pod from its node to its end; of one that is gone without a trace, until now. Pods of the attempt before
    are on their way out, and may be gone at any moment."""
    each = observed.job.spec.gpus_per_node
    seconds, counted = 0, 0
    for pod in observed.pods:
        if pod.scheduled_at is not None:
            begin = span.after(pod.scheduled_at)
            end = span.after(pod.exit.finished_at if pod.over and pod.exit else None)
            seconds += max(0, end - begin) * each
            counted += each * (begin == 0 and end > 0)
    if observed.status.phase != RESTARTING:
        seconds += max(0, held - counted) * span.passed
    return min(seconds, each * observed.job.spec.nodes * span.passed)


def _holds(pod: PodView) -> bool:
    return pod.scheduled_at is not None and not pod.over


def _told(observed: Observed) -> ToldSeconds | None:
    """What rank 0's launcher tells of the newest start of the ranks."""
    leader = read(observed).leader
    told = leader[1].accounting if leader is not None else {}
    if not told:
        return None
    names = ("productive", "redo", "stall")
    return ToldSeconds(*(int(told.get(f"{name}Seconds", 0.0)) for name in names))


def _news(told: ToldSeconds, before: ToldSeconds) -> ToldSeconds:
    """What was told since; a new start of the ranks begins at 0."""
    productive, redo, stall = told.productive - before.productive, told.redo - before.redo, told.stall - before.stall
    return told if min(productive, redo, stall) < 0 else ToldSeconds(productive, redo, stall)


def _last(moments: list[datetime | None]) -> datetime | None:
    """The last of them, None where one is not known."""
    known = [moment for moment in moments if moment is not None]
    return max(known) if known and len(known) == len(moments) else None


def _after(since: datetime, moment: datetime) -> int:
    return max(0, int((moment - since).total_seconds()))
