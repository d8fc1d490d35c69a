"""Pods that go: what they said last counts, none is made twice in an attempt, one that is there after all is seen."""

from __future__ import annotations

import copy

import pytest
from harness.memory_api import MemoryApi, Object
from harness.memory_operator import KEY, MemoryOperator, change_pod, pods_of, status_of, submit
from harness.observing import pod_manifest
from harness.world import World

from pet_operator.domain.constants import JOB, LABEL_JOB_UID, POD, Kind
from pet_operator.runtime.ports import ApiError


@pytest.mark.parametrize("together", [True, False], ids=["together", "one by one"])
async def test_last_words_that_come_with_the_deletion_count(together: bool) -> None:
    world = World(nodes=1)
    history: list[tuple[object, ...]] = [("begin",), ("hear",), ("start_all",), ("hear",), ("step", 150), ("ask",)]
    await world.live([*history, ("wait", 11), ("suspend", True), ("hear",), ("step", 70), ("kubelet",)])
    for _ in range(1 if together else 3):
        await world.live([("hear",) if together else ("hear", 1)])
    await world.wait(3)
    status = world.job()
    assert status.checkpoint is not None
    assert (status.phase, status.checkpoint.iteration, status.current.to_iteration) == ("Suspended", 200, 220)


async def two_pods(fault: bool) -> tuple[MemoryApi, MemoryOperator]:
    """An operator with a job of two pods; `fault`: the second one is refused."""

    def refuse(verb: str, kind: Kind, name: str) -> None:
        if fault and verb == "create" and name == "job-1-1":
            raise ApiError(403, "Forbidden", "exceeded quota")

    api = MemoryApi()
    submit(api, nodes=2)
    api.fault = refuse
    operator = MemoryOperator(api)
    await operator.list()
    await operator.work(1)
    return api, operator


async def test_a_pod_that_is_deleted_while_another_is_refused_is_not_made_again_in_the_same_attempt() -> None:
    api, operator = await two_pods(fault=True)
    change_pod(api, "job-1-0", phase="Running", podIP="10.0.0.1")
    api.drop(POD, "job-1-0")
    await operator.list()
    await operator.work(1)
    status = status_of(api)
    assert [record.reason for record in status.attempts] == ["Disrupted", ""]
    await operator.work(60)
    assert api.writes.count(("create", "pods", "job-1-0")) == 1
    assert "job-2-0" in pods_of(api)


async def test_nothing_is_kept_of_pods_once_their_attempt_has_ended() -> None:
    api, operator = await two_pods(fault=False)
    for name in ("job-1-0", "job-1-1"):
        api.drop(POD, name)
    await operator.list()
    view = operator.cache.observe(KEY, synced=True)
    assert view is not None
    assert sorted((pod.name, pod.gone, pod.over) for pod in view.pods) == [
        ("job-1-0", True, True),
        ("job-1-1", True, True),
    ]
    await operator.work(1)
    view = operator.cache.observe(KEY, synced=True)
    assert view is not None
    assert (status_of(api).attempt, view.pods) == (2, ())


async def test_a_pod_whose_labels_come_back_is_seen_and_no_second_attempt_runs_beside_it() -> None:
    api, operator = await two_pods(fault=False)
    there = next(pod for pod in api.all(POD) if pod["metadata"]["name"] == "job-1-0")
    stripped: Object = copy.deepcopy(there)
    del stripped["metadata"]["labels"][LABEL_JOB_UID]
    operator.news("DELETED", POD, api.put(POD, stripped))
    await operator.work(1)
    assert status_of(api).attempt == 2
    labels = stripped["metadata"]["labels"] | {LABEL_JOB_UID: there["metadata"]["labels"][LABEL_JOB_UID]}
    operator.news("ADDED", POD, api.put(POD, stripped | {"metadata": stripped["metadata"] | {"labels": labels}}))
    await operator.work(1)
    assert "job-1-0" not in pods_of(api)


async def test_a_standby_that_looks_at_no_job_keeps_no_more_than_an_attempt_of_those_that_are_there() -> None:
    api = MemoryApi()
    job = submit(api, nodes=2)
    standby = MemoryOperator(api)
    await standby.list()
    departed = standby.cache._departed
    uid = job["metadata"]["uid"]
    for attempt, index in [(1, 0), (1, 1), (3, 0), (3, 1), (2, 0)]:
        pod = pod_manifest(index, attempt=attempt, uid=uid)
        standby.news("ADDED", POD, pod)
        standby.news("DELETED", POD, pod)
    kept = [pod.name for pods in departed._pods.values() for pod in pods.values()]
    assert sorted(kept) == ["job-3-0", "job-3-1"]
    standby.news("DELETED", JOB, job)
    standby.news("ADDED", POD, pod_manifest(attempt=4, uid=uid))
    standby.news("DELETED", POD, pod_manifest(attempt=4, uid=uid))
    assert departed._pods == {}
