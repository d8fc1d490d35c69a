"""A job that hangs: which rank all others wait for, over all pods, and who is to blame when the attempt ends by it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from harness.observing import ended, later, pods, report, running, said, seen, stands
from harness.recording import recorded
from harness.timeless import NOON

from pet.runfiles.exits import classify
from pet_operator.domain.codec import decode
from pet_operator.domain.decide import decide
from pet_operator.domain.decision import Observed
from pet_operator.domain.events import Event, transitions
from pet_operator.domain.launcher import LauncherStatus
from pet_operator.domain.policy.failure import attempt_end
from pet_operator.domain.policy.hang import words
from pet_operator.domain.status import Failure, Hang
from pet_operator.domain.views import TrainerView

SCHEMA = json.loads((Path(__file__).resolve().parents[3] / "crds/status.schema.json").read_text(encoding="utf-8"))
NODES, RANKS = 2, 2  # of each
# Of rank 3, which waits for its data, while the others wait for it.
HANGING = [recorded(f"status-hang-{node}") for node in range(NODES)]
# Later, when all have been started again.
CURED = [recorded(f"status-hung-{node}") for node in range(NODES)]


def rank(
    number: int, iteration: int = 912, section: str = "step", collective: int = 5, age: float | None = 40.0
) -> Any:
    """One rank as its launcher told of it in the middle of a hang, with some of that changed."""
    (told,) = (each for node in range(NODES) for each in HANGING[node]["ranks"] if each["rank"] == number)
    ages = {"silentSeconds": age or 0.0, "lastStepAgeSeconds": age}
    return {**told, "iteration": iteration, "section": section, "collective": collective, **ages}


def document(node_index: int, ranks: list[Any], **fields: Any) -> dict[str, Any]:
    """A whole reply; rank 0 is on the first node."""
    return {**HANGING[node_index], "ranks": ranks, **fields}


def told(first: list[Any], second: list[Any], **fields: Any) -> dict[str, TrainerView]:
    """What the launchers of both pods have told last, each valid by the schema."""
    documents = [document(0, first, **fields), document(1, second)]
    for each in documents:
        jsonschema.validate(each, SCHEMA)
    views = [TrainerView(status=decode(LauncherStatus, each), age=0.0) for each in documents]
    return {pod.uid: view for pod, view in zip(pods(NODES), views, strict=True)}


def training(**spec: Any) -> Observed:
    """A job whose ranks have all made a step, with that written."""
    view = running(nodes=NODES, spec={"gpusPerNode": RANKS, **spec})
    stepping = [rank(number, age=0.1) for number in range(NODES * RANKS)]
    view = replace(view, trainers=told(stepping[:RANKS], stepping[RANKS:]))
    return seen(view, decide(view, NOON))


def hearing(first: list[Any], second: list[Any], *, spec: Any = None, **fields: Any) -> Observed:
    return replace(training(**(spec or {})), trainers=told(first, second, **fields))


AHEAD = [rank(0), rank(1)]


@pytest.mark.parametrize(
    ("first", "second", "ranks", "pod", "section"),
    [
        (AHEAD, [rank(2), rank(3, iteration=911)], (3,), "job-1-1", "step"),
        (AHEAD, [rank(2), rank(3, section="data")], (3,), "job-1-1", "data"),
        (AHEAD, [rank(2, collective=4), rank(3)], (2,), "job-1-1", "step"),
        ([rank(0, collective=4), rank(1)], [rank(2), rank(3)], (0,), "job-1-0", "step"),
        ([rank(0, section="done"), rank(1)], [rank(2), rank(3)], (1, 2, 3), "", "step"),
        (AHEAD, [rank(2, section="data"), rank(3, section="data")], (2, 3), "job-1-1", "data"),
    ],
    ids=["an iteration behind", "waits for data", "a collective behind", "rank 0", "not who has finished", "two"],
)
def test_the_ranks_that_all_others_wait_for_are_named(
    first: list[Any], second: list[Any], ranks: tuple[int, ...], pod: str, section: str
) -> None:
    hang = decide(hearing(first, second), later(60)).status.hang
    assert hang is not None
    assert (hang.ranks, hang.pod, hang.section, hang.since) == (ranks, pod, section, later(20))


def test_of_what_real_launchers_told_the_right_one_is_named() -> None:
    first, second = (document["ranks"] for document in HANGING)
    hang = decide(hearing(first, second), later(60)).status.hang
    assert hang is not None
    assert (hang.ranks, hang.pod, hang.node_index, hang.section, hang.iteration) == ((3,), "job-1-1", 1, "data", 912)


def test_it_is_told_by_the_condition_the_message_and_an_event() -> None:
    view = hearing(AHEAD, [rank(2), rank(3, section="data")])
    status = decide(view, later(60)).status
    said_so = (
        "no step since 2026-01-31T12:00:20Z: rank 3 in pod job-1-1 on node node-1 is the furthest behind, "
        "in data after iteration 912"
    )
    assert stands(status) == ("Running", "Hung", said_so)
    assert said(status, "Hung") == ("True", "NoStep", said_so)
    assert said(status, "Stalled")[0] == said(status, "Reconciling")[0] == "False"
    assert transitions(view.status, status, view.validation) == (Event("Hung", said_so, warning=True),)


def test_while_it_lasts_nothing_is_written_again() -> None:
    view = hearing(AHEAD, [rank(2), rank(3, section="data")])
    view = seen(view, decide(view, later(60)))
    for seconds in (5.2, 61.9):
        ages = [rank(2, age=40 + seconds), rank(3, section="data", age=40 + seconds)]
        again = replace(view, trainers=told([rank(0, age=40 + seconds), rank(1, age=40 + seconds)], ages))
        assert decide(again, later(60 + seconds + 1)).status == view.status


def test_it_ends_with_the_next_step() -> None:
    view = hearing(AHEAD, [rank(2), rank(3, section="data")])
    view = seen(view, decide(view, later(60)))
    stepping = [rank(number, iteration=913, age=0.1) for number in range(4)]
    status = decide(replace(view, trainers=told(stepping[:2], stepping[2:], iteration=913)), later(61)).status
    assert said(status, "Hung") == ("False", "Running", "")
    assert (status.hang, status.message) == (None, "iteration 913 of 2000")


def test_it_ends_with_the_ranks_start_in_place() -> None:
    view = hearing(AHEAD, [rank(2), rank(3, section="data")])
    view = seen(view, decide(view, later(60)))
    fresh = [rank(number, section="init", age=None) for number in range(4)]
    status = decide(replace(view, trainers=told(fresh[:2], fresh[2:], restarts=1)), later(70)).status
    assert (status.phase, status.hang, said(status, "Hung")[0]) == ("Starting", None, "False")


@pytest.mark.parametrize("age", [5.0, 29.0])
def test_a_rank_that_makes_its_steps_a_little_late_does_not_hang(age: float) -> None:
    status = decide(hearing([rank(0, age=age), rank(1, age=age)], [rank(2, age=age), rank(3, age=age)]), NOON).status
    assert status.hang is None


@pytest.mark.parametrize(
    ("age", "section", "fields", "spec", "hangs"),
    [
        (31.0, "step", {"stepSeconds": 5.0}, {}, True),
        (99.0, "step", {"stepSeconds": 20.0}, {}, False),
        (101.0, "step", {"stepSeconds": 20.0}, {}, True),
        (500.0, "step", {"stepSeconds": None}, {}, False),
        (601.0, "step", {"stepSeconds": None}, {}, True),
        (500.0, "save", {}, {}, False),
        (601.0, "eval", {}, {}, True),
        (61.0, "step", {}, {"deadlines": {"stallSeconds": 300}}, False),
        (16.0, "data", {}, {"deadlines": {"stallSeconds": 16}}, True),
        (9000.0, "done", {}, {}, False),
    ],
)
def test_how_long_is_too_long_depends_on_the_usual_step_on_what_the_rank_is_at_and_on_the_job(
    age: float, section: str, fields: dict[str, Any], spec: dict[str, Any], hangs: bool
) -> None:
    ranks = [rank(number, section=section, age=age) for number in range(4)]
    status = decide(hearing(ranks[:2], ranks[2:], spec=spec, **fields), later(10_000)).status
    assert (status.hang is not None) == hangs


def test_ranks_that_wait_for_one_that_saves_do_not_hang() -> None:
    saving = hearing([rank(0, section="save"), rank(1)], [rank(2), rank(3)])
    assert decide(saving, later(60)).status.hang is None


def test_with_one_launcher_unheard_nobody_is_named_and_what_was_known_stays() -> None:
    """A rank of that node may be the one."""
    deaf = hearing(AHEAD, [rank(2), rank(3, section="data")])
    silent = {uid: replace(view, age=31.0) for uid, view in list(deaf.trainers.items())[1:]}
    half = dict(deaf.trainers) | silent
    assert decide(replace(deaf, trainers=half), later(60)).status.hang is None
    known = seen(deaf, decide(deaf, later(60)))
    assert decide(replace(known, trainers=half), later(90)).status.hang == known.status.hang
    assert decide(replace(known, trainers={}), later(90)).status.hang == known.status.hang


def blamed(view: Observed, *reports: dict[str, Any]) -> Failure:
    over = tuple(ended(index, each["exitCode"], each) for index, each in enumerate(reports))
    end = attempt_end(replace(view, pods=over, trainers={}), later(70), complete=True)
    assert end is not None
    return end.cause


HUNG = {"class": "Hang", "exitCode": 76, "type": "Hang", "message": "no step for 31 s", "iteration": 912}


def test_the_rank_that_was_seen_to_hang_is_blamed_whatever_the_launchers_say_of_their_own() -> None:
    view = hearing(AHEAD, [rank(2), rank(3, section="data")])
    view = seen(view, decide(view, later(60)))
    for second in (report(**HUNG, rank=2), report(**HUNG, rank=3), report(75)):
        cause = blamed(view, report(**HUNG, rank=0), second)
        assert (cause.class_, cause.rank, cause.pod, cause.node_index, cause.node) == (
            "Hang",
            3,
            "job-1-1",
            1,
            "node-1",
        )
        assert "rank 3 in pod job-1-1" in cause.message


def test_a_hang_that_nobody_saw_is_of_the_rank_that_came_least_far() -> None:
    one = report(**HUNG, rank=0)
    cause = blamed(training(), one, report(**{**HUNG, "rank": 3, "iteration": 911}))
    assert (cause.rank, cause.pod, cause.iteration) == (3, "job-1-1", 911)


def test_of_ranks_that_came_equally_far_none_is_blamed() -> None:
    one = report(**HUNG, rank=0)
    cause = blamed(training(), one, report(**HUNG, rank=3))
    assert (cause.class_, cause.rank) == ("Hang", None)
    assert cause.message == "ranks 0, 3 hung after the same iteration; no step for 31 s"


def test_a_rank_that_lost_its_peer_is_not_blamed_for_the_hang() -> None:
    cause = blamed(training(), report(75, rank=None), report(**HUNG, rank=3))
    assert (cause.class_, cause.rank, cause.pod) == ("Hang", 3, "job-1-1")


def test_a_long_list_of_ranks_is_cut_in_words() -> None:
    hang = Hang(since=NOON, ranks=tuple(range(20)), iteration=1, section="step")
    assert "ranks 0, 1, 2, 3, 4, 5, 6, 7 and 12 more are the furthest behind" in words(hang)


def failure(number: int, code: int = 76, restart: int = 0, **fields: Any) -> dict[str, Any]:
    """An entry of `failures`."""
    kind = classify(code).exit_class
    (told,) = CURED[1]["failures"]
    return {**told, "restart": restart, "rank": number, "class": kind, "exitCode": code, "type": kind, **fields}


def peer_lost(**fields: Any) -> Observed:
    """The first pod has ended, since it lost a rank of the second, whose launcher tells this."""
    _, second = pods(NODES)
    answer = TrainerView(status=decode(LauncherStatus, document(1, [rank(2), rank(3)], **fields)), age=0.0)
    return replace(training(), pods=(ended(0, 75, report(75)), second), trainers={second.uid: answer})


def test_a_hang_that_is_ended_in_place_is_the_failure_with_its_stacks() -> None:
    """Its launcher starts the ranks again, and no pod tells of it."""
    view = hearing(AHEAD, [rank(2), rank(3, section="data")])
    view = seen(view, decide(view, later(60)))
    for content in CURED:
        jsonschema.validate(content, SCHEMA)
    answers = [TrainerView(status=decode(LauncherStatus, content), age=0.0) for content in CURED]
    view = replace(view, trainers={pod.uid: each for pod, each in zip(pods(NODES), answers, strict=True)})
    decision = decide(view, later(70))
    cause = decision.status.failure
    assert cause is not None
    assert (decision.status.attempt, decision.status.restarts) == (1, 1)
    assert (cause.class_, cause.exit_code, cause.rank, cause.pod, cause.node) == ("Hang", 76, 3, "job-1-1", "node-1")
    assert cause.traceback.splitlines()[-1].endswith("in wait_for_data")
    assert "in data after iteration 912" in cause.message
    again = seen(view, decision)
    assert decide(again, later(100)).status.failure == again.status.failure


def test_other_ends_in_place_leave_the_failure_of_the_attempt_before() -> None:
    view = hearing(AHEAD, [rank(2), rank(3)], restarts=1, failures=[failure(1, 1)])
    assert decide(view, later(60)).status.failure is None


@pytest.mark.parametrize(("code", "reason"), [(1, "AppError"), (76, "Hang")])
def test_a_lost_peer_is_explained_by_what_a_launcher_that_still_runs_tells(code: int, reason: str) -> None:
    status = decide(peer_lost(failures=[failure(3, code)]), NOON).status
    assert status.failure is not None
    assert (status.attempt, status.reason, status.failure.pod) == (2, reason, "job-1-1")
    assert (status.failure.rank, status.failure.traceback) == (3, CURED[1]["failures"][0]["traceback"])


def test_what_was_before_the_ranks_were_started_again_explains_nothing() -> None:
    decision = decide(peer_lost(restarts=1, failures=[failure(3, 1)]), NOON)
    assert (decision.status.attempt, decision.requeue_after) == (1, 10.0), "it is waited for"
