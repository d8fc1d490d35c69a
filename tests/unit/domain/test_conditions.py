"""What the conditions say of each state of a job: since when, of which generation, and how kstatus reads them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from harness.kstatus import CURRENT, FAILED, IN_PROGRESS, TERMINATING, kstatus
from harness.observing import (
    SERVICE,
    answer,
    begun,
    condition,
    ended,
    job,
    later,
    leading,
    observed,
    pod,
    pods,
    report,
    running,
    seen,
    told,
)
from harness.timeless import NOON

from pet_operator.domain.codec import encode
from pet_operator.domain.conditions import own
from pet_operator.domain.decide import decide
from pet_operator.domain.decision import Observed, Refusal

STILL = {"idle": 100.0, "section": "step"}


def suspended() -> Observed:
    view = replace(running(), job=job(suspend=True), generation=2)
    view = seen(view, decide(view, later(10)))
    return replace(view, pods=(ended(0, 143, report(143)),), trainers={})


# Each state as it is before the decision by which it is written.
STATES: dict[str, tuple[str, Callable[[], Observed]]] = {
    "invalid": (FAILED, lambda: observed(problems=("spec.cfg: no such file",))),
    "behind a deleted job": (IN_PROGRESS, lambda: observed(predecessors=(replace(pod(0), job_uid="another"),))),
    "begun": (IN_PROGRESS, observed),
    "refused": (IN_PROGRESS, lambda: begun(refused=Refusal("CreateRefused", "Pod job-1-0: no"))),
    "starting": (IN_PROGRESS, lambda: begun(pods=pods(1, "Pending"), service=SERVICE)),
    "running": (CURRENT, lambda: running(nodes=2)),
    "running, silent": (CURRENT, lambda: replace(running(), trainers=told([leading(age=60.0)]))),
    "hung": (CURRENT, lambda: replace(running(), trainers=told([leading(stepSeconds=0.1, **STILL)]))),
    "starting again in place": (
        IN_PROGRESS,
        lambda: replace(running(), trainers=told([leading(restarts=1, stepped=False)])),
    ),
    "restarting": (IN_PROGRESS, lambda: replace(running(), pods=(ended(0, 1, report(1)),), trainers={})),
    "suspended": (CURRENT, suspended),
    "succeeded": (CURRENT, lambda: replace(running(), pods=(ended(0, 0, report(0, iteration=200)),))),
    "failed": (FAILED, lambda: replace(running(), pods=(ended(0, 78, report(78)),))),
}


def written(name: str) -> Observed:
    view = STATES[name][1]()
    return seen(view, decide(view, later(60)))


def manifest(view: Observed, **metadata: object) -> dict[str, object]:
    return {"metadata": {"generation": view.generation, **metadata}, "status": encode(view.status)}


@pytest.mark.parametrize("name", STATES)
def test_kstatus_waits_for_what_begins_and_gives_up_only_where_we_have(name: str) -> None:
    assert kstatus(manifest(written(name))) == STATES[name][0]


def test_kstatus_waits_while_an_edit_has_not_been_seen_and_for_what_goes() -> None:
    view = written("running")
    assert kstatus(manifest(replace(view, generation=2))) == IN_PROGRESS
    assert kstatus(manifest(view, deletionTimestamp="2026-01-31T12:00:00Z")) == TERMINATING


@pytest.mark.parametrize("name", STATES)
def test_each_condition_says_of_which_generation_it_is(name: str) -> None:
    view = written(name)
    later_on = decide(replace(view, generation=7), later(61)).status
    assert {each.observed_generation for each in later_on.conditions} == {7} == {later_on.observed_generation}


@pytest.mark.parametrize("name", STATES)
def test_its_time_is_that_of_its_last_change_and_of_nothing_else(name: str) -> None:
    before = STATES[name][1]()
    after = decide(before, later(60)).status
    since = {each.type: each for each in before.status.conditions}
    for each in after.conditions:
        old = since.get(each.type)
        changed = old is None or old.status != each.status
        assert each.last_transition_time == (later(60) if changed else old.last_transition_time if old else None)
        assert each.last_transition_time is not None
    view = seen(before, replace(decide(before, later(60)), status=after), generation=9)
    again = decide(view, later(900)).status
    assert [(each.type, each.last_transition_time) for each in again.conditions] == [
        (each.type, each.last_transition_time) for each in after.conditions
    ]


def test_another_reason_or_message_is_no_change_of_what_is_true() -> None:
    view = running(nodes=2)
    trainers = told([leading(12, state="saving"), answer()])
    status = decide(replace(view, trainers=trainers), later(60)).status
    assert status.reason == "Saving"
    assert condition(status, "Running").last_transition_time == NOON


def test_what_another_controller_says_is_no_part_of_what_we_say() -> None:
    view = running()
    ours = view.status.conditions
    theirs = replace(ours[0], type="example.com/Audited")
    mixed = replace(view.status, conditions=(*ours[:2], theirs, *ours[2:]))
    assert own(mixed) == view.status
    assert own(view.status) is view.status
