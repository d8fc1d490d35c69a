"""Uid and attempt of a launcher that nobody gave them: from the folder, once for all starts of its ranks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from pet.config import JobEnvironment
from pet.launch.identity import settle
from pet.launch.plan import Plan
from pet.store.errors import Fenced
from pet.store.opening import open_folder
from pet.store.owner import ForeignOwner, Identity, Owner

FOLDER = "ckpts/tasks/cls/small"


def start_of_ranks(plan: Plan, folder: str = FOLDER) -> Owner:
    """What rank 0 does with the environment that the launcher gives it."""
    environment = JobEnvironment.from_environ(plan.rank_environ({}, Path("run")))
    tenure, _ = open_folder(folder, Identity.of(environment), own_only=plan.own_only)
    return tenure.owner


def test_ranks_started_again_are_the_next_restart_of_the_same_attempt(make: Callable[..., Plan]) -> None:
    plan = settle(make())
    first, second = start_of_ranks(plan), start_of_ranks(plan)
    assert first.uid == second.uid == plan.environment.uid
    assert first.local
    assert [first.generation, second.generation] == [(1, 0), (1, 1)]


def test_launcher_started_again_is_the_next_attempt_of_the_same_job(make: Callable[..., Plan]) -> None:
    first = start_of_ranks(settle(make()))
    second = start_of_ranks(settle(make()))
    assert (second.uid, second.generation) == (first.uid, (2, 0))


@pytest.mark.parametrize("never", [{"PETJOB_RESUME": "Never"}, {}], ids=["environment", "configuration"])
def test_never_is_a_job_of_its_own_for_each_launcher_and_not_for_each_start(
    make: Callable[..., Plan], never: dict[str, str]
) -> None:
    arguments = () if never else ("TRAIN.AUTO_RESUME", "False")
    before = start_of_ranks(settle(make()))
    plan = settle(make(*arguments, **never))
    first, second = start_of_ranks(plan), start_of_ranks(plan)
    assert before.uid != first.uid == second.uid
    assert [first.generation, second.generation] == [(2, 0), (2, 1)]


def test_the_folder_is_the_one_that_ranks_use(make: Callable[..., Plan]) -> None:
    job = start_of_ranks(settle(make()))
    assert settle(make("MISC.CKPT", FOLDER)).environment.uid == job.uid
    assert settle(make("MISC.CKPT", "other", PETJOB_CHECKPOINT_DIR=FOLDER)).environment.uid == job.uid
    assert settle(make("MISC.CKPT", "other")).environment.uid != job.uid
    nothing = settle(make(PETJOB_CHECKPOINT_DIR="")).environment
    assert nothing.uid.startswith("local-")
    assert (nothing.uid != job.uid, nothing.attempt) == (True, 1)


def test_what_the_environment_gives_is_kept_and_the_folder_is_not_read(make: Callable[..., Plan]) -> None:
    start_of_ranks(settle(make()))
    plan = make(PETJOB_UID="the-uid", PETJOB_ATTEMPT="7")
    assert settle(plan) == plan


def test_attempt_alone_may_be_missing(make: Callable[..., Plan]) -> None:
    assert settle(make(PETJOB_UID="the-uid")).environment.attempt == 1
    start_of_ranks(settle(make(PETJOB_UID="the-uid")))
    plan = settle(make(PETJOB_UID="the-uid"))
    assert (plan.environment.uid, plan.environment.attempt, plan.run_id) == ("the-uid", 2, "the-uid-2")


def test_folder_of_a_job_in_a_cluster_is_refused(make: Callable[..., Plan]) -> None:
    open_folder(FOLDER, Identity("cluster", "default", "job", "a-uid", 5))
    with pytest.raises(ForeignOwner, match=r"MISC\.CKPT.*a-uid"):
        settle(make())


def test_attempt_that_came_too_late_is_refused(make: Callable[..., Plan]) -> None:
    open_folder(FOLDER, Identity(uid="local-a", attempt=5))
    with pytest.raises(Fenced, match="attempt 3 came too late"):
        settle(make(PETJOB_ATTEMPT="3"))
