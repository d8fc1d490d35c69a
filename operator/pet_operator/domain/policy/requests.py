"""What a person asks of a job by an annotation."""

from __future__ import annotations

from datetime import datetime

from pet_operator.domain.codec import read_time
from pet_operator.domain.constants import RESTART_REQUESTED
from pet_operator.domain.decision import Observed
from pet_operator.domain.status import SUCCEEDED


def restart(observed: Observed) -> datetime | None:
    """When a restart was asked for that no attempt has followed yet. What has succeeded is not restarted, and a request
    from before the job was made came with a copy of another job's manifest."""
    asked = read_time(observed.job.annotations.get(RESTART_REQUESTED, ""))
    if asked is None or observed.status.phase == SUCCEEDED:
        return None
    asked = asked.replace(microsecond=0)  # as a status keeps it
    done, made = observed.status.restart_requested, observed.created
    return asked if (done is None or asked > done) and (made is None or asked >= made) else None
