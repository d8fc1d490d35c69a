"""`pet wait`: what ends it, what it says meanwhile, and how it ends."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from harness.answers import Answers, answering
from harness.commands import Answer, pet

from pet_operator.cli.cluster import wait
from pet_operator.domain.codec import write_time


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Answers]:
    monkeypatch.setattr(wait, "POLL_SECONDS", 0.01)
    with answering() as answers:
        yield answers


def job(phase: str, *, uid: str = "u", generation: int = 1, observed: int = 1, **status: Any) -> dict[str, Any]:
    metadata = {
        "name": "job", "namespace": "default", "uid": uid, "generation": generation,
        "creationTimestamp": "2026-01-31T10:00:00Z",
    }  # fmt: skip
    return {"metadata": metadata, "status": {"phase": phase, "observedGeneration": observed, **status}}


def waited(server: Answers, folder: Path, *options: str) -> Answer:
    return pet("wait", "job", "--kubeconfig", server.kubeconfig(folder), *options)


@pytest.mark.parametrize(
    ("end", "code"),
    [
        (job("Succeeded"), 0),
        (job("Failed", reason="RestartsExhausted"), 1),
        (job("Failed", reason="InvalidConfig"), 78),
    ],
)
def test_it_ends_with_the_job(end: dict[str, Any], code: int, server: Answers, tmp_path: Path) -> None:
    server.give(job("Running"))
    server.give(end)
    answer = waited(server, tmp_path)
    assert answer.code == code
    assert answer.out.startswith(f"job: {end['status']['phase']}")


def test_it_can_be_for_running_alone(server: Answers, tmp_path: Path) -> None:
    server.give(job("Starting"))
    server.give(job("Running"))
    answer = waited(server, tmp_path, "--for", "running")
    assert answer.code == 0
    assert answer.out.startswith("job: Running")


@pytest.mark.parametrize(("phase", "code"), [("Succeeded", 0), ("Failed", 1)])
def test_a_job_that_has_ended_is_past_running(phase: str, code: int, server: Answers, tmp_path: Path) -> None:
    server.give(job(phase))
    assert waited(server, tmp_path, "--for", "running").code == code


def test_a_verdict_on_what_was_edited_since_does_not_count(server: Answers, tmp_path: Path) -> None:
    server.give(job("Failed", reason="InvalidConfig", generation=2))
    server.give(job("Pending", generation=2, observed=2))
    server.give(job("Succeeded", generation=2, observed=2))
    answer = waited(server, tmp_path)
    assert answer.code == 0
    assert answer.err.splitlines() == [
        "job: the operator has not looked at it since it was edited",
        "job: Pending",
    ]


def test_each_change_is_said_once(server: Answers, tmp_path: Path) -> None:
    server.give({"metadata": job("")["metadata"]})
    for message in ("pods are being started", "pods are being started", "waiting for the first step"):
        server.give(job("Starting", message=message))
    for iteration in (1, 2):
        server.give(job("Running", message=f"iteration {iteration} of 10"))
    server.give(job("Succeeded"))
    assert waited(server, tmp_path).err.splitlines() == [
        "job: waiting for the operator",
        "job: Starting, pods are being started",
        "job: Starting, waiting for the first step",
        "job: Running",
    ]


def test_when_the_time_is_over_the_job_is_shown_as_it_is(server: Answers, tmp_path: Path) -> None:
    server.give(job("Running"))
    answer = waited(server, tmp_path, "--timeout", "0.05", "-o", "json")
    assert answer.code == 1
    assert json.loads(answer.out) == job("Running")
    assert answer.err.splitlines()[-1] == "error  job: not finished after 0.05 s"


def test_a_server_that_is_away_for_a_while_is_waited_for(server: Answers, tmp_path: Path) -> None:
    server.give(job("Running"))
    server.hang_up()
    server.hang_up()
    server.give("try later", 503)
    server.give(job("Succeeded"))
    answer = waited(server, tmp_path)
    assert answer.code == 0
    assert "cannot be reached: " in answer.err
    assert f"{server.url}: answers 503: try later; trying on" in answer.err


def test_a_job_that_is_deleted_is_not_waited_for(server: Answers, tmp_path: Path) -> None:
    server.give(job("Running"))
    server.give({"kind": "Status", "reason": "NotFound", "message": "gone"}, 404)
    server.give({"items": [], "metadata": {"resourceVersion": "1"}})
    answer = waited(server, tmp_path)
    assert (answer.code, answer.out) == (2, "")
    assert "error  job: no such job in namespace default" in answer.err


def test_nor_is_another_one_of_its_name(server: Answers, tmp_path: Path) -> None:
    server.give(job("Running"))
    server.give(job("Starting", uid="v"))
    answer = waited(server, tmp_path)
    assert (answer.code, answer.out) == (2, "")
    assert answer.err.endswith("error  job: was deleted; there is another job of that name now\n")


def test_a_usage_error(tmp_path: Path) -> None:
    assert pet("wait", "job", "--timeout", "-1").code == 2
    assert pet("wait", "job", "--for", "ever").code == 2


@pytest.mark.parametrize(("age", "shown"), [(10, ""), (95, "1m")])
def test_old_numbers_are_marked_as_in_the_status(age: int, shown: str) -> None:
    now = datetime(2026, 1, 31, 12, tzinfo=UTC)
    progress = {
        "iteration": 3,
        "maxIterations": 10,
        "loss": 0.5,
        "observedAt": write_time(now - timedelta(seconds=age)),
    }
    assert wait.numbers_of(job("Running", progress=progress), now).age == shown
    assert wait.numbers_of(job("Succeeded", progress=progress), now).age == ""
