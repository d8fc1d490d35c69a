"""What `pet run --local` refuses before a launcher is started, and what it says of a job that has finished."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest
from harness.commands import PET, pet, python
from harness.jobs import manifest
from harness.launcher import ROOT

from pet.config import ConfigError
from pet.store.lock import FolderLock
from pet_operator.cli.local.attempt import LocalAttempt
from pet_operator.cli.local.command import fingerprint, read_one
from pet_operator.cli.local.folder import RunFolder
from pet_operator.cli.local.record import RunRecord
from pet_operator.cli.local.stop import Order

SAMPLE = str(ROOT / "crds/samples/fashion-mnist.yaml")


def test_a_folder_in_which_the_job_runs_already_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    with FolderLock(tmp_path):
        before = sorted(tmp_path.iterdir())
        answer = python(*PET, "run", "--local", "-f", SAMPLE, "--output", str(tmp_path))
    assert answer.code == 78
    assert "--output" in answer.err
    assert "is in use by process" in answer.err
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize("setting", ["=1", "MISC.SEED"])
def test_a_setting_without_a_key_or_a_value_is_named(setting: str) -> None:
    with pytest.raises(ConfigError, match=f"^--set: '{setting}' is not KEY=VALUE$"):
        read_one(SAMPLE, [setting])


def test_a_folder_for_checkpoints_that_would_not_be_used_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"^--set: MISC\.CKPT has no effect: .* --output$"):
        read_one(SAMPLE, ["MISC.CKPT=mine"])


def test_all_that_is_wrong_with_the_settings_comes_together() -> None:
    with pytest.raises(ConfigError) as caught:
        read_one(SAMPLE, ["MISC.SED=1", "=3", "MISC.SEED"])
    assert [problem.field for problem in caught.value.problems] == ["--set", "--set", "MISC.SED"]


def test_an_output_without_a_name_is_refused(tmp_path: Path) -> None:
    answer = python(*PET, "run", "--local", "-f", SAMPLE, "--output", "", folder=tmp_path)
    assert (answer.code, answer.err) == (
        78,
        "error  --output: is empty: name a folder, or leave it out for runs/<job>\n",
    )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["none.yaml", f"{'n' * 300}.yaml"])
def test_a_configuration_that_is_not_here_is_left_to_no_pod(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "cfgs/tasks/cls").mkdir(parents=True)
    for cfg in (f"cfgs/tasks/cls/{name}", f"{tmp_path}/cfgs/tasks/cls/{name}"):
        (tmp_path / "job.json").write_text(json.dumps(manifest(cfg=cfg, gpusPerNode=0)))
        with pytest.raises(ConfigError, match=f"^spec.cfg: there is no file '{cfg}'; embed the configuration"):
            read_one("job.json", [])


def test_an_output_that_cannot_be_a_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    answer = python(*PET, "run", "--local", "-f", SAMPLE, "--output", str(tmp_path / "file"))
    assert answer.code == 78
    assert "--output" in answer.err
    assert "cannot be used" in answer.err


@pytest.mark.parametrize("output", ["/proc/nowhere", "damaged"])
def test_an_output_that_cannot_be_used_is_an_error_without_a_traceback(tmp_path: Path, output: str) -> None:
    (tmp_path / "damaged" / "run.json").mkdir(parents=True)
    answer = python(*PET, "run", "--local", "-f", SAMPLE, "--output", output, folder=tmp_path)
    assert (answer.code, answer.out) == (78, "")
    assert answer.err.startswith("error  --output: ")
    assert "Traceback" not in answer.err


def test_the_result_of_a_finished_job_is_told_even_if_a_number_of_it_is_none(tmp_path: Path) -> None:
    result = {"name": "fashion-mnist", "phase": "Succeeded", "iteration": 8, "metrics": {"top1": 0.5, "top5": None},
              "checkpoint": None, "resumedFrom": None, "failure": None, "output": str(tmp_path)}  # fmt: skip
    spec = read_one(SAMPLE, []).spec
    RunFolder(tmp_path).save(RunRecord("fashion-mnist", spec.hash, attempt=1, phase="Succeeded", result=result))
    answer = pet("run", "--local", "-f", SAMPLE, "--output", str(tmp_path))
    assert answer.code == 0
    assert "fashion-mnist: Succeeded at iteration 8, earlier" in answer.out
    assert "  result       top1 0.5000  top5 not finite\n" in answer.out


def test_a_finished_job_has_changed_if_the_file_of_its_configuration_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    cfg, output = tmp_path / "cfgs/tasks/cls/a.yaml", tmp_path / "out"
    cfg.parent.mkdir(parents=True)
    output.mkdir()
    text = "MISC: {DEVICE: cpu, SEED: 1}\nTRAIN: {DATASETS: [mnist_train]}\n"
    cfg.write_text(text)
    (tmp_path / "job.json").write_text(json.dumps(manifest("a", gpusPerNode=0)))
    result = {"name": "a", "phase": "Succeeded", "iteration": 8, "metrics": {}, "checkpoint": None,
              "resumedFrom": None, "failure": None, "output": "out"}  # fmt: skip
    record = RunRecord("a", fingerprint(read_one("job.json", []).spec), attempt=1, phase="Succeeded", result=result)
    RunFolder(output).save(record)
    command = ("run", "--local", "-f", "job.json", "--output", "out")
    assert pet(*command).out.startswith("a: Succeeded at iteration 8, earlier")
    cfg.write_text(text.replace("1", "2"))
    with pytest.raises(ConfigError, match=r"^-f, --set: the job has changed since it was run in out"):
        pet(*command)
    embedded = read_one(SAMPLE, []).spec
    assert fingerprint(embedded) == embedded.hash


@pytest.mark.parametrize("phase", ["Suspended", "Succeeded"])
def test_where_all_checkpoints_are_gone_it_is_said_that_training_begins_anew(tmp_path: Path, phase: str) -> None:
    result = {"name": "fashion-mnist", "phase": phase, "iteration": 8, "metrics": {}, "resumedFrom": None,
              "checkpoint": {"iteration": 8, "file": "model_iter8.pth"}, "failure": None, "output": ""}  # fmt: skip
    spec = read_one(SAMPLE, []).spec
    RunFolder(tmp_path).save(RunRecord("fashion-mnist", spec.hash, attempt=1, phase=phase, result=result))
    (tmp_path / "checkpoints").touch()  # which the launcher refuses before it starts a rank
    answer = pet("run", "--local", "-f", SAMPLE, "--output", str(tmp_path))
    assert answer.code == 78
    assert "the checkpoint model_iter8.pth is gone, and there is no other in " in answer.err
    assert "training begins anew" in answer.err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_asks_for_a_stop_unless_it_is_ignored(tmp_path: Path, number: signal.Signals) -> None:
    def attempt() -> LocalAttempt:
        return LocalAttempt(read_one(SAMPLE, []), RunFolder(tmp_path), RunRecord("job", "1f0c"), verbose=False)

    asked, ignoring = attempt(), attempt()
    previous = signal.getsignal(number)
    with asked.signals():
        signal.raise_signal(number)
    assert (asked.stop.decide([None]), signal.getsignal(number)) == (Order.STOP, previous)
    try:
        signal.signal(number, signal.SIG_IGN)  # as nohup does
        with ignoring.signals():
            signal.raise_signal(number)
    finally:
        signal.signal(number, previous)
    assert ignoring.stop.decide([None]) is None
