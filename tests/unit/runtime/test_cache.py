"""The whole view of a job, put together from everything that is known."""

from __future__ import annotations

import asyncio

from harness.jobs import manifest
from harness.observing import SERVICE, SITE, owner, pod, pod_manifest
from harness.timeless import LoopClock

from pet_operator.domain.launcher import LauncherStatus
from pet_operator.domain.views import TrainerView
from pet_operator.runtime.cache import Answer, Cache
from pet_operator.runtime.ports import Key

KEY = Key("default", "job")


class Known:
    """A cache and whom it told."""

    def __init__(self) -> None:
        self.told: list[Key] = []
        self.cache = Cache(SITE, LoopClock(), self.told.append)
        self.cache.pods.since = 0.0

    def job(self, uid: str = "uid-of-job", version: int = 1, generation: int = 1, **spec: object) -> None:
        content = manifest("job", **spec)
        identity = {"namespace": "default", "uid": uid, "resourceVersion": str(version), "generation": generation}
        self.cache.jobs.put({**content, "metadata": {**content["metadata"], **identity, "managedFields": [1]}})


async def test_a_job_that_is_not_known_is_not_seen() -> None:
    assert Known().cache.observe(KEY, synced=True) is None


async def test_a_job_is_seen_with_all_that_belongs_to_it() -> None:
    known = Known()
    known.job(nodes=2)
    known.cache.pods.put(pod_manifest(0))
    known.cache.pods.put(pod_manifest(1, uid="of-its-predecessor"))
    known.cache.pods.put(pod_manifest(0, name="other"))
    known.cache.pods.put(pod_manifest(2, ownerReferences=[]))  # made by hand, with all of our labels
    service = {"name": "job", "namespace": "default", "uid": SERVICE.uid, "resourceVersion": "1"}
    known.cache.services.put({"metadata": service | {"ownerReferences": [owner(uid="uid-of-job")]}})
    told = LauncherStatus(iteration=3)
    known.cache.answers[pod(0).uid] = Answer(told, -5.0)
    view = known.cache.observe(KEY, synced=True)
    assert view is not None
    assert (view.job.name, view.job.uid, view.job.spec.nodes) == ("job", "uid-of-job", 2)
    assert (view.generation, view.resource_version, view.synced, view.deleting) == (1, "1", True, False)
    assert [each.name for each in view.pods] == ["job-1-0"]
    assert [each.name for each in view.predecessors] == ["job-1-1"]
    assert view.service == SERVICE
    assert view.trainers == {pod(0).uid: TrainerView(status=told, age=5.0)}


async def test_how_long_a_pod_is_terminating_is_counted_from_when_it_was_seen() -> None:
    known = Known()
    known.job()
    known.cache.pods.since = 0.0
    known.cache.pods.put(pod_manifest(0, deletionTimestamp="2026-01-31T11:00:00Z", deletionGracePeriodSeconds=30))
    known.cache.pods.put(pod_manifest(1))

    def leaving() -> dict[str, float]:
        view = known.cache.observe(KEY, synced=True)
        assert view is not None
        return dict(view.leaving)

    assert leaving() == {pod(0).uid: 0.0}, "another machine's clock is not read"
    await asyncio.sleep(40)
    assert leaving() == {pod(0).uid: 40.0}
    known.cache.pods.since = None
    await asyncio.sleep(100)
    assert leaving() == {pod(0).uid: 0.0}, "while nothing is seen, no time counts"
    known.cache.pods.since = 140.0
    await asyncio.sleep(1)
    assert leaving() == {pod(0).uid: 1.0}


async def test_how_long_ranks_are_over_is_counted_from_when_it_was_seen() -> None:
    known = Known()
    known.job()
    known.cache.pods.since = 0.0
    state = {"terminated": {"exitCode": 75, "finishedAt": "2026-01-31T11:00:00Z"}}
    known.cache.pods.put(pod_manifest(0, status={"containerStatuses": [{"name": "trainer", "state": state}]}))
    known.cache.pods.put(pod_manifest(1))
    for seconds in (0.0, 4.0):
        await asyncio.sleep(seconds)
        view = known.cache.observe(KEY, synced=True)
        assert view is not None
        assert view.ended == {pod(0).uid: seconds}


async def test_of_two_jobs_with_one_name_the_younger_is_seen() -> None:
    known = Known()
    known.job("new", version=10)
    known.job("old", version=9)
    view = known.cache.observe(KEY, synced=True)
    assert view is not None
    assert view.job.uid == "new"


async def test_a_job_is_checked_once_for_each_generation_and_uid() -> None:
    known = Known()
    views = []
    for uid, version, generation in (("a", 1, 1), ("a", 2, 1), ("a", 3, 2), ("b", 4, 2)):
        known.job(uid, version, generation)
        view = known.cache.observe(KEY, synced=True)
        assert view is not None
        views.append(view.job.spec)
    assert [views[0] is views[1], views[1] is views[2], views[2] is views[3]] == [True, False, False]


async def test_annotations_are_seen_although_they_make_no_new_generation() -> None:
    known = Known()
    known.job()
    job = known.cache.jobs.of(KEY)[0]
    metadata = {**job["metadata"], "resourceVersion": "2", "annotations": {"pet.dev/restart-requested": "now"}}
    known.cache.observe(KEY, synced=True)
    known.cache.jobs.put({**job, "metadata": metadata})
    view = known.cache.observe(KEY, synced=True)
    assert view is not None
    assert view.job.annotations == {"pet.dev/restart-requested": "now"}


async def test_the_status_is_read_whatever_is_in_it() -> None:
    known = Known()
    known.job()
    job = known.cache.jobs.of(KEY)[0]
    changed = {**job, "metadata": {**job["metadata"], "resourceVersion": "2"}, "status": {"attempt": "many", "x": 1}}
    known.cache.jobs.put(changed)
    view = known.cache.observe(KEY, synced=True)
    assert view is not None
    assert view.status.attempt == 0


async def test_field_managers_bookkeeping_is_not_kept() -> None:
    known = Known()
    known.job()
    assert "managedFields" not in known.cache.jobs.of(KEY)[0]["metadata"]


async def test_a_pod_whose_labels_were_removed_is_still_the_job_s() -> None:
    known = Known()
    known.job(nodes=2)
    known.cache.pods.put(pod_manifest(0, labels={}))
    known.cache.pods.put(pod_manifest(1, labels=None))
    view = known.cache.observe(KEY, synced=True)
    assert view is not None
    assert ([each.name for each in view.pods], view.predecessors) == (["job-1-0", "job-1-1"], ())


async def test_a_change_is_told_of_the_job_that_it_belongs_to() -> None:
    known = Known()
    known.job()
    known.cache.pods.put(pod_manifest(0, name="other"))
    assert known.told == [KEY, Key("default", "other")]


async def test_a_job_that_is_lost_leaves_its_successor() -> None:
    known = Known()
    known.job("old", version=1)
    known.job("new", version=2)
    known.cache.lose(KEY, "old")
    assert [job["metadata"]["uid"] for job in known.cache.jobs.of(KEY)] == ["new"]
