"""Whether a job may have pods at all, judged before its first attempt and again whenever it is edited until then."""

from __future__ import annotations

from pet_operator.domain.conditions import ACCEPTED, Acceptance
from pet_operator.domain.decision import Observed

INVALID_CONFIG = "InvalidConfig"


def accept(observed: Observed) -> Acceptance:
    """False with reason InvalidConfig is the user's to mend; any other False may pass by itself."""
    begun = observed.status.attempt > 0
    if observed.refused is not None and begun and not observed.over:
        return Acceptance("False", observed.refused.reason, observed.refused.message)
    if observed.over or (begun and not _was_refused(observed)):
        return _as_before(observed)
    validation = observed.validation
    if validation.problems:
        return Acceptance("False", INVALID_CONFIG, "\n".join(validation.problems))
    reason, message = next(iter(validation.warnings), ("Valid", ""))
    return Acceptance("True", reason, message)


def _was_refused(observed: Observed) -> bool:
    """The job has its attempt, so it is valid: what was not accepted was one of its objects, which is made by now."""
    return _as_before(observed).status == "False"


def _as_before(observed: Observed) -> Acceptance:
    """What was judged stays so: edits of a running job are refused by the API server, or wait for its end, and a later
    operator may know other rules."""
    before = next((condition for condition in observed.status.conditions if condition.type == ACCEPTED), None)
    return Acceptance(before.status, before.reason, before.message) if before else Acceptance("True", "Valid")
