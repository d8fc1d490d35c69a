"""Events: few, each once, and never in the way of the work."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest
from harness.memory_api import MemoryApi, refuse
from harness.timeless import NOON, settle

from pet_operator.domain.constants import EVENT
from pet_operator.domain.events import Event
from pet_operator.runtime.recorder import Recorder

JOB = {"metadata": {"name": "job", "namespace": "default", "uid": "uid-of-job", "resourceVersion": "7"}}
RUNNING = Event("Running", "all 2 ranks step")


class Bench:
    """A recorder at work."""

    def __init__(self) -> None:
        self.api = MemoryApi()
        self.recorder = Recorder(self.api, "operator-1")
        self._task = asyncio.create_task(self.recorder.run())

    def record(self, event: Event, uid: str = "uid-of-job", **status: Any) -> None:
        self.recorder.record({"metadata": JOB["metadata"] | {"uid": uid}, "status": status}, event, NOON)

    def posted(self) -> list[dict[str, Any]]:
        return self.api.all(EVENT)


async def test_an_event_says_what_happened_to_which_job() -> None:
    bench = Bench()
    bench.record(Event("Restarting", "attempt 2 follows", warning=True))
    await settle()
    (event,) = bench.posted()
    assert event["metadata"].pop("name").startswith("job.")
    assert event["metadata"]["namespace"] == "default"
    assert {name: event[name] for name in event if name != "metadata"} == {
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "eventTime": "2026-01-31T12:00:00.000000Z",
        "type": "Warning",
        "reason": "Restarting",
        "action": "Reconcile",
        "note": "attempt 2 follows",
        "regarding": {
            "apiVersion": "pet.dev/v1",
            "kind": "PetTrainingJob",
            "name": "job",
            "namespace": "default",
            "uid": "uid-of-job",
            "resourceVersion": "7",
        },
        "reportingController": "pet.dev/pet-operator",
        "reportingInstance": "operator-1",
    }


async def test_what_needs_nobody_is_no_warning() -> None:
    bench = Bench()
    bench.record(RUNNING)
    await settle()
    assert bench.posted()[0]["type"] == "Normal"


async def test_the_same_words_about_the_same_job_are_told_once() -> None:
    bench = Bench()
    for _ in range(3):
        bench.record(RUNNING)
    bench.record(Event("Running", "other words"))
    bench.record(RUNNING, uid="of its successor")
    await asyncio.sleep(5)
    assert (len(bench.posted()), bench.recorder.dropped) == (3, 0)


@pytest.mark.parametrize(
    "again",
    [
        {"attempt": 2},
        {"attempt": 1, "restarts": 1},
        {"attempt": 1, "conditions": [{"type": "Running", "lastTransitionTime": "2026-01-31T12:00:09Z"}]},
    ],
    ids=["attempt", "restart", "condition"],
)
async def test_a_transition_that_comes_again_is_told_again(again: dict[str, Any]) -> None:
    bench = Bench()
    before = {"attempt": 1, "conditions": [{"type": "Running", "lastTransitionTime": "2026-01-31T12:00:00Z"}]}
    for status in (before, before | again, before | again):
        bench.record(RUNNING, **status)
    await asyncio.sleep(5)
    assert [event["reason"] for event in bench.posted()] == ["Running"] * 2


async def test_there_are_five_in_a_second_at_most() -> None:
    bench = Bench()
    for index in range(20):
        bench.record(Event("Started", f"attempt {index}"))
    await asyncio.sleep(2.0)
    assert len(bench.posted()) in (10, 11)
    await asyncio.sleep(10)
    assert len(bench.posted()) == 20


async def test_what_does_not_fit_is_counted() -> None:
    bench = Bench()
    for index in range(40):
        bench.record(Event("Started", f"attempt {index}"))
    assert bench.recorder.dropped == 15
    await asyncio.sleep(60)
    assert len(bench.posted()) == 25


@pytest.mark.parametrize("status", [403, 500])
async def test_an_event_that_is_not_taken_is_counted_logged_and_left(
    status: int, caplog: pytest.LogCaptureFixture
) -> None:
    bench = Bench()
    bench.api.fault = refuse(status, "No", "not now")
    bench.record(RUNNING)
    await settle()
    assert bench.recorder.dropped == 1
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    bench.api.fault = lambda *_: None
    bench.record(Event("Succeeded", "all ranks finished"))
    await asyncio.sleep(1)
    assert [event["reason"] for event in bench.posted()] == ["Succeeded"]


@pytest.mark.parametrize("text", ["x" * 2000, "é" * 2000, "\ud83d" * 2000])
async def test_a_long_message_is_cut_to_what_the_api_server_takes(text: str) -> None:
    bench = Bench()
    bench.record(Event("InvalidConfig", text))
    await settle()
    (event,) = bench.posted()
    assert 1000 < len(event["note"].encode()) <= 1024
