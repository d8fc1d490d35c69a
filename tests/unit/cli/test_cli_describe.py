"""How a job of a cluster is told to people, word for word."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from pet_operator.cli.cluster.describe import print_job, print_pods
from pet_operator.domain.views import PodView

NOW = datetime(2026, 1, 31, 12, 0, 0, tzinfo=UTC)


def job(**status: Any) -> dict[str, Any]:
    metadata = {"name": "job", "namespace": "vision", "creationTimestamp": "2026-01-31T10:00:00Z"}
    return {"metadata": metadata, "status": status}


def pod(index: int, *, attempt: int = 1, phase: str = "Running", **fields: Any) -> PodView:
    fields = {"ready": phase == "Running", "node": f"node-{index}"} | fields
    name = f"job-{attempt}-{index}"
    return PodView(name=name, uid=name, job_uid="u", attempt=attempt, node_index=index, phase=phase, **fields)


def lines(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return capsys.readouterr().out.splitlines()


def told(content: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> list[str]:
    print_job(content, NOW)
    return lines(capsys)


RUNNING = {
    "phase": "Running", "reason": "Training", "message": "iteration 120 of 480", "attempt": 2, "restarts": 1,
    "script": "tools/tasks/cls/train_net.py", "worldSize": 4, "rank0Pod": "job-2-1",
    "nodes": {"desired": 2, "ready": 2},
    "progress": {"iteration": 120, "maxIterations": 480, "percent": 25, "epoch": 3, "loss": 0.4321, "etaSeconds": 75,
                 "learningRate": 0.05, "samplesPerSecond": 1234.5, "observedAt": "2026-01-31T11:59:50Z",
                 "metrics": {"top1": "0.8912", "top5": "0.99"}},
    "checkpoint": {"iteration": 100, "file": "model_iter100.pth", "bytes": 331000000, "verified": True,
                   "savedAt": "2026-01-31T11:59:18Z"},
    "attempts": [
        {"attempt": 1, "startedAt": "2026-01-31T10:00:00Z", "endedAt": "2026-01-31T11:30:00Z", "toIteration": 50,
         "restarts": 2, "reason": "AppError", "message": "rank 1 on node a: AppError: OSError: no space"},
        {"attempt": 2, "startedAt": "2026-01-31T11:30:00Z", "fromIteration": 50},
    ],
    "failure": {"class": "Disrupted", "type": "PodDeleted", "message": "the pod is gone", "pod": "job-1-0",
                "nodeIndex": 0},
}  # fmt: skip


def test_a_running_job_with_all_there_is_to_know(capsys: pytest.CaptureFixture[str]) -> None:
    assert told(job(**RUNNING), capsys) == [
        "job: Running, Training",
        "  namespace     vision",
        "  age           2h0m",
        "  message       iteration 120 of 480",
        "  ranks         4 of tools/tasks/cls/train_net.py, rank 0 in job-2-1",
        "  nodes         2 of 2 ready",
        "  progress      [#######.......................] 25 %, iteration 120 of 480, epoch 3",
        "  eta           1:15",
        "  loss          0.4321, learning rate 0.05, 1,234 images/s",
        "  metrics       top1 0.8912  top5 0.99",
        "  checkpoint    iteration 100, model_iter100.pth, 331.0 MB, 42s old, verified",
        "  restarts      1",
        "  attempts      1  1h30m, iterations 0 to 50, ranks restarted 2 times:"
        " rank 1 on node a: AppError: OSError: no space",
        "                2  30m, from 50",
        "  last failure  Disrupted: pod job-1-0",
        "                PodDeleted: the pod is gone",
    ]


def test_what_became_of_its_time(capsys: pytest.CaptureFixture[str]) -> None:
    lost = {"queue": 120, "startup": 40, "redo": 0, "stall": 0, "restart": 3}
    accounting = {"gpuSeconds": 30000, "productiveSeconds": 3600, "lostSeconds": lost, "gpus": 8}
    text = told(job(phase="Running", accounting=accounting), capsys)
    assert text[-1] == ("  time          1h2m, 95 % productive; lost: queue 2m, startup 40s, restart 3s; 8.3 GPU hours")
    text = told(job(phase="Running", accounting={"productiveSeconds": 60}), capsys)
    assert text[-1] == "  time          1m, 100 % productive"
    assert "time" not in "".join(told(job(phase="Pending", accounting={"gpus": 8}), capsys))


def test_what_is_wrong_although_the_job_goes_on(capsys: pytest.CaptureFixture[str]) -> None:
    conditions = [
        {"type": "Accepted", "status": "True", "reason": "Valid"},
        {
            "type": "Hung",
            "status": "True",
            "reason": "NoStep",
            "message": "rank 3 on node gpu-7 is the furthest behind",
        },
        {"type": "CheckpointHealthy", "status": "False", "reason": "NotPersistent", "message": "there is no volume"},
    ]
    assert told(job(phase="Running", conditions=conditions), capsys)[3:5] == [
        "  warning       NoStep: rank 3 on node gpu-7 is the furthest behind",
        "  warning       NotPersistent: there is no volume",
    ]
    fine = [entry | {"status": "True" if entry["type"] == "CheckpointHealthy" else "False"} for entry in conditions]
    assert "warning" not in "".join(told(job(phase="Running", conditions=fine), capsys))


def test_numbers_that_are_no_longer_fed_are_marked(capsys: pytest.CaptureFixture[str]) -> None:
    progress = RUNNING["progress"] | {"stale": True, "observedAt": "2026-01-31T11:55:00Z"}  # type: ignore[operator]
    text = told(job(phase="Running", progress=progress), capsys)
    assert text[3:6] == [
        "  progress      [#######.......................] 25 %, iteration ~120 of 480, epoch 3; last news 5m ago",
        "  eta           ~1:15",
        "  loss          ~0.4321, learning rate 0.05, 1,234 images/s",
    ]


def test_so_are_those_that_a_dead_operator_left_behind(capsys: pytest.CaptureFixture[str]) -> None:
    progress = RUNNING["progress"] | {"observedAt": "2026-01-31T11:55:00Z"}  # type: ignore[operator]
    marked = told(job(phase="Running", progress=progress | {"stale": True}), capsys)
    assert told(job(phase="Running", progress=progress), capsys) == marked


def test_a_job_that_is_over_expects_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    progress = RUNNING["progress"] | {"observedAt": "2026-01-31T11:00:00Z"}  # type: ignore[operator]
    text = told(job(phase="Succeeded", progress=progress), capsys)
    assert not [line for line in text if line.startswith("  eta") or "last news" in line or "~" in line]


def test_a_failure_is_told_with_its_place_and_the_end_of_its_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    frames = "\n".join(f"frame {number}" for number in range(20))
    failure = {
        "class": "AppError", "type": "ValueError", "message": "label 10", "rank": 3, "node": "gpu-7", "pod": "job-1-0",
        "iteration": 912, "exitCode": 1, "traceback": f"{frames}\n",
    }  # fmt: skip
    text = told(job(phase="Failed", failure=failure), capsys)
    at = text.index("  failure       AppError: rank 3, node gpu-7, pod job-1-0, iteration 912, exit code 1")
    assert text[at + 1 :] == [
        "                ValueError: label 10",
        "                  …",
        *(f"                  frame {number}" for number in range(12, 20)),
    ]


def test_a_failure_is_told_once(capsys: pytest.CaptureFixture[str]) -> None:
    failure = {"class": "AppError", "type": "OSError", "message": "no space", "rank": 1, "node": "a"}
    record = {"attempt": 1, "startedAt": "2026-01-31T11:59:00Z", "endedAt": "2026-01-31T12:00:00Z",
              "reason": "AppError", "message": "rank 1 on node a: AppError: OSError: no space"}  # fmt: skip
    text = told(job(phase="Failed", failure=failure, attempts=[record]), capsys)
    assert "  attempts      1  1m, from 0: AppError" in text
    assert "".join(text).count("no space") == 1


def test_every_line_of_a_message_stands_under_its_first(capsys: pytest.CaptureFixture[str]) -> None:
    failure = {"class": "AppError", "type": "RuntimeError", "message": "sizes differ:\n  weight: 3 and 4", "rank": 1}
    record = {"attempt": 1, "startedAt": "2026-01-31T11:59:00Z", "message": "rank 0: AppError: first\nsecond"}
    text = told(job(phase="Failed", failure=failure, attempts=[record]), capsys)
    assert text[-5:] == [
        "  attempts      1  1m, from 0: rank 0: AppError: first",
        "                second",
        "  failure       AppError: rank 1",
        "                RuntimeError: sizes differ:",
        "                  weight: 3 and 4",
    ]


def test_every_problem_of_an_invalid_job_has_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    text = told(job(phase="Failed", reason="InvalidConfig", message="A: no such key\nB: no such key"), capsys)
    assert text[0] == "job: Failed, InvalidConfig"
    assert text[-2:] == ["  message       A: no such key", "                B: no such key"]


def test_a_job_that_no_operator_has_seen_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    text = told({"metadata": job()["metadata"]}, capsys)
    assert text[0] == "job: not looked at yet"
    assert text[-1] == (
        "  message       no operator has written a status; does one run, and look after this namespace?"
    )


def test_what_a_status_brings_along_cannot_steer_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    text = told(job(phase="Failed", message="\x1b[2Jgone"), capsys)
    assert text[-1] == "  message       \\x1b[2Jgone"


def test_pods_say_where_they_are_and_what_they_wait_for(capsys: pytest.CaptureFixture[str]) -> None:
    waiting = pod(2, phase="Pending", node="", awaited=("Unschedulable", "0/3 nodes are available"))
    print_pods([pod(0), pod(1, ready=False), waiting, pod(3, terminating=True), pod(0, attempt=10)])
    assert lines(capsys) == [
        "  pods          job-10-0  Running  node-0",
        "                job-1-0   Running  node-0",
        "                job-1-1   Running  node-1  not ready",
        "                job-1-2   Pending  Unschedulable: 0/3 nodes are available",
        "                job-1-3   Terminating  node-3",
    ]


def test_of_many_pods_those_that_do_not_run_are_shown(capsys: pytest.CaptureFixture[str]) -> None:
    print_pods([pod(index, phase="Pending" if index == 90 else "Running") for index in range(100)])
    text = lines(capsys)
    assert len(text) == 17
    assert "                job-1-90  Pending  node-90" in text
    assert text[-1] == "                and 84 more"
