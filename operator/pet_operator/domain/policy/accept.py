"""Whether a job may have pods at all, judged before an attempt and whenever it is edited until then."""

from __future__ import annotations

from dataclasses import replace

from pet_operator.domain.conditions import ACCEPTED, Statement
from pet_operator.domain.decision import Observed, Validation
from pet_operator.domain.policy import requests, takeover, volumes

INVALID_CONFIG, SPEC_DRIFT = "InvalidConfig", "SpecDrift"
# A status says them in several places, and of a large one the API server takes nothing.
_MOST_PROBLEMS, _LONGEST_PROBLEM = 20, 1000


def accept(observed: Observed) -> Statement:
    """False with reason InvalidConfig is the user's to mend; any other False may pass by itself."""
    said, ignored = _accepted(observed), requests.ignored(observed)
    return Statement("True", requests.IGNORED, ignored) if ignored and said.status == "True" else said


def _accepted(observed: Observed) -> Statement:
    if observed.refused is not None and observed.under_way:
        return Statement("False", observed.refused.reason, observed.refused.message)
    if observed.over and requests.restart(observed) is None:
        edited = observed.status.observed_generation != observed.generation
        return _judged(observed.validation) if edited else _as_before(observed)
    if observed.under_way and not was_refused(observed):
        return _drift(observed) or _as_before(observed)
    judged = _judged(observed.validation)
    if judged.status == "True" and not observed.under_way:
        return volumes.unmet(observed) or takeover.refused(observed) or judged
    return judged


def _judged(validation: Validation) -> Statement:
    if validation.problems:
        return Statement("False", INVALID_CONFIG, _words(validation.problems))
    return Statement("True", *next(iter(validation.warnings), ("Valid", "")))


def _words(problems: tuple[str, ...]) -> str:
    """A line for each; of very many, or very long ones, the beginning."""
    lines = [text if len(text) <= _LONGEST_PROBLEM else f"{text[:_LONGEST_PROBLEM]}…" for text in problems]
    more = len(lines) - _MOST_PROBLEMS
    return "\n".join([*lines[:_MOST_PROBLEMS], *([f"and {more} more; `pet plan` names all"] if more > 0 else [])])


def _drift(observed: Observed) -> Statement | None:
    """Of what an attempt is made from, the API server refuses changes; but where a field has no schema it takes a key
    by another name for the same."""
    if observed.status.spec_hash not in ("", observed.job.spec.hash):
        words = "the spec is not the one that this attempt was made from; undo the change, or the next attempt uses it"
        return Statement("True", SPEC_DRIFT, words)
    return Statement("True", "Valid") if _as_before(observed).reason == SPEC_DRIFT else None


def was_refused(observed: Observed) -> Statement | None:
    """What was said of a job under way that was not accepted. It has its attempt, so it is valid: it was one of its
    objects that could not be made. None if all could."""
    before = _as_before(observed)
    return before if before.status == "False" else None


def _as_before(observed: Observed) -> Statement:
    """What was judged stays so: edits of a running job are refused by the API server, or wait for its end, and a later
    operator may know other rules."""
    before = next((condition for condition in observed.status.conditions if condition.type == ACCEPTED), None)
    if before is not None and before.reason == requests.IGNORED:  # which is said anew as long as it is so
        return _judged(replace(observed.validation, problems=()))
    return Statement(before.status, before.reason, before.message) if before else Statement("True", "Valid")
