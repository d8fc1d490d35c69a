"""Two ranks and one checkpoint folder: what rank 0 decides is what all do, and an error of one is raised by all."""

from __future__ import annotations

import errno
import os
import random
import resource
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from harness.corruption import DAMAGES
from harness.ranks import run_ranks
from harness.runs import ANOTHER, JOB, TinyNet, begin, files, tiny_net, trained
from harness.stores import hidden, owner_in, temporary
from torch.nn.parallel import DistributedDataParallel

from pet.config import JobEnvironment
from pet.engine.checkpoint import loading
from pet.engine.checkpointer import CheckPointer
from pet.engine.distributed import get_rank
from pet.store.folder import Folder

Outcome = dict[str, Any]


def _start(folder: str, environment: JobEnvironment = JOB, weights_path: str = "") -> Outcome:
    """What one rank knows after its start: the error, or the decision and what it loaded."""
    try:
        checkpointer = CheckPointer(folder, environment=environment, weights_path=weights_path)
    except Exception as error:
        return {"error": type(error).__name__, "text": str(error)}
    model = tiny_net()
    checkpointer.load_model(model)
    return {
        "iteration": checkpointer.iteration, "resumed": checkpointer.resumed, "extra": checkpointer.extra,
        "owner": (checkpointer.uid, checkpointer.attempt, checkpointer.restart),
        "weights": [value.double().sum().item() for value in model.state_dict().values()],
        "rank_state": checkpointer.rank_state(get_rank()),
    }  # fmt: skip


def _train(folder: str, *steps: int) -> list[str]:
    """Train both ranks in step and save after each of `steps`; the files that this rank was told of."""
    run = begin(folder)
    wrapped, told = DistributedDataParallel(run.model), []
    for step in steps:
        run.reach(step)
        info = run.checkpointer.save(wrapped, run.optimizer, run.scheduler, extra={"from": get_rank()},
                                     rank_state={"rank": get_rank(), "step": torch.tensor(step)})  # fmt: skip
        assert info is not None
        told.append(info.file)
    return told


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that two ranks made, with the steps 2, 4 and 6. Not to be changed."""
    folder = tmp_path_factory.mktemp("two-ranks") / "ckpt"
    told = run_ranks(_train, 2, str(folder), 2, 4, 6)
    assert told == [["model_iter2.pth", "model_iter4.pth", "model_iter6.pth"]] * 2
    return folder


@pytest.fixture
def folder(saved: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    copy = tmp_path / "ckpt"
    copy.mkdir()
    for file in saved.iterdir():
        if file.name != "model_latest.pth":
            (copy / file.name).write_bytes(file.read_bytes())
    return copy


def test_ranks_save_one_checkpoint_with_the_state_of_each(saved: Path) -> None:
    state = torch.load(saved / "model_iter6.pth", weights_only=True)
    assert state["extra"] == {"from": 0}
    assert [(part["rank"], int(part["step"])) for part in state["ranks"]] == [(0, 6), (1, 6)]
    assert list(state["model"]) == list(TinyNet().state_dict())  # without the wrapper's prefix
    entry = Folder(str(saved)).entry("model_iter6.pth")
    assert entry is not None
    assert entry.manifest is not None
    assert entry.manifest.world_size == 2
    assert entry.manifest.bucket_bytes > 0


def test_ranks_go_on_from_the_same_checkpoint_each_with_its_own_state(folder: Path) -> None:
    first, second = run_ranks(_start, 2, str(folder))
    assert (first["iteration"], first["owner"]) == (6, ("uid-1", 1, 1))
    assert [rank.pop("rank_state")["rank"] for rank in (first, second)] == [0, 1]
    assert first == second
    assert owner_in(folder).restart == 1


def test_ranks_go_on_together_from_the_one_before_a_damaged_newest(folder: Path) -> None:
    DAMAGES["flipped bit"](folder, "model_iter6.pth", "", False, random.Random(0))
    first, second = run_ranks(_start, 2, str(folder))
    assert (first["iteration"], second["iteration"]) == (4, 4)
    assert first["weights"] == second["weights"]
    assert len(hidden(folder, "bad")) == 2


def test_another_number_of_ranks_resumes_without_the_state_of_each(folder: Path, caplog: Any) -> None:
    run = begin(folder)
    assert run.checkpointer.iteration == 6
    assert run.checkpointer.rank_state(0) is None
    assert run.checkpointer.extra == {"from": 0}
    assert "resume is not bit-exact: the number of ranks was 2, is 1" in caplog.text
    run.reach(8)
    run.save(rank_state={"rank": 0})
    back = run_ranks(_start, 2, str(folder))
    assert [(rank["iteration"], rank["rank_state"]) for rank in back] == [(8, None), (8, None)]


@pytest.mark.parametrize(
    ("environment", "error", "text"),
    [(ANOTHER, "ForeignOwner", "pet.dev/take-over: uid-1"),
     (replace(JOB, attempt=0), "Fenced", "attempt 0 came too late"),
     (replace(JOB, uid="uid-2", resume="/nowhere"), "ConfigError", "no file or folder '/nowhere'")],
    ids=["another job", "older attempt", "wrong path"],
)  # fmt: skip
def test_a_refusal_is_every_ranks(folder: Path, environment: JobEnvironment, error: str, text: str) -> None:
    before = sorted(os.listdir(folder))
    first, second = run_ranks(_start, 2, str(folder), environment)
    assert first == second
    assert first["error"] == error
    assert text in first["text"]
    assert sorted(os.listdir(folder)) == before


def test_where_all_are_damaged_every_rank_stops(folder: Path) -> None:
    for step in (2, 4, 6):
        DAMAGES["truncated"](folder, f"model_iter{step}.pth", "", False, random.Random(step))
    first, second = run_ranks(_start, 2, str(folder))
    assert first == second
    assert first["error"] == "CheckpointUnusable"


def _start_below(folders: list[str]) -> Outcome:
    os.chdir(folders[get_rank()])
    return _start("/proc/self/cwd/ckpt")


def _start_below_unchecked(folders: list[str]) -> Outcome:
    loading.tensor_crc = lambda value: 0
    return _start_below(folders)


@pytest.fixture
def unlike(tmp_path: Path) -> list[str]:
    """The same name in two places, as on nodes whose volumes are not the same."""
    for rank in (0, 1):
        trained(tmp_path / str(rank) / "ckpt", 1, seed=rank)
    return [str(tmp_path / "0"), str(tmp_path / "1")]


def test_a_rank_that_reads_other_bytes_than_rank_0_stops_all(unlike: list[str]) -> None:
    first, second = run_ranks(_start_below, 2, unlike)
    assert first == second
    assert first["error"] == "CheckpointUnusable"
    assert "ranks [1] read other weights" in first["text"]


def test_without_the_comparison_ranks_would_train_unlike_weights(unlike: list[str]) -> None:
    first, second = run_ranks(_start_below_unchecked, 2, unlike)
    assert first["weights"] != second["weights"]


def _refused_saves(folder: str) -> list[str]:
    """Three saves that fail for one rank only and one that succeeds; what each was for this rank."""
    run, outcomes = begin(folder), []

    def attempt(**options: Any) -> None:
        try:
            outcomes.append(str(run.save(**options).file))  # type: ignore[union-attr]
        except Exception as error:
            outcomes.append(f"{type(error).__name__} {getattr(error, 'errno', '')} {error}")

    run.reach(7)
    attempt(rank_state={"rng": {1}} if get_rank() == 1 else {})
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    if get_rank() == 0:
        resource.setrlimit(resource.RLIMIT_FSIZE, (2000, limits[1]))
    attempt()
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    if get_rank() == 0:
        with torch.no_grad():
            run.model.head.bias[0] = float("nan")
    attempt()
    with torch.no_grad():
        run.model.head.bias.fill_(0.0)
    attempt()
    return outcomes


def test_a_save_that_one_rank_cannot_do_fails_on_all_and_the_next_succeeds(folder: Path) -> None:
    first, second = run_ranks(_refused_saves, 2, str(folder))
    assert first == second
    odd, full, bad, good = first
    assert odd == "TypeError  rank_state['rng'] is a builtins.set, which no checkpoint holds: " \
                  "make it a tensor or plain numbers and texts"  # fmt: skip
    assert full.startswith(f"OSError {errno.EFBIG} ")
    assert bad.startswith(
        "NonFiniteWeights  1 of 12 tensors are not finite after iteration 7, among them model.head.bias"
    )
    assert good == "model_iter7.pth"
    assert not temporary(folder)
    assert "model_iter7.pth" in files(folder)


def _replaced(folder: str) -> str:
    run = begin(folder)
    run.reach(7)
    if get_rank() == 0:
        # The next attempt has begun elsewhere, while this one was in its step.
        from harness.stores import opened

        from pet.store.owner import Identity

        opened(Path(folder), replace(Identity.of(JOB), attempt=2))
    try:
        run.save()
    except Exception as error:
        return type(error).__name__
    return "saved"


def test_ranks_that_were_replaced_are_all_fenced(folder: Path) -> None:
    assert run_ranks(_replaced, 2, str(folder)) == ["Fenced", "Fenced"]
    assert "model_iter7.pth" not in files(folder)
