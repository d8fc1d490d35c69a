"""`/status` and `/metrics` made from real run files: every state and number, against the schema and the parser."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from harness.launcher import ROOT
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from pet.launch.collector import TrainCollector
from pet.launch.plan import Plan
from pet.launch.ranks import RankExit, RankGroup
from pet.launch.record import Phase, Record
from pet.launch.status import Clock, status_document
from pet.runfiles.checkpoint_info import CheckpointInfo
from pet.runfiles.heartbeat import HeartbeatWriter, Section
from pet.runfiles.metrics import JobMetrics, write_metrics_file
from pet.runfiles.rundir import RunDirectory

SCHEMA = json.loads((ROOT / "crds/status.schema.json").read_text())
METRICS = JobMetrics(
    attempt=3, restart=0, world_size=2, torch="2.15", precision="fp32", iteration=40, max_iterations=100, epoch=2,
    losses={"total": 1.5, "cls": 0.5}, learning_rate=0.1, samples_per_second=64.0, eta_seconds=12.0, step_seconds=0.25,
    pace_seconds=0.5, samples_total=640, metrics={"top1": 0.75}, dataset="fashion_mnist_test",
    checkpoint=CheckpointInfo(iteration=30, file="model_iter30.pth", bytes=123, saved_at=1000.0, verified=True),
    resumed_from=20, checkpoint_interval_iterations=10, accounting={"productiveSeconds": 10.0, "redoSeconds": 1.0},
)  # fmt: skip
EXIT = RankExit(rank=1, code=-9, order=1, by_us=False, failure=None, iteration=2)


class Job:
    """A record over run files that the test writes as two ranks would."""

    def __init__(self, folder: Path, ranks: tuple[int, ...] = (0, 1)) -> None:
        self.directory = RunDirectory(folder)
        self.directory.create()
        self.record = Record()
        self.group = RankGroup(self.directory, dict(enumerate(ranks)))
        self.hearts: list[HeartbeatWriter] = []

    def start(self) -> None:
        self.record.started(self.group)

    def beat(self, section: Section, steps: int = 0, resumed: int = 0) -> None:
        for local_rank, rank in self.group.ranks.items():
            heart = HeartbeatWriter(self.directory.heartbeat(local_rank), attempt=3, restart=0, rank=rank,
                                    local_rank=local_rank)  # fmt: skip
            heart.identify(attempt=3, restart=0, iteration=resumed)
            for iteration in range(1, steps + 1):
                heart.begin_collective()
                heart.step(resumed + iteration, 0.5, 0.125)
            heart.enter(section)

    def tell(self, metrics: JobMetrics) -> None:
        write_metrics_file(self.directory.metrics(0), metrics)

    def status(self, plan: Plan, clock: Clock | None = None) -> dict[str, Any]:
        """The document, as the port sends it, checked against the schema."""
        document = status_document(plan, self.record.snapshot(), clock or Clock.now())
        sent: dict[str, Any] = json.loads(json.dumps(document, allow_nan=False))
        jsonschema.validate(sent, SCHEMA, cls=jsonschema.Draft202012Validator)
        return sent

    def series(self, plan: Plan) -> dict[str, float]:
        """Every sample of /metrics by name and labels, after the way through text and parser."""
        registry = CollectorRegistry(auto_describe=False)
        registry.register(TrainCollector(plan, self.record))
        families = text_string_to_metric_families(generate_latest(registry).decode())
        return {
            "|".join([sample.name, *map("=".join, sorted(sample.labels.items()))]): sample.value
            for family in families
            for sample in family.samples
        }


@pytest.fixture
def job(tmp_path: Path) -> Job:
    return Job(tmp_path / "run")


def test_before_anything_runs_only_the_plan_is_known(job: Job, plan: Plan) -> None:
    document = job.status(plan)
    known = {name: value for name, value in document.items() if value is not None}
    assert known == {
        "schema": 1, "uid": "the-uid", "name": "job", "nodeIndex": 0, "attempt": 3, "restarts": 0,
        "state": "rendezvous", "script": "tools/tasks/cls/train_net.py", "worldSize": 2, "ranks": [], "failures": [],
    }  # fmt: skip
    # A launcher tells everything; what was added since the first version is required of none.
    assert set(document) == set(SCHEMA["properties"]) == {*SCHEMA["required"], "checkpointFailure"}


def test_rank_that_loads_does_not_yet_know_its_iteration(job: Job, plan: Plan) -> None:
    job.start()
    job.beat(Section.INIT)
    document = job.status(plan)
    assert (document["state"], document["iteration"]) == ("loading", None)
    assert [rank["section"] for rank in document["ranks"]] == ["init", "init"]
    assert [rank["lastStepAgeSeconds"] for rank in document["ranks"]] == [None, None]


def test_resumed_run_tells_where_it_goes_on_from_before_its_first_step(job: Job, plan: Plan) -> None:
    job.start()
    job.beat(Section.INIT, resumed=20)
    job.tell(replace(METRICS, iteration=20))
    document = job.status(plan)
    assert (document["iteration"], document["resumedFrom"], document["maxIterations"]) == (20, 20, 100)
    assert document["checkpoint"]["iteration"] == 30


def test_numbers_of_a_running_job(job: Job, plan: Plan) -> None:
    job.start()
    job.beat(Section.STEP, steps=4, resumed=40)
    job.tell(METRICS)
    now = Clock.now()
    document = job.status(plan, replace(now, epoch=1007.5))
    assert document["iteration"] == 44, "the heartbeat is ahead of the log window"
    told = ("maxIterations", "epoch", "losses", "learningRate", "samplesPerSecond", "etaSeconds", "stepSeconds")
    assert [document[name] for name in told] == [100, 2, {"total": 1.5, "cls": 0.5}, 0.1, 64.0, 12.0, 0.25]
    assert (document["metrics"], document["resumedFrom"]) == ({"top1": 0.75}, 20)
    assert document["accounting"] == {"productiveSeconds": 10.0, "redoSeconds": 1.0}
    assert document["checkpoint"] == {
        "iteration": 30, "file": "model_iter30.pth", "bytes": 123, "ageSeconds": 7.5, "verified": True,
    }  # fmt: skip
    rank = document["ranks"][1]
    assert 0 <= rank.pop("silentSeconds") <= rank.pop("lastStepAgeSeconds") < 60
    assert rank == {
        "rank": 1, "localRank": 1, "iteration": 44, "section": "step", "collective": 4, "dataSeconds": 0.125,
    }  # fmt: skip


def test_ranks_that_leave_after_the_last_iteration_have_finished(job: Job, plan: Plan) -> None:
    job.start()
    job.beat(Section.DONE, steps=59, resumed=40)
    job.tell(METRICS)
    assert (job.status(plan)["iteration"], job.status(plan)["state"]) == (99, "stopping")
    job.beat(Section.DONE, steps=60, resumed=40)
    assert (job.status(plan)["iteration"], job.status(plan)["state"]) == (100, "finished")


@pytest.mark.parametrize(
    ("section", "state"),
    [
        (Section.INIT, "loading"),
        (Section.DATA, "training"),
        (Section.STEP, "training"),
        (Section.SAVE, "saving"),
        (Section.EVAL, "evaluating"),
        (Section.DONE, "stopping"),
    ],
)
def test_state_is_what_the_lowest_rank_is_busy_with(job: Job, plan: Plan, section: Section, state: str) -> None:
    job.start()
    assert job.status(plan)["state"] == "loading"
    job.beat(section)
    assert job.status(plan)["state"] == state


@pytest.mark.parametrize("phase", [phase for phase in Phase if phase is not Phase.RUNNING])
def test_state_of_the_launcher_itself_goes_first(job: Job, plan: Plan, phase: Phase) -> None:
    job.start()
    job.beat(Section.STEP)
    job.record.enter(phase)
    assert job.status(plan)["state"] == phase.value


def test_numbers_that_are_not_finite_are_null(job: Job, plan: Plan) -> None:
    job.start()
    job.tell(replace(METRICS, losses={"total": math.nan}, eta_seconds=math.inf, metrics={"top1": math.nan}))
    document = job.status(plan)
    assert (document["losses"], document["etaSeconds"], document["metrics"]) == ({"total": None}, None, {"top1": None})
    assert math.isnan(job.series(plan)["pet_train_loss|term=total"]), "Prometheus knows NaN: an alert looks for it"


def test_node_without_rank_zero_tells_nothing_of_the_job(tmp_path: Path, make: Callable[..., Plan]) -> None:
    plan = make("--nproc", "2", PETJOB_UID="uid", PETJOB_ATTEMPT="1", PET_NNODES="2", PETJOB_NODE_INDEX="1")
    job = Job(tmp_path / "run", ranks=(2, 3))
    job.start()
    job.beat(Section.STEP, steps=4)
    job.tell(METRICS)
    document = job.status(plan)
    assert (document["nodeIndex"], document["state"]) == (1, "training")
    assert [rank["rank"] for rank in document["ranks"]] == [2, 3]
    shown = ("iteration", "maxIterations", "losses", "metrics", "checkpoint", "resumedFrom", "accounting", "epoch")
    assert [document[name] for name in shown] == [None] * len(shown)
    names = {name.partition("|")[0].removeprefix("pet_train_") for name in job.series(plan)}
    assert names == {
        "last_step_timestamp_seconds", "rank_up", "steps_total", "step_seconds_total", "data_wait_seconds_total",
        "rank_restarts_total",
    }  # fmt: skip


def test_failures_are_listed(job: Job, plan: Plan) -> None:
    job.start()
    job.beat(Section.STEP, steps=2)
    job.group.exits = {1: EXIT}
    assert job.status(plan)["failures"] == [
        {
            "restart": 0, "rank": 1, "class": "Crash", "exitCode": 139, "type": "SIGKILL",
            "message": "killed by SIGKILL", "traceback": "", "iteration": 2,
        }
    ]  # fmt: skip


def test_names_of_the_metrics_are_the_documented_ones(job: Job, plan: Plan) -> None:
    job.start()
    job.beat(Section.STEP, steps=4, resumed=40)
    amp = {"amp_loss_scale": 1024.0, "amp_skipped_steps": 2}
    job.tell(replace(METRICS, hook_errors={"Mine": 1}, checkpoint_failures={"OSError": 2}, user={"number": 3.0}, **amp))
    series = job.series(plan)
    names = {name.partition("|")[0].removeprefix("pet_train_") for name in series}
    assert names == {
        "last_step_timestamp_seconds", "rank_up", "steps_total", "step_seconds_total", "data_wait_seconds_total",
        "rank_restarts_total", "info", "iteration", "max_iterations", "epoch", "resume_iteration", "samples_total",
        "expected_step_seconds", "loss", "dropped_terms_total", "nonfinite_loss_total", "learning_rate", "eta_seconds",
        "checkpoint_last_success_timestamp_seconds", "checkpoint_iteration", "checkpoint_size_bytes",
        "checkpoint_interval_seconds", "checkpoint_save_duration_seconds_bucket",
        "checkpoint_save_duration_seconds_count", "checkpoint_save_duration_seconds_sum", "eval_metric",
        "amp_loss_scale", "amp_skipped_steps_total",
        "hook_errors_total", "checkpoint_failures_total", "user_metric", "last_progress_timestamp_seconds",
    }  # fmt: skip
    values = {name.removeprefix("pet_train_"): value for name, value in series.items()}
    assert (values["iteration"], values["resume_iteration"], values["steps_total|rank=1"]) == (44, 20, 4)
    assert (values["checkpoint_interval_seconds"], values["checkpoint_iteration"]) == (5.0, 30)
    assert (values["hook_errors_total|hook=Mine"], values["checkpoint_failures_total|reason=OSError"]) == (1, 2)
    assert (values["amp_loss_scale"], values["amp_skipped_steps_total"]) == (1024.0, 2)
    assert values["eval_metric|dataset=fashion_mnist_test|metric=top1"] == 0.75
    info = "info|attempt=3|cfg=cfgs/tasks/cls/small.yaml|precision=fp32|script=tools/tasks/cls/train_net.py"
    assert values[f"{info}|torch=2.15|world_size=2"] == 1


def test_counters_are_there_at_zero_before_the_first_step(job: Job, plan: Plan) -> None:
    job.start()
    series = job.series(plan)
    names = (
        "steps_total|rank=0", "data_wait_seconds_total|rank=1", "samples_total", "nonfinite_loss_total",
        "rank_restarts_total|reason=Crash", "checkpoint_save_duration_seconds_count|result=error",
    )  # fmt: skip
    for name in names:
        assert series[f"pet_train_{name}"] == 0
    assert "pet_train_iteration" not in series, "what is not known is absent, not zero"


def test_names_from_users_cannot_break_the_text(job: Job, plan: Plan) -> None:
    names = ['quote"d', "back\\slash", "new\nline", "ünï {code}", "a=b,c"]
    job.start()
    job.tell(replace(METRICS, losses=dict.fromkeys(names, 1.0), user=dict.fromkeys(names, 2.0)))
    series = job.series(plan)
    assert [series[f"pet_train_loss|term={name}"] for name in names] == [1.0] * len(names)
    assert [series[f"pet_train_user_metric|name={name}"] for name in names] == [2.0] * len(names)
