"""What a pod tells that is out of all proportion: it is cut as it is read, and the status stays small and sane."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import jsonschema
import pytest
from harness.crd import STATUS, closed
from harness.observing import ended, later, pod, report, running, seen, told

from pet_operator.domain.codec import decode, encode, write_time
from pet_operator.domain.decide import decide
from pet_operator.domain.decision import Observed
from pet_operator.domain.launcher import LauncherStatus
from pet_operator.domain.views import TrainerView

SCHEMA = jsonschema.Draft202012Validator(closed(STATUS))
INT64 = range(-(2**63), 2**63)
MOST_BYTES = 64 * 1024  # of a status


def answering(**fields: Any) -> Observed:
    """A running job, and what its launcher answers now."""
    plain = {"iteration": 10, "ranks": [{"rank": 0, "section": "step", "lastStepAgeSeconds": 0.1}]}
    answer = TrainerView(status=decode(LauncherStatus, plain | fields), age=0.0)
    return replace(running(spec={"restart": {"maxRestarts": 1000}}), trainers=told([answer]))


def kept(view: Observed, seconds: float = 60) -> dict[str, Any]:
    """The status that is written, which the API server has to take."""
    status: dict[str, Any] = encode(decide(view, later(seconds)).status)
    SCHEMA.validate(status)
    assert len(json.dumps(status)) < MOST_BYTES
    return status


@pytest.mark.parametrize("left", [-(2**63), -3_000_000, -1, 2**63 - 1])
@pytest.mark.parametrize("granted", [3, 2**31 - 1])
def test_restarts_that_are_left_without_measure(left: int, granted: int) -> None:
    view = running(spec={"restart": {"maxRestarts": granted}})
    view = replace(view, pods=(ended(0, 143, report(143, restartsLeft=left)),), trainers={})
    assert kept(view)["phase"] == "Restarting"


@pytest.mark.parametrize("restarts", [-(2**63), -1, 3_000_000, 2**63 - 1])
def test_restarts_in_place_without_measure_and_then_the_pod_is_gone(restarts: int) -> None:
    view = answering(restarts=restarts)
    kept(view)
    kept(seen(view, decide(view, later(60)), pods=(), trainers={}), 70)


def test_pods_that_tell_so_again_and_again() -> None:
    view = answering(restarts=3_000_000)
    for attempt in range(1, 20):
        view = replace(view, trainers=told([next(iter(view.trainers.values()))], attempt=attempt))
        view = replace(view, pods=(pod(attempt=attempt),), status=replace(view.status, phase="Running"))
        view = seen(view, decide(view, later(attempt)))
        view = seen(view, decide(replace(view, pods=()), later(attempt)))
    assert view.status.attempt == 20
    kept(view, 30)


@pytest.mark.parametrize("age", [-1e300, -1.0, 1e10, 1e300])
def test_ages_without_measure(age: float) -> None:
    ranks = [{"rank": 0, "section": "step", "lastStepAgeSeconds": age, "silentSeconds": age}]
    status = kept(answering(ranks=ranks, checkpoint={"iteration": 5, "file": "a.pth", "ageSeconds": age}))
    assert ("hang" in status) == (age > 0)


@pytest.mark.parametrize("iteration", [-(2**63), 2**63 - 1])
def test_iterations_without_measure(iteration: int) -> None:
    progress = kept(answering(iteration=iteration, maxIterations=1))["progress"]
    assert progress["percent"] in INT64


def test_texts_lists_and_names_without_end() -> None:
    long = "x" * 500_000
    ranks = [{"rank": rank, "section": long, "iteration": 1, "lastStepAgeSeconds": 1e6} for rank in range(20_000)]
    checkpoint = {"iteration": 5, "file": long, "ageSeconds": 1.0}
    failure = {"iteration": 5, "reason": "ENOSPC", "message": long}
    metrics = {f"{long}{number}": 1.0 for number in range(3)}
    kept(answering(ranks=ranks, metrics=metrics, state=long, checkpoint=checkpoint, checkpointFailure=failure))


def test_a_checkpoint_of_the_year_1_has_a_time_of_four_digits() -> None:
    assert write_time(datetime(1, 1, 1, 2, 3, 4, 5, tzinfo=UTC)) == "0001-01-01T02:03:04Z"
    saved = {"iteration": 200, "file": "a.pth", "savedAt": "0001-01-01T00:00:00Z", "verified": True}
    view = replace(running(), pods=(ended(0, 0, report(0, iteration=200, checkpoint=saved)),), trainers={})
    assert kept(view)["checkpoint"]["savedAt"] == "0001-01-01T00:00:00Z"


def test_what_is_in_proportion_is_kept_as_it_is() -> None:
    failure = {"class": "Hang", "restart": 0, "traceback": "begin" + "x" * 5000 + "end"}
    view = answering(restarts=7, ranks=[{"rank": 3, "iteration": 9, "lastStepAgeSeconds": 0.5}], failures=[failure])
    (answer,) = (trainer.status for trainer in view.trainers.values())
    assert answer is not None
    (rank,) = answer.ranks
    assert (answer.restarts, rank.rank, rank.iteration, rank.last_step_age_seconds) == (7, 3, 9, 0.5)
    assert answer.failures[0].traceback.endswith("xend")  # of a longer one the end tells the most
