"""A job that was deleted while nobody watched is forgotten as soon as the API server says that there is none, which it
does twice."""

from __future__ import annotations

import copy
from typing import Any

from harness.jobs import cpu_manifest
from harness.timeless import LoopClock, run

from pet_operator.domain.decision import Observed, Site
from pet_operator.runtime.cache import Cache
from pet_operator.runtime.controller import Controller
from pet_operator.runtime.executor import Executor
from pet_operator.runtime.ports import ApiError, Key
from pet_operator.runtime.queue import KeyedQueue
from pet_operator.runtime.recorder import Recorder
from pet_operator.runtime.witness import Witness

KEY = Key("default", "job")


def stored(uid: str, version: int) -> dict[str, Any]:
    content = cpu_manifest(cfg="cfgs/tasks/cls/FashionMNIST/slim_resnet_1x.yaml")
    names = {"namespace": "default", "uid": uid, "resourceVersion": str(version), "generation": 1}
    content["metadata"] |= names
    return copy.deepcopy(content)


class NobodyThere:
    """An API server that takes no status of the job; what it `has` of this name instead is seen before it answers."""

    def __init__(self, cache: Cache, has: dict[str, Any] | None) -> None:
        self._cache = cache
        self._has = has

    async def apply_status(self, key: Key, status: Any, **_: Any) -> Any:
        if self._has is not None:
            self._cache.jobs.put(self._has)
        raise ApiError(404, "NotFound", f"{key.name} not found")

    async def get(self, kind: Any, key: Key) -> Any:
        return self._has


def left_after_a_look(has: dict[str, Any] | None) -> list[str]:
    """The uids of the jobs that are known after one look at a job that is not there."""

    async def look() -> list[str]:
        queue, clock = KeyedQueue(), LoopClock()
        cache = Cache(Site(cluster="c", trainer_image="trainer"), clock, queue.add)
        cache.pods.since = 0.0
        gateway: Any = NobodyThere(cache, has)
        cache.jobs.put(stored("old", 1))

        async def renew(_observed: Observed) -> bool:
            return False

        controller = Controller(
            witness=Witness(cache, gateway, renew),
            cache=cache, queue=queue, gateway=gateway, executor=Executor(gateway, lambda *_: None),
            recorder=Recorder(gateway, "test"), clock=clock, synced=lambda: True, observe=lambda *_: None,
        )  # fmt: skip
        await controller.reconcile(KEY)
        return [job["metadata"]["uid"] for job in cache.jobs.of(KEY)]

    return run(look())


def test_a_job_that_is_not_there_any_more_is_forgotten() -> None:
    assert left_after_a_look(None) == []


def test_its_successor_is_not() -> None:
    assert left_after_a_look(stored("new", 2)) == ["new"]


def test_a_job_that_is_there_is_not_forgotten_by_one_404() -> None:
    assert left_after_a_look(stored("old", 1)) == ["old"]
