"""`pet run --local` as a user runs it: a job file, real ranks on real data, the result, Ctrl-C, and the next start."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from harness.jobs import cpu_manifest
from harness.launcher import ROOT, eventually, free_pair, get_page
from prometheus_client.parser import text_string_to_metric_families

from pet.runfiles.rundir import run_files_root
from pet_operator.cli.local.outcome import read_message

SCHEMA = json.loads((ROOT / "crds/status.schema.json").read_text())
TIMEOUT = 300  # seconds; a bound against hanging, not an expectation
STEPS, BATCH = 8, 16
GATES = "harness.gates:Gate"


@dataclass
class Desk:
    """A user's working directory with a job file and the data."""

    folder: Path
    data: Path
    hooks: list[dict[str, Any]] = field(default_factory=list)
    test: list[str] = field(default_factory=list)  # data sets to evaluate on

    def gate(self, **where: int) -> None:
        """Hold the training at a step until `open` is called."""
        ((point, step),) = where.items()
        arguments = {"folder": str(self.folder), point: step}
        self.hooks.append({"type": GATES, "name": f"{point}-{step}", "priority": 95, "args": arguments})

    def open(self, gate: str) -> None:
        """Open a gate, for example before-3."""
        (self.folder / f"open-{gate}").touch()

    def write(self, **spec: Any) -> str:
        """Write job.yaml; `spec` replaces fields of its spec."""
        config = {
            "MISC": {"DEVICE": "cpu", "SEED": 0, "DISPLAY_ITER": 5},
            "ANALYSER": {"ENABLED": False},
            "DATA": {"DATASET_TYPE": "mnist_dataset", "PIXEL_MEAN": [0.286], "PIXEL_STD": [0.353],
                     "LOADER_THREADS": 0},
            "TRAIN": {"DATASETS": ["fashion_mnist_train"], "BATCH_SIZE": BATCH, "RESIZE": {"SCALES": [28]},
                      "HOOKS": self.hooks},
            "TEST": {"DATASETS": self.test, "IMS_PER_GPU": 500, "TRANSFORMS": []},
            "SOLVER": {"SNAPSHOT_ITER": 3, "OPTIMIZER": {"BASE_LR": 0.05},
                       "SCHEDULER": {"TOTAL_EPOCHS": None, "TOTAL_ITERS": STEPS, "STEPS": [6], "WARM_UP_ITERS": 2}},
            "MODEL": {"BACKBONE": "slim_resnet", "NUM_CLASSES": 10, "IN_CHANNELS": 1,
                      "SLIM_RESNET": {"WIDTHS": [4, 8], "BLOCKS": [1, 1]}},
        }  # fmt: skip
        fields = {"cfg": "cfgs/tasks/cls/small.yaml", "config": config, "procsPerNode": 1} | spec
        (self.folder / "job.yaml").write_text(yaml.safe_dump(cpu_manifest("small", **fields)))
        return "job.yaml"

    @contextmanager
    def start(self, *arguments: str, output: int | None = None) -> Iterator[subprocess.Popen[str]]:
        """`pet run` in the foreground of a terminal of its own; `output`: a descriptor for all that it says."""
        environ = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("PETJOB_", "PET_"))},
            "OMP_NUM_THREADS": "1",
            "PYTHONPATH": str(ROOT / "tests"),
        }
        with open(self.folder / "out", "w") as out, open(self.folder / "err", "w") as err:
            process = subprocess.Popen(
                [sys.executable, "-m", "pet_operator.cli.app", "run", "-f", "job.yaml", "--data", str(self.data),
                 *arguments],
                cwd=self.folder, env=environ, text=True, stdin=subprocess.DEVNULL,
                stdout=out if output is None else output, stderr=err if output is None else output,
                start_new_session=True,
            )  # fmt: skip
        try:
            yield process
        finally:
            process.kill()
            process.wait()

    def run(self, *arguments: str) -> int:
        """Run to the end; the exit code."""
        with self.start("--local", *arguments) as process:
            return process.wait(TIMEOUT)

    @property
    def out(self) -> str:
        """stdout of the last run."""
        return (self.folder / "out").read_text()

    @property
    def err(self) -> str:
        """stderr of the last run so far."""
        return (self.folder / "err").read_text()

    @property
    def result(self) -> dict[str, Any]:
        """The last line of stdout, which -o json makes an object."""
        result: dict[str, Any] = json.loads(self.out.splitlines()[-1])
        return result

    def get(self, page: str) -> str:
        """A page at the first address that was printed. Raises OSError while there is none."""
        return get_page(self.err, page)

    def status(self) -> dict[str, Any]:
        """The document at /status, checked against its schema."""
        document: dict[str, Any] = json.loads(self.get("/status"))
        jsonschema.validate(document, SCHEMA, cls=jsonschema.Draft202012Validator)
        return document


@pytest.fixture
def desk(tmp_path: Path, fashion_mnist: Path) -> Desk:
    return Desk(tmp_path, fashion_mnist)


@dataclass
class Watched:
    """A run of two ranks that was looked at on its way; `status` and `metrics` by moment."""

    desk: Desk
    status: dict[str, dict[str, Any]] = field(default_factory=dict)
    metrics: dict[str, dict[str, float]] = field(default_factory=dict)
    code: int = -1
    out: str = ""
    err: str = ""

    def look(self, moment: str) -> None:
        self.status[moment] = self.desk.status()
        families = text_string_to_metric_families(self.desk.get("/metrics"))
        self.metrics[moment] = {
            "|".join([sample.name.removeprefix("pet_train_"), *map("=".join, sorted(sample.labels.items()))]):
            sample.value for family in families for sample in family.samples
        }  # fmt: skip


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, fashion_mnist: Path) -> Watched:
    """One run to the end, held after step 5 and after everything of the last step."""
    desk = Desk(tmp_path_factory.mktemp("finished"), fashion_mnist, test=["fashion_mnist_test"])
    desk.gate(before=6)
    desk.gate(after=STEPS)
    desk.write(procsPerNode=2)
    watched = Watched(desk)
    with desk.start("--local") as process:
        eventually(desk.status, "the launcher answers")
        watched.look("start")
        assert desk.get("/healthz") == "ok\n"
        for moment, gate in (("middle", "before-6"), ("end", f"after-{STEPS}")):
            eventually((desk.folder / f"reached-{gate}").exists, f"the training comes to {gate}")
            watched.look(moment)
            desk.open(gate)
        watched.code = process.wait(TIMEOUT)
    watched.out, watched.err = desk.out, desk.err
    return watched


def test_run_to_the_end_reports_where_everything_is(finished: Watched) -> None:
    assert finished.code == 0, finished.err
    run = finished.desk.folder / "runs" / "small"
    report = finished.out.splitlines()
    assert re.fullmatch(rf"small: Succeeded at iteration {STEPS}, after \d+:\d\d", report[0])
    top1 = finished.status["end"]["metrics"]["top1"]
    said = {label: rest for label, _, rest in (line.strip().partition(" ") for line in report[1:])}
    assert f"top1 {top1:.4f}" in said["result"]
    for label, path in (("checkpoint", f"checkpoints/model_iter{STEPS}.pth"), ("numbers", "checkpoints/metrics.json"),
                        ("output", "logs")):  # fmt: skip
        assert said[label].strip() == f"runs/small/{path}"
        assert (run / path).exists()
    for text in ("small: 2 CPU ranks", "/status", "/metrics", "runs/small/checkpoints", "Ctrl-C saves"):
        assert text in finished.err
    assert f"iter: {STEPS}/{STEPS}" in (run / "logs" / "node-0.log").read_text()


def test_status_at_the_start(finished: Watched) -> None:
    status = finished.status["start"]
    assert status["state"] in ("rendezvous", "loading")
    assert (status["name"], status["attempt"], status["restarts"], status["worldSize"]) == ("small", 1, 0, 2)
    assert status["script"] == "tools/tasks/cls/train_net.py"
    assert (status["iteration"], status["losses"], status["checkpoint"]) == (None, None, None)
    assert finished.metrics["start"]["rank_restarts_total|reason=Crash"] == 0


def test_numbers_in_the_middle(finished: Watched) -> None:
    status = finished.status["middle"]
    assert (status["state"], status["iteration"], status["maxIterations"]) == ("training", 5, STEPS)
    assert (status["resumedFrom"], status["epoch"], status["metrics"]) == (None, None, {})
    assert 0 < status["losses"]["total"] < 10
    assert 0 < status["learningRate"] <= 0.05
    pace = finished.metrics["middle"]["checkpoint_interval_seconds"] / 3
    assert pace > status["stepSeconds"] > 0, "a save lies between the steps"
    assert status["samplesPerSecond"] == pytest.approx(BATCH / pace)
    assert status["etaSeconds"] == pytest.approx(3 * pace)
    saved = finished.desk.folder / "runs/small/checkpoints/model_iter3.pth"
    checkpoint = status["checkpoint"]
    assert (checkpoint["iteration"], checkpoint["file"], checkpoint["verified"]) == (3, saved.name, True)
    assert (checkpoint["bytes"], checkpoint["ageSeconds"] >= 0) == (saved.stat().st_size, True)
    assert [(rank["rank"], rank["iteration"]) for rank in status["ranks"]] == [(0, 5), (1, 5)]
    assert {"productiveSeconds", "stallSeconds", "startupSeconds"} <= status["accounting"].keys()
    metrics = finished.metrics["middle"]
    assert (metrics["iteration"], metrics["resume_iteration"], metrics["samples_total"]) == (5, 0, 5 * BATCH)
    assert [metrics[f"steps_total|rank={rank}"] for rank in (0, 1)] == [5, 5]
    assert [metrics[f"rank_up|rank={rank}"] for rank in (0, 1)] == [1, 1]
    assert metrics["checkpoint_save_duration_seconds_count|result=success"] == 1
    assert metrics["loss|term=total"] == status["losses"]["total"]


def test_numbers_at_the_end(finished: Watched) -> None:
    status = finished.status["end"]
    assert (status["iteration"], status["etaSeconds"], status["failures"]) == (STEPS, 0, [])
    assert status["checkpoint"]["iteration"] == STEPS
    assert 0 <= status["metrics"]["top1"] <= status["metrics"]["top5"] <= 1
    metrics = finished.metrics["end"]
    assert (metrics["samples_total"], metrics["steps_total|rank=1"]) == (STEPS * BATCH, STEPS)
    assert metrics["eval_metric|dataset=fashion_mnist_test|metric=top1"] == status["metrics"]["top1"]
    assert metrics["checkpoint_save_duration_seconds_count|result=success"] == 3


def test_finished_job_is_not_run_again(finished: Watched) -> None:
    desk, logs = finished.desk, finished.desk.folder / "runs/small/logs"
    before = sorted((file.name, file.stat().st_mtime_ns) for file in logs.iterdir())
    assert desk.run("-o", "json") == 0
    assert sorted((file.name, file.stat().st_mtime_ns) for file in logs.iterdir()) == before
    result = desk.result
    assert result["checkpoint"].pop("savedAt")
    assert result == {
        "name": "small", "phase": "Succeeded", "iteration": STEPS, "metrics": finished.status["end"]["metrics"],
        "checkpoint": {"iteration": STEPS, "file": f"model_iter{STEPS}.pth", "verified": True,
                       "bytes": finished.status["end"]["checkpoint"]["bytes"]},
        "resumedFrom": None, "failure": None, "output": "runs/small",
    }  # fmt: skip
    assert desk.run("--set", "SOLVER.OPTIMIZER.BASE_LR=0.1") == 78
    assert "--fresh" in desk.err
    assert sorted((file.name, file.stat().st_mtime_ns) for file in logs.iterdir()) == before


def test_ctrl_c_saves_and_the_same_command_goes_on_from_there(desk: Desk) -> None:
    desk.gate(before=5)
    desk.write()
    with desk.start("--local", "-o", "json") as process:
        eventually((desk.folder / "reached-before-5").exists, "the training is in step 5")
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to the whole foreground group
        eventually(lambda: "the ranks save a checkpoint and leave" in desk.err, "the launcher has asked its rank")
        desk.open("before-5")
        assert process.wait(TIMEOUT) == 130
    result = desk.result
    assert (result["phase"], result["iteration"], result["checkpoint"]["iteration"]) == ("Suspended", 5, 5)
    assert (result["resumedFrom"], result["failure"]) == (None, None)

    assert desk.run("-o", "json") == 0, desk.err
    result = desk.result
    assert (result["phase"], result["iteration"], result["resumedFrom"]) == ("Succeeded", STEPS, 5)
    assert "attempt 2" in desk.err
    records = (desk.folder / "runs/small/checkpoints/metrics.json").read_text().splitlines()
    assert [json.loads(record)["iteration"] for record in records] == [5, STEPS], "no step was done twice"


def test_two_nodes_are_two_launchers_in_a_fresh_folder(desk: Desk) -> None:
    (desk.folder / "mine").mkdir()
    first = free_pair()
    desk.write(nodes=2, metrics={"port": first})
    arguments = ("--set", "SOLVER.SCHEDULER.TOTAL_ITERS=2", "--output", "mine", "--fresh", "-o", "json")
    assert desk.run(*arguments) == 0, desk.err
    result = desk.result
    assert (result["phase"], result["iteration"], result["output"]) == ("Succeeded", 2, "mine-2")
    assert list((desk.folder / "mine").iterdir()) == []
    logs = desk.folder / "mine-2" / "logs"
    assert sorted(file.name for file in logs.iterdir()) == [
        "node-0.log", "node-1.log", "termination-0.json", "termination-1.json",
    ]  # fmt: skip
    messages = [json.loads((logs / f"termination-{node}.json").read_text()) for node in (0, 1)]
    assert {message["class"] for message in messages} == {"Succeeded"}
    assert {int(port) for port in re.findall(r"live: \S+:(\d+)/status", desk.err)} == {first, first + 1}
    assert all(f"[node {node}] pet: ranks: 2 on 2 nodes (CPU)" in desk.err for node in (0, 1))


def test_another_ctrl_c_ends_a_run_that_does_not_stop(desk: Desk) -> None:
    desk.gate(before=5)
    desk.write()
    with desk.start("--local", "-o", "json") as process:
        eventually((desk.folder / "reached-before-5").exists, "the training is held in step 5")
        process.send_signal(signal.SIGINT)
        eventually(lambda: "the ranks save a checkpoint and leave" in desk.err, "the launcher has asked its rank")
        assert "stopping, as asked: another Ctrl-C ends it at once" in desk.err
        process.send_signal(signal.SIGINT)
        assert process.wait(TIMEOUT) == 1
    assert "small is killed by another Ctrl-C; the steps since the newest checkpoint are lost" in desk.err
    result = desk.result
    assert (result["phase"], result["iteration"], result["failure"]) == ("Suspended", 3, None)
    saved = desk.folder / "runs/small/checkpoints" / result["checkpoint"]["file"]
    assert (result["checkpoint"]["verified"], result["checkpoint"]["bytes"]) == (True, saved.stat().st_size)
    uid = json.loads((desk.folder / "runs/small/run.json").read_text())["uid"]
    assert list(run_files_root().glob(f"*{uid}*")) == []


def test_a_run_that_reaches_its_deadline_has_failed(desk: Desk) -> None:
    desk.gate(before=1)
    desk.write(deadlines={"activeSeconds": 1}, suspend=True)
    assert desk.run("-o", "json") == 1
    assert "warning  spec.suspend: true is for a cluster; --local runs the job all the same\n" in desk.err
    assert "stopping, spec.deadlines.activeSeconds is over" in desk.err
    assert (desk.result["phase"], desk.result["failure"]["class"]) == ("Failed", "DeadlineExceeded")


def test_a_port_that_the_job_names_and_another_program_has_is_refused(desk: Desk) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        desk.write(metrics={"port": port})
        assert desk.run() == 78
    refusal = f"PETJOB_METRICS_PORT or spec.metrics.port: cannot listen on 127.0.0.1, port {port}"
    assert f"  cause        ConfigError: {refusal} (" in desk.out
    assert desk.err.count(refusal) == 1


def test_a_result_whose_checkpoint_has_lost_a_bit_is_made_again(desk: Desk) -> None:
    desk.write()
    assert desk.run("-o", "json") == 0, desk.err
    first = desk.result
    assert desk.run("-o", "json") == 0
    assert (desk.result, desk.err) == (first, ""), "a whole one is only told again"
    file = desk.folder / first["output"] / "checkpoints" / first["checkpoint"]["file"]
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.chmod(0o644)
    file.write_bytes(data)
    assert desk.run("-o", "json") == 0, desk.err
    assert f"the checkpoint {first['checkpoint']['file']} cannot be used any more: its data has another" in desk.err
    assert (desk.result["phase"], desk.result["metrics"]) == ("Succeeded", first["metrics"])
    assert desk.result["resumedFrom"] < STEPS


def test_failed_job_names_its_cause_and_may_be_changed(desk: Desk) -> None:
    desk.hooks = [{"type": "harness.gates:Broken", "args": {"step": 5}}]
    desk.write(restart={"maxRestarts": 0})
    assert desk.run("-o", "json") == 1
    failure = desk.result["failure"]
    assert (failure["rank"], failure["class"], failure["exitCode"], failure["type"]) == (0, "AppError", 1, "ValueError")
    assert (failure["message"], failure["iteration"]) == ("broken in step 5", 4)
    assert "before_step" in failure["traceback"]
    assert (desk.result["phase"], desk.result["checkpoint"]["iteration"]) == ("Failed", 3)
    desk.hooks = []
    desk.write()
    assert desk.run() == 0, desk.err
    assert desk.out.startswith(f"small: Succeeded at iteration {STEPS}, after")
    assert "attempt 2" in desk.err


INVALID: dict[str, tuple[dict[str, Any], tuple[str, ...], tuple[str, ...]]] = {
    "job": ({"nodes": 0, "procsPerNod": 2}, (), ("spec.nodes", "spec.procsPerNod")),
    "configuration": ({"overrides": {"SOLVER.OPTIMIZR": 1}}, (), ("SOLVER.OPTIMIZR",)),
    "set": ({}, ("--set", "MISC.SEED=x", "--set", "MISC.SED=1"), ("MISC.SEED", "MISC.SED")),
    "help": ({"scriptArgs": ["--", "--help"]}, (), ("spec.scriptArgs[1]",)),
    "set without a value": ({}, ("--set", "MISC.SEED"), ("--set", "KEY=VALUE")),
}


@pytest.mark.parametrize("case", INVALID)
def test_invalid_job_starts_nothing(desk: Desk, case: str) -> None:
    spec, arguments, said = INVALID[case]
    desk.write(**spec)
    assert desk.run(*arguments) == 78
    assert desk.out == ""
    for text in said:
        assert text in desk.err
    assert not (desk.folder / "runs").exists()


def test_without_local_it_is_a_usage_error(desk: Desk) -> None:
    desk.write()
    with desk.start() as process:
        assert process.wait(TIMEOUT) == 2
    assert "--local" in desk.err


def test_folder_of_another_job_is_refused(finished: Watched, desk: Desk) -> None:
    desk.write()
    (desk.folder / "job.yaml").write_text((desk.folder / "job.yaml").read_text().replace("name: small", "name: other"))
    assert desk.run("--output", str(finished.desk.folder / "runs/small")) == 78
    assert "belongs to the job 'small'" in desk.err


def test_launchers_stop_with_a_checkpoint_when_the_program_dies(desk: Desk) -> None:
    desk.gate(before=2)
    desk.write()
    with desk.start("--local") as process:
        eventually((desk.folder / "reached-before-2").exists, "the training is in step 2")
        process.kill()
        process.wait()
        desk.open("before-2")
        termination = desk.folder / "runs/small/logs/termination-0.json"
        message = eventually(lambda: read_message(termination), "the launcher ends")
    assert (message["class"], message["savedIteration"]) == ("Preempted", message["iteration"])
    uid = json.loads((desk.folder / "runs/small/run.json").read_text())["uid"]
    eventually(lambda: not list(run_files_root().glob(f"*{uid}*")), "the launcher's run files are gone")


def test_training_goes_on_when_nobody_reads_what_it_says_any_more(desk: Desk) -> None:
    desk.gate(before=2)
    desk.write()
    reading, writing = os.pipe()
    with desk.start("--local", output=writing) as process:
        os.close(writing)
        with open(reading, encoding="utf-8") as pipe:
            assert "small" in pipe.readline()
        desk.open("before-2")
        assert process.wait(TIMEOUT) == 0
    run = desk.folder / "runs" / "small"
    assert json.loads((run / "run.json").read_text())["phase"] == "Succeeded"
    assert (run / "checkpoints" / f"model_iter{STEPS}.pth").exists()
    assert "Overall training speed" in (run / "logs" / "node-0.log").read_text()
