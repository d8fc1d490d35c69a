"""`/status`, `/metrics` and `/healthz` of a real launcher, from the first step over a restart to the end."""

from __future__ import annotations

import json
import os
import signal
import urllib.error
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from harness.launcher import ROOT, Launched, bench, eventually
from prometheus_client.parser import text_string_to_metric_families

SCHEMA = json.loads((ROOT / "crds/status.schema.json").read_text())

SCRIPT = """
heartbeat = HeartbeatWriter(RUN_DIR.heartbeat(LOCAL_RANK), attempt=4, restart=START, rank=RANK, local_rank=LOCAL_RANK)
metrics = JobMetrics(attempt=4, restart=START, world_size=WORLD_SIZE, max_iterations=30, learning_rate=0.1,
                     losses={"total": float("nan"), "cls": 0.5}, samples_total=64, eta_seconds=float("inf"))

def publish():
    if RANK == 0:
        write_metrics_file(RUN_DIR.metrics(LOCAL_RANK), metrics)

wait_for(f"train{START}")
heartbeat.enter(Section.STEP)
for iteration in range(1, 11):
    heartbeat.step(iteration, 0.2, 0.05)
metrics.iteration = 10
publish()
wait_for(f"evaluate{START}")
heartbeat.enter(Section.EVAL)
metrics.metrics, metrics.dataset = {"top1": 0.75}, "fashion_mnist_test"
publish()
wait_for("save")
heartbeat.enter(Section.SAVE)
metrics.checkpoint = CheckpointInfo(
    iteration=10, file="model_iter10.pth", bytes=123, saved_at=time.time(), verified=True)
publish()
wait_for("end")
heartbeat.enter(Section.DONE)
"""


def series(launched: Launched) -> dict[str, float]:
    """Every sample of /metrics by its name and labels."""
    found = {}
    for family in text_string_to_metric_families(launched.get("/metrics")):
        for sample in family.samples:
            labels = ",".join(f"{name}={value}" for name, value in sorted(sample.labels.items()))
            found[f"{sample.name.removeprefix('pet_train_')}{{{labels}}}"] = sample.value
    return found


def status(launched: Launched, state: str) -> dict[str, Any]:
    """Wait for a state; the document then, checked against the schema. So is every one on the way."""

    def look() -> dict[str, Any] | None:
        document = launched.status()
        jsonschema.validate(document, SCHEMA, cls=jsonschema.Draft202012Validator)
        return document if document["state"] == state else None

    document: dict[str, Any] = eventually(look, f"state {state}")
    return document


def test_endpoints_follow_the_job_from_loading_over_a_restart_to_the_end(tmp_path: Path) -> None:
    with bench(tmp_path, SCRIPT) as made:
        launched = made.launch("--nproc", "2", PETJOB_UID="the-uid", PETJOB_ATTEMPT="4", PETJOB_NAME="job")
        first = status(launched, "rendezvous")
        assert (first["uid"], first["name"], first["attempt"], first["iteration"]) == ("the-uid", "job", 4, None)
        assert (first["script"], first["worldSize"]) == ("tools/tasks/cls/train_net.py", 2)
        assert launched.get("/healthz") == "ok\n"
        status(launched, "loading")
        before = series(launched)
        assert [before[f"steps_total{{rank={rank}}}"] for rank in (0, 1)] == [0, 0]
        assert before["rank_restarts_total{reason=Crash}"] == 0
        assert before["samples_total{}"] == 0

        made.touch("train0")
        eventually(lambda: status(launched, "training")["losses"], "rank 0 has told its numbers")
        training = status(launched, "training")
        assert (training["iteration"], training["maxIterations"], training["etaSeconds"]) == (10, 30, None)
        assert training["losses"] == {"total": None, "cls": 0.5}
        assert [(rank["rank"], rank["iteration"], rank["section"]) for rank in training["ranks"]] == [
            (0, 10, "step"), (1, 10, "step"),
        ]  # fmt: skip
        assert series(launched)["steps_total{rank=1}"] == 10

        victim = next(entry["pid"] for entry in made.journal("start") if entry["rank"] == 1)
        os.kill(victim, signal.SIGKILL)
        eventually(lambda: len(made.journal("start")) == 4, "all ranks start again")
        again = status(launched, "loading")
        assert (again["restarts"], again["iteration"]) == (1, None)
        assert [(failure["rank"], failure["class"], failure["type"], failure["iteration"]) for failure in
                again["failures"]] == [(1, "Crash", "SIGKILL", 10)]  # fmt: skip
        after = series(launched)
        assert (after["steps_total{rank=1}"], after["samples_total{}"]) == (10, 64), "counters never go down"
        assert (after["rank_restarts_total{reason=Crash}"], after["rank_up{rank=1}"]) == (1, 1)

        made.touch("train1")
        made.touch("evaluate1")
        evaluating = eventually(lambda: status(launched, "evaluating")["metrics"], "the evaluation is told")
        assert evaluating == {"top1": 0.75}
        now = series(launched)
        assert (now["steps_total{rank=1}"], now["samples_total{}"]) == (20, 128)
        assert now["step_seconds_total{rank=0}"] == pytest.approx(4.0)
        assert now["data_wait_seconds_total{rank=0}"] == pytest.approx(1.0)
        assert now["eval_metric{dataset=fashion_mnist_test,metric=top1}"] == 0.75
        assert not any("_created" in name or name.startswith(("python_", "process_")) for name in now)

        made.touch("save")
        checkpoint = eventually(lambda: status(launched, "saving")["checkpoint"], "the checkpoint is told")
        assert (checkpoint["file"], checkpoint["verified"]) == ("model_iter10.pth", True)
        made.touch("end")
        assert launched.wait() == 0
        message = launched.termination
        assert (message["class"], message["metrics"], message["savedIteration"]) == ("Succeeded", {"top1": 0.75}, 10)


def test_unknown_page_is_answered_with_the_list_of_pages(tmp_path: Path) -> None:
    with bench(tmp_path, SCRIPT) as made:
        launched = made.launch()
        eventually(lambda: launched.get("/healthz"), "the port is open")
        with pytest.raises(urllib.error.HTTPError) as answer:
            launched.get("/")
        assert answer.value.code == 404
        assert "/metrics, /status, /healthz" in answer.value.read().decode()
