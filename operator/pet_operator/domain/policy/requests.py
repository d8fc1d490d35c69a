"""What a person asks of a job by an annotation."""

from __future__ import annotations

from datetime import datetime

from pet_operator.domain.codec import read_time, write_time
from pet_operator.domain.constants import RESTART_REQUESTED
from pet_operator.domain.decision import Observed
from pet_operator.domain.status import SUCCEEDED

IGNORED = "RestartIgnored"
_SHOWN = 40  # characters of what somebody has written


def restart(observed: Observed) -> datetime | None:
    """When a restart was asked for that no attempt has followed yet. What has succeeded is not restarted, and a request
    from before the job was made came with a copy of another job's manifest."""
    asked = read_time(observed.job.annotations.get(RESTART_REQUESTED, ""))
    if asked is None or observed.status.phase == SUCCEEDED:
        return None
    asked = asked.replace(microsecond=0)  # as a status keeps it
    done, made = observed.status.restart_requested, observed.created
    return asked if (done is None or asked > done) and (made is None or asked >= made) else None


def ignored(observed: Observed) -> str:
    """Why a request to restart has no effect, and what to do instead; empty if it has, had, or there is none."""
    text = observed.job.annotations.get(RESTART_REQUESTED, "")
    asked, done, made = read_time(text), observed.status.restart_requested, observed.created
    if not text or restart(observed) is not None or (asked is not None and asked.replace(microsecond=0) == done):
        return ""
    remedy = "give the time of the request, as date -u +%FT%TZ prints it"
    if asked is None:
        why = f"{text[:_SHOWN]!r} is no time"
    elif made is not None and asked < made:
        why = f"{write_time(asked)} is before the job was made"
    elif observed.status.phase == SUCCEEDED:
        why, remedy = "the job has succeeded", "to train anew, apply it under another name"
    else:
        why = f"{write_time(asked)} is not after {write_time(done or asked)}, the last request that was followed"
    return f"metadata.annotations[{RESTART_REQUESTED}] has no effect: {why}; {remedy}"
