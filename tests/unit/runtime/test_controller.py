"""The loop around a decision: what is written when, and what follows from each fault."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest
from harness.jobs import manifest
from harness.memory_api import MemoryApi, refuse
from harness.memory_operator import KEY, MemoryOperator, change_pod, pods_of, status_of, submit
from harness.observing import said

from pet_operator.domain.constants import JOB, POD, SERVICE, TAKE_OVER, Kind
from pet_operator.domain.decision import Refusal
from pet_operator.runtime.ports import ApiError

MADE = [
    ("create", "services", "job"),
    ("create", "persistentvolumeclaims", "job-checkpoints"),
    ("create", "pods", "job-1-0"),
]
WRITTEN = ("apply", "pettrainingjobs", "job")


async def started(**spec: Any) -> tuple[MemoryApi, MemoryOperator]:
    """An operator that has seen a new job."""
    api = MemoryApi()
    submit(api, **spec)
    operator = MemoryOperator(api)
    await operator.list()
    return api, operator


async def begun(**spec: Any) -> tuple[MemoryApi, MemoryOperator]:
    """An operator whose API server took the attempt's status, and then nothing for a moment."""
    api, operator = await started(**spec)
    api.fault = refuse(500, "InternalError", verbs="create")
    await operator.look()
    api.fault = lambda *_: None
    return api, operator


def told(operator: MemoryOperator) -> list[str]:
    """The reasons of the events that wait to be posted."""
    waiting = operator.recorder._waiting
    return [waiting.get_nowait()["reason"] for _ in range(waiting.qsize())]


async def test_the_attempt_is_written_before_anything_is_made_for_it() -> None:
    api, operator = await started()
    await operator.look()
    assert api.writes == [WRITTEN, *MADE]


async def test_an_attempt_that_could_only_be_written_is_made_by_the_next_look() -> None:
    api, operator = await begun()
    assert (api.writes, operator.looks) == ([WRITTEN], ["retry"])
    await operator.look()
    assert api.writes == [WRITTEN, *MADE]


async def test_a_job_that_changes_while_its_attempt_is_written_is_looked_at_anew() -> None:
    api, operator = await started()

    def meanwhile(verb: str, kind: Kind, name: str) -> None:
        if verb == "apply":
            (job,) = api.all(JOB)
            metadata = job["metadata"] | {"resourceVersion": "999"}
            operator.news("MODIFIED", JOB, job | {"metadata": metadata})

    api.fault = meanwhile
    await operator.look()
    assert (api.writes, operator.looks) == ([WRITTEN], ["success"])


async def test_no_folder_is_taken_over_from_a_job_that_was_only_not_heard_of() -> None:
    api, operator = await started()
    metadata = api.all(JOB)[0]["metadata"] | {"annotations": {TAKE_OVER: "uid-of-other"}}
    operator.news("MODIFIED", JOB, api.put(JOB, api.all(JOB)[0] | {"metadata": metadata}))
    other = manifest("other", managedBy="example.com/other")
    api.put(JOB, other | {"metadata": other["metadata"] | {"uid": "uid-of-other", "generation": 1}})
    await operator.look()
    assert api.writes == [WRITTEN]
    await operator.work()
    (pod,) = api.all(POD)
    assert {"name": "PETJOB_TAKEOVER_UID", "value": ""} in pod["spec"]["containers"][0]["env"]


async def test_events_of_one_second_have_an_order() -> None:
    _, operator = await started()
    await asyncio.sleep(0.25)
    await operator.look()
    assert operator.recorder._waiting.get_nowait()["eventTime"] == "2026-01-31T12:00:00.250000Z"


async def test_what_happens_again_is_told_again() -> None:
    api, operator = await started(suspend=True, data={"claimName": "absent"})
    reasons: list[str] = []
    for suspend in (True, False, True, False):
        (job,) = api.all(JOB)
        operator.news("MODIFIED", JOB, api.put(JOB, job | {"spec": job["spec"] | {"suspend": suspend}}))
        operator.cache.forget(KEY)  # which knows a job by its generation
        await operator.work(5)
        reasons += told(operator)
    assert reasons == ["Suspended", "ClaimNotFound"] * 2


async def test_a_look_that_changes_nothing_costs_nothing() -> None:
    api, operator = await started()
    await operator.work()
    cost = len(api.writes)
    for _ in range(3):
        await operator.look()
    assert len(api.writes) == cost == 4
    assert status_of(api).phase == "Pending"


async def test_its_own_writes_are_known_at_once() -> None:
    """No event of a watch comes: the answers of the API server are enough."""
    api, operator = await started()
    await operator.work()
    assert [each.name for each in operator.cache.pods.of(KEY)] == list(pods_of(api)) == ["job-1-0"]


async def test_what_the_api_server_will_not_have_is_in_the_status_and_tried_again() -> None:
    api, operator = await started()

    def quota(verb: str, kind: Kind, name: str) -> None:
        if (verb, kind) == ("create", POD):
            raise ApiError(403, "Forbidden", "exceeded quota: gpus")

    api.fault = quota
    await operator.look()
    assert (status_of(api).phase, status_of(api).reason) == ("Pending", "CreateRefused")
    assert status_of(api).message == "Pod job-1-0: exceeded quota: gpus"
    assert told(operator) == ["Started", "CreateRefused"]
    cost = len(api.writes)
    await operator.work(60)
    assert {verb for verb, _, _ in api.writes[cost:]} == {"create"}  # nothing new to be said
    api.fault = lambda *_: None
    await operator.work(120)
    assert (status_of(api).phase, status_of(api).reason) == ("Starting", "AwaitingFirstStep")


async def test_a_pod_that_the_api_server_does_not_let_go_is_told_of_and_asked_for_again() -> None:
    """An admission webhook protects it, for example, and a person waits for the job to be suspended."""
    api, operator = await started()
    await operator.look()
    change_pod(api, "job-1-0", phase="Running")
    (job,) = api.all(JOB)
    edited = {"spec": job["spec"] | {"suspend": True}, "metadata": job["metadata"] | {"generation": 2}}
    api.put(JOB, job | edited)
    await operator.list()
    api.fault = refuse(403, "Forbidden", verbs="delete")
    await operator.look()
    status, words = status_of(api), "Pod job-1-0 cannot be deleted: no"
    assert (status.observed_generation, status.reason, status.message) == (2, "DeleteRefused", words)
    assert said(status, "Accepted") == ("False", "DeleteRefused", words)
    assert operator.looks[-1] == "retry"
    api.fault = lambda *_: None
    await operator.look()
    assert (status_of(api).reason, said(status_of(api), "Accepted")[0]) == ("Suspending", "True")


async def test_a_status_that_somebody_else_has_changed_is_decided_on_again() -> None:
    api, operator = await started()
    changed = api.put(JOB, {**api.all(JOB)[0], "status": {"reason": "SomebodyElse"}})
    await operator.look()
    assert operator.looks == ["retry"]
    operator.news("MODIFIED", JOB, changed)
    await operator.work()
    assert status_of(api).attempt == 1


async def test_a_status_is_never_written_over_one_that_came_while_it_was_acted_on() -> None:
    api, operator = await started()
    await operator.look()
    api.drop(SERVICE, "job")
    await operator.list()

    def meanwhile(verb: str, kind: Kind, name: str) -> None:
        if (verb, kind) == ("create", SERVICE):
            (job,) = api.all(JOB)
            operator.news("MODIFIED", JOB, api.put(JOB, {**job, "status": {**job["status"], "attempt": 7}}))

    api.fault = meanwhile
    await operator.look()
    assert (operator.looks[-1], status_of(api).attempt) == ("retry", 7)


async def test_a_conflict_is_no_news_for_the_log(caplog: pytest.LogCaptureFixture) -> None:
    api, operator = await started()
    api.fault = refuse(409, "Conflict", verbs="apply")
    with caplog.at_level(logging.INFO):
        await operator.look()
    assert caplog.records == []


@pytest.mark.parametrize("error", [ApiError(500, "", "no"), ConnectionError("away"), TimeoutError()])
async def test_nothing_is_told_of_what_could_not_be_written(error: Exception) -> None:
    api, operator = await started()

    def fault(verb: str, kind: Kind, name: str) -> None:
        if verb == "apply":
            raise error

    api.fault = fault
    await operator.look()
    assert (told(operator), operator.looks) == ([], ["retry"])
    api.fault = lambda *_: None
    await operator.work(1)
    assert told(operator) == ["Started"]


async def test_an_api_server_that_says_when_is_not_asked_before() -> None:
    api, operator = await started()
    asked = []

    def busy(verb: str, kind: Kind, name: str) -> None:
        asked.append(verb)
        raise ApiError(429, "TooManyRequests", "later", retry_after=30.0)

    api.fault = busy
    operator.queue._queued.clear()
    operator.queue._ready.clear()
    await operator.look()
    await operator.work(29)
    assert asked == ["apply"]
    await operator.work(2)
    assert asked == ["apply"] * 2


async def test_nobody_is_waited_for_longer_than_a_minute() -> None:
    """A proxy on the way may say a day."""
    assert ApiError(503, "", "later", retry_after=86400.0).retry_after == 60.0


async def test_a_status_is_not_written_while_actions_fail_for_a_reason_that_may_pass() -> None:
    api, operator = await started()
    api.fault = refuse(500, "InternalError", verbs="create")
    for _ in range(2):
        await operator.look()
    assert api.writes == [WRITTEN]
    assert operator.looks == ["retry", "retry"]


async def test_waiting_that_a_decision_asks_for_ends_by_itself() -> None:
    api, operator = await started(restart={"maxRestarts": 3})
    await operator.work()
    change_pod(api, "job-1-0", phase="Failed")
    await operator.list()
    await operator.work()
    assert (status_of(api).attempt, pods_of(api)) == (2, {"job-1-0": "Failed"})
    await operator.work(5)
    assert pods_of(api) == {"job-1-0": "Failed", "job-2-0": "Pending"}


async def test_a_deadline_is_met_to_the_second_although_every_look_fails() -> None:
    api, operator = await started(deadlines={"activeSeconds": 300})

    def quota(verb: str, kind: Kind, name: str) -> None:
        if (verb, kind) == ("create", POD):
            raise ApiError(403, "Forbidden", "exceeded quota: gpus")

    api.fault = quota
    await operator.work(301)
    assert (status_of(api).phase, status_of(api).reason) == ("Failed", "DeadlineExceeded")


async def test_nothing_is_done_before_everything_is_seen() -> None:
    api, operator = await started()
    operator.synced = False
    await operator.work(10)
    assert api.writes == []


async def test_for_a_job_that_was_deleted_unseen_nothing_is_made() -> None:
    """Its ghost would else make pods, which garbage collection takes, and so on."""
    api, operator = await begun()
    api.drop(JOB, "job")
    await operator.work(60)
    assert api.writes == [WRITTEN]
    assert operator.cache.jobs.keys() == []


async def test_for_a_job_whose_successor_is_not_seen_yet_nothing_is_made() -> None:
    api, operator = await begun()
    api.drop(JOB, "job")
    submit(api)
    await operator.look()
    assert pods_of(api) == {}
    await operator.work()
    (job,) = api.all(JOB)
    assert [pod["metadata"]["labels"]["pet.dev/job-uid"] for pod in api.all(POD)] == [job["metadata"]["uid"]]


async def test_for_a_job_that_has_changed_unseen_nothing_is_made_by_what_is_out_of_date() -> None:
    api, operator = await begun()
    (job,) = api.all(JOB)
    api.put(JOB, {**job, "status": {**job["status"], "attempt": 5, "phase": "Restarting"}})
    await operator.look()
    assert pods_of(api) == {}
    await operator.work()
    assert list(pods_of(api)) == ["job-5-0"]


async def test_a_refusal_is_of_one_job_and_not_of_its_successor() -> None:
    api, operator = await started()
    (job,) = api.all(JOB)
    operator.cache.refuse(KEY, job["metadata"]["uid"], Refusal("CreateRefused", "no"))
    api.drop(JOB, "job")
    submit(api)
    await operator.list()
    seen = operator.cache.observe(KEY, synced=True)
    assert seen is not None
    assert seen.refused is None


async def test_a_refusal_is_over_with_the_look_that_nothing_refuses() -> None:
    api, operator = await started()
    api.fault = refuse(403, "Forbidden", "exceeded quota", verbs="create")
    await operator.work(1)
    assert status_of(api).reason == "CreateRefused"
    api.fault = lambda *_: None
    await operator.look()
    assert (status_of(api).reason, said(status_of(api), "Accepted")[:2]) == ("CreatingPods", ("True", "Valid"))


async def test_a_refusal_is_forgotten_by_a_job_that_is_suspended() -> None:
    api, operator = await started()
    api.fault = refuse(403, "Forbidden", "exceeded quota", verbs="create")
    await operator.work(1)
    api.fault = lambda *_: None
    for suspend in (True, False):
        (job,) = api.all(JOB)
        metadata = job["metadata"] | {"generation": job["metadata"]["generation"] + 1}
        operator.news(
            "MODIFIED", JOB, api.put(JOB, job | {"metadata": metadata, "spec": job["spec"] | {"suspend": suspend}})
        )
        await operator.look()
        assert said(status_of(api), "Accepted")[:2] == ("True", "Valid")
    assert status_of(api).reason == "CreatingPods"


async def test_a_predecessor_s_finished_pod_that_is_not_collected_yet_is_waited_for() -> None:
    api, operator = await started()
    await operator.work()
    change_pod(api, "job-1-0", phase="Failed")
    (pod,) = api.all(POD)
    api.drop(JOB, "job")
    api.put(POD, pod)
    submit(api)
    await operator.list()
    await operator.work()
    status = status_of(api)
    assert (status.phase, status.reason, status.attempt) == ("Starting", "WaitingForPredecessor", 0)
    assert status.message == "the pods job-1-0 of the deleted job of this name are not gone yet"
    api.drop(POD, "job-1-0")
    await operator.list()
    await operator.work()
    assert (status_of(api).attempt, pods_of(api)) == (1, {"job-1-0": "Pending"})


async def test_a_job_that_is_gone_is_forgotten() -> None:
    api, operator = await started()
    api.drop(JOB, "job")
    await operator.list()
    await operator.look()
    assert operator.cache.observe(KEY, synced=True) is None
    assert api.writes == []


async def test_a_fault_of_ours_is_logged_and_ends_nothing(caplog: pytest.LogCaptureFixture) -> None:
    api, operator = await started()

    def broken(verb: str, kind: Kind, name: str) -> None:
        raise ZeroDivisionError

    api.fault = broken
    await operator.work(1)
    assert set(operator.looks) == {"error"}
    assert "the reconcile failed" in caplog.text
    api.fault = lambda *_: None
    await operator.work(10)
    assert status_of(api).attempt == 1


async def test_an_object_that_cannot_even_be_read_ends_nothing(caplog: pytest.LogCaptureFixture) -> None:
    api = MemoryApi()
    submit(api, "good")
    api.put(JOB, {**manifest("bad"), "kind": "SomethingElse"})
    operator = MemoryOperator(api)
    await operator.list()
    await operator.work(1)
    assert status_of(api, "good").attempt == 1
    assert "default/bad" in caplog.text


async def test_an_invalid_job_costs_one_write_and_its_mending_is_seen() -> None:
    api, operator = await started(overrides={"SOLVER.OPTIMIZR.TYPE": "SGD"})
    await operator.work()
    assert api.writes == [WRITTEN]
    assert "SOLVER.OPTIMIZR" in status_of(api).message
    (job,) = api.all(JOB)
    good = {**job, "metadata": {**job["metadata"], "generation": 2}, "spec": {**job["spec"], "overrides": {}}}
    operator.news("MODIFIED", JOB, api.put(JOB, good))
    await operator.work()
    assert (status_of(api).observed_generation, list(pods_of(api))) == (2, ["job-1-0"])
