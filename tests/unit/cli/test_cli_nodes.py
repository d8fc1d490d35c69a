"""What the launchers of a local run are given, and whose status is believed."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any, BinaryIO

import pytest
from harness.commands import python
from harness.launcher import ROOT

from pet.config import ConfigError, JobEnvironment
from pet.config.job import Checkpoint, JobSpec, Metrics, PetTrainingJob
from pet.launch.options import parse_options
from pet.launch.plan import make_plan
from pet.runfiles.port import write_port
from pet_operator.cli.local.folder import RunFolder
from pet_operator.cli.local.launchers import Launchers
from pet_operator.cli.local.nodes import command_of, environments_of
from pet_operator.cli.local.progress import Display, poll
from pet_operator.cli.local.record import RunRecord


def environments(nodes: int, port: int | None = None) -> list[JobEnvironment]:
    metrics = Metrics(port, port_given=True) if port else Metrics()
    spec = JobSpec(cfg="cfgs/a.yaml", checkpoint=Checkpoint("a"), nodes=nodes, metrics=metrics)
    record = RunRecord("job", "1f0c", uid="local-1", attempt=2)
    return environments_of(PetTrainingJob("job", spec), RunFolder(Path("out")), record, Path("data"))


@pytest.mark.parametrize("place", ["ckpts/vision/mine", "-mine"])
def test_the_script_is_the_job_s_wherever_its_folder_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    monkeypatch.chdir(tmp_path)
    config = "MISC: {DEVICE: cpu}\nTRAIN: {DATASETS: [mnist_train]}\n"
    spec = JobSpec(cfg="cfgs/tasks/cls/a.yaml", config=config, checkpoint=Checkpoint("a"), gpus_per_node=0)
    words = command_of(PetTrainingJob("job", spec), RunFolder(Path(place)))
    program = words.index(str(ROOT / "trainer/tools/train_net_all.py"))
    plan = make_plan(parse_options(words[program + 1 :]), JobEnvironment(), ROOT / "trainer/tools")
    assert plan.script.path == "tools/tasks/cls/train_net.py"


def test_a_port_that_the_job_does_not_name_is_left_to_the_launchers() -> None:
    assert [environment.to_environ()["PETJOB_METRICS_PORT"] for environment in environments(2)] == ["", ""]


def test_a_port_that_the_job_names_is_that_of_node_0_and_the_next_ones_those_of_the_others() -> None:
    assert [environment.metrics_port for environment in environments(3, port=65533)] == [65533, 65534, 65535]


def test_a_port_that_leaves_none_for_the_other_nodes_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"^spec\.metrics\.port: 65534 leaves no port .* 3 nodes; give at most 65533"):
        environments(3, port=65534)


def test_nodes_differ_in_what_is_their_own_and_in_nothing_else() -> None:
    first, second = (environment.to_environ() for environment in environments(2))
    assert {name for name in first if first[name] != second[name]} == {
        "PETJOB_NODE_INDEX", "PET_NODE_RANK", "PETJOB_POD_NAME", "PETJOB_RUN_DIR", "PETJOB_TERMINATION_LOG",
    }  # fmt: skip
    assert (first["PETJOB_UID"], first["PETJOB_ATTEMPT"]) == ("local-1", "2")


def test_runs_that_are_started_together_meet_at_different_ports() -> None:
    ports = {environments(1)[0].master_port for _ in range(4)}
    assert len(ports) > 1, "the kernel gives out its ports at random"


def test_folders_of_which_one_is_a_copy_of_the_other_share_no_run_files() -> None:
    original, copy = environments(1)[0], environments(1)[0]
    assert (original.uid, original.attempt) == (copy.uid, copy.attempt)
    assert original.run_dir != copy.run_dir


@pytest.mark.parametrize(
    ("allowed", "shares"), [(None, ["0,1", "2,3"]), ("4,5,GPU-a,GPU-b,9", ["4,5", "GPU-a,GPU-b"]), ("7", ["7", ""])]
)
def test_nodes_share_the_gpus_that_the_user_may_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, allowed: str | None, shares: list[str]
) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if allowed is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", allowed)
    said = ["", ""]
    logs: list[BinaryIO] = [(tmp_path / f"node-{node}.log").open("wb", buffering=0) for node in (0, 1)]
    command = [sys.executable, "-c", "import os; print(os.environ['CUDA_VISIBLE_DEVICES'])"]
    launchers = Launchers(command, environments(2), 2, logs, said.__setitem__)
    launchers.start()
    assert launchers.join() == [0, 0]
    assert said == shares


@contextmanager
def answering(run_dir: Path, status: object) -> Iterator[None]:
    """A server whose port stands in `run_dir`."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps(status).encode())

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    run_dir.mkdir()
    write_port(run_dir, server.server_port)
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()


def test_the_status_of_rank_0_is_found_and_that_of_another_job_is_not_believed(tmp_path: Path) -> None:
    other: dict[str, Any] = {"uid": "local-2", "iteration": 7}
    waiting, leading = {"uid": "local-1", "iteration": None}, {"uid": "local-1", "iteration": 3}
    run_dirs = [tmp_path / name for name in ("none", "list", "other", "waiting", "leading")]
    assert poll(run_dirs, "local-1") is None
    with answering(tmp_path / "list", []), answering(tmp_path / "other", other):
        assert poll(run_dirs, "local-1") is None
        with answering(tmp_path / "waiting", waiting):
            assert poll(run_dirs, "local-1") == waiting
            with answering(tmp_path / "leading", leading):
                assert poll(run_dirs, "local-1") == leading


def test_the_status_is_not_asked_for_by_way_of_a_proxy(tmp_path: Path) -> None:
    """In a process of its own: the proxies of the environment are read once."""
    status = {"uid": "local-1", "iteration": 3}
    program = (
        "import pathlib, pet_operator.cli.local.progress as progress\n"
        f"print(progress.poll([pathlib.Path({str(tmp_path / 'run')!r})], 'local-1'))"
    )
    with answering(tmp_path / "run", status):
        answer = python("-c", program, http_proxy="http://127.0.0.1:9")
    assert (answer.out, answer.err) == (f"{status}\n", "")


def test_a_file_keeps_the_rows_of_numbers_even_with_colours(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    Display(nodes=1, verbose=False).line(0, "[11-26 21:33:13] |-[small.yaml]-[iter: 5/8]")
    assert "iter: 5/8" in capsys.readouterr().err


def test_what_launchers_say_is_shown_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    Display(nodes=1, verbose=False).line(0, "data/a:b:c [red] {x:on:1}")
    assert capsys.readouterr().err == "data/a:b:c [red] {x:on:1}\n"
