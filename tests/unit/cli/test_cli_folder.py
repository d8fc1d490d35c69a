"""The folder of a local run: its record, and what is said of a folder that cannot be used."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from harness.stores import saved

from pet.config import ConfigError
from pet_operator.cli.local.folder import RunFolder, fresh
from pet_operator.cli.local.record import RunRecord

RESULT = {"name": "job", "phase": "Succeeded", "iteration": 8, "metrics": {"top1": 0.5}, "checkpoint": None,
          "resumedFrom": None, "failure": None, "output": "runs/job"}  # fmt: skip
RECORD = {"name": "job", "spec_hash": "1f0c", "uid": "local-1", "attempt": 2, "phase": "Succeeded", "result": RESULT}


def folder(path: Path, **record: Any) -> RunFolder:
    """A folder whose record has these fields."""
    (path / "run.json").write_text(json.dumps(RECORD | record))
    return RunFolder(path)


def refusal(action: Callable[[], object]) -> str:
    """What is wrong with --output."""
    with pytest.raises(ConfigError) as caught:
        action()
    (problem,) = caught.value.problems
    assert problem.field == "--output"
    return problem.message


def test_a_record_is_read_as_it_was_saved(tmp_path: Path) -> None:
    record = RunRecord(**RECORD)  # type: ignore[arg-type]
    RunFolder(tmp_path).save(record)
    assert RunFolder(tmp_path).open("job", "1f0c") == record
    assert [file.name for file in tmp_path.iterdir()] == ["run.json"]


def test_a_record_is_on_the_disk_before_it_takes_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []
    for name in ("fsync", "replace"):
        call = getattr(os, name)
        monkeypatch.setattr(os, name, lambda *given, name=name, call=call: (done.append(name), call(*given)))
    RunFolder(tmp_path).save(RunRecord("job", "1f0c"))
    assert done == ["fsync", "replace"]


def test_a_folder_of_another_job_is_refused(tmp_path: Path) -> None:
    assert "belongs to the job 'job'" in refusal(lambda: folder(tmp_path).open("other", "1f0c"))


@pytest.mark.parametrize("phase", ["Running", "Suspended", "Failed"])
def test_a_job_that_did_not_finish_may_be_changed(tmp_path: Path, phase: str) -> None:
    """Running, too: under the lock of the folder that is what a killed program left."""
    record = folder(tmp_path, phase=phase).open("job", "changed")
    assert (record.spec_hash, record.uid, record.attempt) == ("changed", "local-1", 2)


def test_a_finished_job_may_not_be_changed(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"^-f, --set: the job has changed since it was run in .*--fresh"):
        folder(tmp_path).open("job", "changed")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "Expecting value"),
        ("[]", "it is no mapping"),
        ("{}", "attempt is missing"),
        (json.dumps(RECORD | {"colour": "red"}), "colour is no field of it"),
        (json.dumps(RECORD | {"attempt": "2"}), "attempt is '2'"),
        (json.dumps(RECORD | {"attempt": True}), "attempt is True"),
        (json.dumps(RECORD | {"result": {}}), "result.checkpoint is missing"),
        (json.dumps(RECORD | {"result": RESULT | {"metrics": None}}), "result.metrics is None"),
    ],
)
def test_a_record_that_is_none_is_refused(tmp_path: Path, content: str, words: str) -> None:
    (tmp_path / "run.json").write_text(content)
    message = refusal(lambda: RunFolder(tmp_path).open("job", "1f0c"))
    assert f"run.json cannot be read ({words}" in message
    assert "give another folder or remove the file" in message


def test_a_folder_in_the_place_of_the_record_is_refused(tmp_path: Path) -> None:
    (tmp_path / "run.json").mkdir()
    assert "run.json cannot be read" in refusal(lambda: RunFolder(tmp_path).open("job", "1f0c"))


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs a folder in which nobody may make one")
def test_a_folder_that_cannot_be_made_is_refused() -> None:
    def lock() -> None:
        with RunFolder(Path("/proc/nowhere/run")).locked():
            raise AssertionError("made a folder in /proc")

    assert "/proc/nowhere/run cannot be written to" in refusal(lock)


@pytest.mark.parametrize("name", ["logs", "logs/node-1.log/x", "logs/termination-0.json/x"])
def test_something_in_the_place_of_the_logs_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / name).touch()
    message = refusal(lambda: RunFolder(tmp_path).begin(RunRecord("job", "1f0c"), nodes=2))
    assert (f"{tmp_path} cannot be written to" in message, name.removesuffix("/x") in message) == (True, True)
    assert not (tmp_path / "run.json").exists()


def test_something_in_the_place_of_the_configuration_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config").touch()
    assert "cannot be written to" in refusal(lambda: RunFolder(tmp_path).write_config("cfgs/a.yaml", "MISC: {}"))


def test_the_newest_checkpoint_is_the_newest_that_verifies(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    assert run.newest() is None
    saved(run.checkpoints, 3, 6)
    (run.checkpoints / "model_iter6.pth").chmod(0o644)
    (run.checkpoints / "model_iter6.pth").write_bytes(b"cut off")
    newest = run.newest()
    assert newest is not None
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", newest["savedAt"])
    file = run.checkpoints / "model_iter3.pth"
    rest = {"iteration": 3, "file": file.name, "bytes": file.stat().st_size, "verified": True}
    assert newest == {"savedAt": newest["savedAt"]} | rest


def test_a_checkpoint_of_a_later_version_is_left_to_that(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = folder(tmp_path, result=RESULT | {"checkpoint": {"file": "model_iter8.pth"}})
    with monkeypatch.context() as later:
        later.setattr("pet.store.manifest.FORMAT", 99)
        saved(run.checkpoints, 8)
    assert "has format 99" in refusal(lambda: run.damage(run.open("job", "1f0c")))


def test_fresh_is_the_first_name_that_is_free(tmp_path: Path) -> None:
    assert fresh(tmp_path / "run") == tmp_path / "run"
    for name in ("run", "run-2"):
        (tmp_path / name).mkdir()
    assert fresh(tmp_path / "run") == tmp_path / "run-3"


def test_fresh_beside_a_folder_without_a_name_is_beside_the_folder_that_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert fresh(Path()) == tmp_path.with_name(f"{tmp_path.name}-2")
    assert fresh(Path("/")) == Path("/-2")


def test_a_name_that_is_too_long_for_a_folder_is_refused_as_one_that_cannot_be_used(tmp_path: Path) -> None:
    path = tmp_path / ("n" * 300)
    assert fresh(path) == path
    assert "File name too long" in refusal(lambda: RunFolder(path).locked().__enter__())


def test_a_checkpoint_is_lost_only_if_there_is_no_other(tmp_path: Path) -> None:
    run = folder(tmp_path, result=RESULT | {"checkpoint": {"file": "model_iter8.pth"}})
    record = run.open("job", "1f0c")
    assert run.lost(record) == "model_iter8.pth"
    saved(run.checkpoints, 6)
    assert run.lost(record) == ""
    assert folder(tmp_path).lost(RunRecord("job", "1f0c")) == ""
