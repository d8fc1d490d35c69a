"""`pet wait` against a real API server: it ends when the status says so."""

from __future__ import annotations

import json
from typing import Any

import pytest
from harness.desk import Desk

RUNNING = {"phase": "Running", "reason": "Training", "message": "iteration 1 of 10"}


@pytest.mark.parametrize(
    ("end", "code"),
    [
        ({"phase": "Succeeded", "reason": "AllRanksFinished"}, 0),
        ({"phase": "Failed", "reason": "RestartsExhausted", "failure": {"class": "AppError", "message": "m"}}, 1),
    ],
)
def test_it_ends_with_the_job(end: dict[str, Any], code: int, desk: Desk) -> None:
    desk.job("job", **RUNNING)
    with desk.start("wait", "job", "-o", "json") as waiting:
        waiting.says("job: Running")
        desk.jobs.set_status("job", **end)
        answer = waiting.end()
    assert (answer.code, answer.err) == (code, "job: Running\n")
    assert json.loads(answer.out) == desk.jobs.get("job")


def test_it_can_be_for_running_alone(desk: Desk) -> None:
    desk.job("job", phase="Starting", message="pods are being started")
    with desk.start("wait", "job", "--for", "running") as waiting:
        waiting.says("job: Starting, pods are being started")
        desk.jobs.set_status("job", **RUNNING)
        answer = waiting.end()
    assert answer.code == 0
    assert answer.out.startswith("job: Running, Training\n")


def test_it_ends_when_the_time_is_over(desk: Desk) -> None:
    desk.job("job", **RUNNING)
    answer = desk.pet("wait", "job", "--timeout", "0.1")
    assert answer.code == 1
    assert answer.out.startswith("job: Running, Training\n")
    assert answer.err.endswith("error  job: not finished after 0.1 s\n")


def test_it_ends_when_the_job_is_deleted(desk: Desk) -> None:
    desk.job("job", **RUNNING)
    with desk.start("wait", "job") as waiting:
        waiting.says("job: Running")
        desk.jobs.delete("job")
        answer = waiting.end()
    assert (answer.code, answer.out) == (2, "")
    assert "error  job: no such job in namespace" in answer.err


def test_ctrl_c_ends_the_waiting_and_not_the_job(desk: Desk) -> None:
    desk.job("job", **RUNNING)
    with desk.start("wait", "job") as waiting:
        waiting.says("job: Running")
        waiting.interrupt()
        answer = waiting.end()
    assert (answer.code, answer.out, answer.err) == (130, "", "job: Running\n")
    assert desk.jobs.get("job")["status"]["phase"] == "Running"
