from __future__ import annotations

import errno
import logging
import os
import shutil
from pathlib import Path

import pytest
import torch
from harness.toy import short_toy, toy_config, toy_session

from pet.config import ConfigError
from pet.engine import session as session_module
from pet.engine.session import current_session, open_session
from pet.runfiles.heartbeat import Section, read_heartbeat


@pytest.fixture
def rank_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the launcher gives rank 3 of 4, the second of its node."""
    for name, value in {"RANK": 3, "LOCAL_RANK": 1, "WORLD_SIZE": 4, "PETJOB_ATTEMPT": 7,
                        "PETJOB_RUN_DIR": tmp_path}.items():  # fmt: skip
        monkeypatch.setenv(name, str(value))


@pytest.mark.usefixtures("rank_environment")
def test_a_session_is_the_rank_that_the_environment_says(tmp_path: Path) -> None:
    session = open_session("tools/tasks/cls/train_net.py")
    assert current_session() is session
    assert (session.rank, session.local_rank, session.world_size) == (3, 1, 4)
    heartbeat = read_heartbeat(tmp_path / "heartbeat-1")
    assert heartbeat is not None
    assert (heartbeat.attempt, heartbeat.rank, heartbeat.local_rank) == (7, 3, 1)
    assert heartbeat.section is Section.INIT
    assert (session.metrics.script, session.metrics.world_size) == ("tools/tasks/cls/train_net.py", 4)


@pytest.mark.usefixtures("rank_environment")
def test_only_rank_0_publishes_numbers(tmp_path: Path) -> None:
    open_session("script").publish()
    assert not list(tmp_path.glob("metrics-*"))


def test_without_a_session_the_remedy_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session_module, "_session", None)
    with pytest.raises(LookupError, match=r"pet\.engine\.entry\.run"):
        current_session()


def test_row_20_a_device_that_is_not_there_is_an_error_and_never_the_cpu(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    with pytest.raises(ConfigError, match=r"MISC.DEVICE: 'cuda' asks for CUDA device 0, but 0 are visible: set"):
        toy_session(tmp_path).start(toy_config("MISC.DEVICE", "cuda"))


def test_a_start_seeds_the_generators(tmp_path: Path) -> None:
    def draw(seed: int) -> float:
        toy_session(tmp_path).start(toy_config("MISC.SEED", seed))
        return float(torch.rand(()))

    assert draw(5) == draw(5) != draw(6)


@pytest.mark.parametrize(("set_to", "threads"), [(None, 1), ("2", 2)])
def test_on_request_nothing_that_changes_bits_is_left_to_the_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, set_to: str | None, threads: int
) -> None:
    before = torch.get_num_threads()
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", "")  # so that it is put back
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG")
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if set_to is not None:
        monkeypatch.setenv("OMP_NUM_THREADS", set_to)
    torch.set_num_threads(2)  # as torch sets it for that variable, or for a machine of two cores
    try:
        toy_session(tmp_path).start(toy_config("MISC.DETERMINISTIC", True))
        assert torch.are_deterministic_algorithms_enabled()
        assert torch.get_num_threads() == threads
        assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"
    finally:
        torch.use_deterministic_algorithms(False)
        torch.set_num_threads(before)


def test_on_request_an_operation_without_a_deterministic_algorithm_is_refused_by_name(tmp_path: Path) -> None:
    try:
        toy_session(tmp_path).start(toy_config("MISC.DETERMINISTIC", True))
        with pytest.raises(RuntimeError, match="put_ does not have a deterministic implementation"):
            torch.zeros(3).put_(torch.tensor([0, 0]), torch.ones(2))
    finally:
        torch.use_deterministic_algorithms(False)


def test_the_folder_s_owner_decides_attempt_and_iteration_of_what_a_rank_reports(tmp_path: Path) -> None:
    training = short_toy(tmp_path, 4, "SOLVER.SNAPSHOT_ITER", 2)
    training.run()
    loop = training.again(cfg=toy_config("SOLVER.SCHEDULER.TOTAL_ITERS", 6)).build()
    session = loop.session
    assert (session.attempt, session.metrics.attempt) == (2, 2)
    assert session.metrics.resumed_from == 4
    heartbeat = read_heartbeat(session.run_dir.heartbeat(0))
    assert heartbeat is not None
    assert (heartbeat.attempt, heartbeat.iteration, heartbeat.steps) == (2, 4, 0)
    loop.run()
    heartbeat = read_heartbeat(session.run_dir.heartbeat(0))
    assert heartbeat is not None
    assert (heartbeat.iteration, heartbeat.steps) == (6, 2)


def test_the_checkpoint_folder_gets_the_configuration_that_trained(tmp_path: Path) -> None:
    training = short_toy(tmp_path, 3, "SOLVER.OPTIMIZER.BASE_LR", 0.125)
    training.run()
    text = (training.checkpoints / "toy.yaml").read_text()
    assert "BASE_LR: 0.125" in text
    read_back = toy_config()
    read_back.merge_from_text(text)
    assert read_back.SOLVER.OPTIMIZER.BASE_LR == 0.125


def test_training_goes_on_where_configuration_and_log_cannot_be_kept(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    training = short_toy(tmp_path, 3)
    (training.checkpoints / "toy.yaml").mkdir(parents=True)
    (training.checkpoints / "log").write_text("")
    training.run()
    output = capsys.readouterr().out
    assert "WARNING: no copy of the configuration is kept: [Errno 21] Is a directory" in output
    assert "WARNING: the log is not kept in a file: [Errno 17] File exists" in output
    assert training.files == ["model_iter3.pth"]


def test_where_nothing_is_saved_no_message_is_kept_for_a_log_file(tmp_path: Path) -> None:
    short_toy(tmp_path, 1, save=False).build()
    assert [type(handler) for handler in logging.getLogger("pet").handlers] == [logging.StreamHandler]


def test_a_copy_of_the_configuration_that_fails_leaves_the_former_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    training = short_toy(tmp_path, 3)
    training.run()
    copy = training.checkpoints / "toy.yaml"
    before = copy.read_text()

    replace = os.replace

    def full(source: str | Path, target: str | Path) -> None:
        if Path(target) == copy:
            raise OSError(errno.ENOSPC, "No space left on device")
        replace(source, target)

    monkeypatch.setattr(os, "replace", full)
    training.again(cfg=toy_config("SOLVER.SCHEDULER.TOTAL_ITERS", 3, "SOLVER.OPTIMIZER.BASE_LR", 0.5)).build()
    assert copy.read_text() == before
    assert [path.name for path in training.checkpoints.glob(".*.tmp")] == []


def test_numbers_are_published_again_where_the_run_folder_was_cleaned_away(tmp_path: Path) -> None:
    session = toy_session(tmp_path / "run")
    shutil.rmtree(tmp_path / "run")
    session.publish()
    assert session.run_dir.metrics(0).exists()
