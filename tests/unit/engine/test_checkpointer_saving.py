"""What a save writes, what it refuses to write, and what becomes of older files."""

from __future__ import annotations

import errno
import math
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from harness.runs import JOB, begin, files, trained
from harness.stores import hidden, owner_in, temporary
from harness.training import differences

import pet
from pet.config import ConfigError
from pet.engine.checkpointer import CheckPointer
from pet.engine.errors import NonFiniteWeights
from pet.store.folder import Folder


def _content(path: Path) -> dict[str, Any]:
    state: dict[str, Any] = torch.load(path, weights_only=True)
    return state


def test_a_checkpoint_holds_pets_three_parts_and_ours_beside_them(tmp_path: Path) -> None:
    run = trained(tmp_path)
    run.reach(3)
    saved = run.save(extra={"sampler": {"epoch": 1}}, rank_state={"rng": torch.arange(3)})
    state = _content(tmp_path / "model_iter3.pth")
    assert differences(run.state(), {part: state[part] for part in ("model", "optimizer", "scheduler")}) == []
    assert state["extra"] == {"sampler": {"epoch": 1}}
    assert differences([{"rng": torch.arange(3)}], state["ranks"]) == []
    assert state["pet"]["version"] == pet.__version__
    assert saved is not None
    assert (saved.iteration, saved.file, saved.verified) == (3, "model_iter3.pth", True)
    assert saved.bytes == (tmp_path / "model_iter3.pth").stat().st_size


def test_the_manifest_tells_what_decides_whether_a_resume_is_exact(tmp_path: Path) -> None:
    trained(tmp_path, 3, environment=replace(JOB, attempt=4), config_hash="abc")
    entry = Folder(str(tmp_path)).entry("model_iter3.pth")
    assert entry is not None
    manifest = entry.manifest
    assert manifest is not None
    assert (manifest.iteration, manifest.config_hash, manifest.torch) == (3, "abc", torch.__version__)
    assert (manifest.world_size, manifest.threads, manifest.bucket_bytes) == (1, torch.get_num_threads(), 0)
    assert (manifest.owner_uid, manifest.attempt, manifest.restart) == ("uid-1", 4, 0)


def test_names_carry_the_last_finished_step_or_the_epoch(tmp_path: Path) -> None:
    run = trained(tmp_path, 3)
    run.reach(5)
    run.save(infix="epoch", epoch=2)
    assert files(tmp_path) == ["model_epoch2.pth", "model_iter3.pth", "model_latest.pth"]
    assert begin(tmp_path).checkpointer.iteration == 5


def test_model_latest_is_the_newest_checkpoint_itself(tmp_path: Path) -> None:
    run = trained(tmp_path, 3, 4)
    assert (tmp_path / "model_latest.pth").samefile(tmp_path / "model_iter4.pth")
    run.reach(5)
    run.save(copy_latest=False)
    assert (tmp_path / "model_latest.pth").samefile(tmp_path / "model_iter4.pth")
    # The link is for people: a resume takes the newest checkpoint, and sets the link right.
    assert begin(tmp_path).checkpointer.iteration == 5
    assert (tmp_path / "model_latest.pth").samefile(tmp_path / "model_iter5.pth")


def test_committed_files_are_read_only(tmp_path: Path) -> None:
    trained(tmp_path, 3)
    for name in ("model_iter3.pth", "model_iter3.manifest.json", "model_latest.pth"):
        assert (tmp_path / name).stat().st_mode & 0o222 == 0, name


@pytest.mark.parametrize("options", [{"infix": "error"}, {"infix": "epoch"}], ids=str)
def test_reserved_and_incomplete_names_are_refused(tmp_path: Path, options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="is reserved, or its epoch is missing"):
        trained(tmp_path, 3).save(**options)


def test_an_infix_that_makes_no_name_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="is no checkpoint's name"):
        trained(tmp_path, 3).save(infix="../iter")
    assert not temporary(tmp_path)


@pytest.mark.parametrize("environment", [JOB, replace(JOB, checkpoint_dir="")], ids=["MISC.CKPT", "environment"])
def test_an_empty_folder_name_means_save_nothing(tmp_path: Path, environment: Any,
                                                 monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    run = begin("" if environment is JOB else tmp_path / "ckpt", environment)
    run.reach(3)
    assert run.save() is None
    assert run.save_best(90.0, 1) is None
    assert run.checkpointer.save_error(run.model, 3) is None
    assert run.scheduler.info["best_acc"] == 90.0
    assert run.checkpointer.directory == ""
    assert list(tmp_path.iterdir()) == []


def test_a_relative_folder_stays_the_same_wherever_the_process_goes(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    run = begin("ckpt")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir("elsewhere")
    assert run.save() is not None
    assert files(tmp_path / "ckpt") == ["model_iter0.pth", "model_latest.pth"]


def test_the_folder_of_the_environment_beats_the_configuration(tmp_path: Path) -> None:
    run = begin(tmp_path / "config", replace(JOB, checkpoint_dir=str(tmp_path / "environment")))
    run.reach(1)
    run.save()
    assert files(tmp_path / "environment") == ["model_iter1.pth", "model_latest.pth"]
    assert not (tmp_path / "config").exists()


@pytest.mark.parametrize(
    ("from_environment", "from_config", "left"),
    [
        (None, None, [4, 5, 6]),
        (None, 2, [5, 6]),
        (2, 4, [5, 6]),
        (None, 0, [1, 2, 3, 4, 5, 6]),
        (0, 2, [1, 2, 3, 4, 5, 6]),
    ],
)
def test_the_newest_are_kept(tmp_path: Path, from_environment: int | None, from_config: int | None,
                             left: list[int]) -> None:  # fmt: skip
    environment = replace(JOB, checkpoint_keep=from_environment)
    trained(tmp_path, *range(1, 7), environment=environment, keep=from_config)
    assert files(tmp_path) == [*(f"model_iter{iteration}.pth" for iteration in left), "model_latest.pth"]


@pytest.mark.parametrize("keep", [1, -1])
@pytest.mark.parametrize("field", ["PETJOB_CHECKPOINT_KEEP", "SOLVER.SNAPSHOT_KEEP"])
def test_a_number_to_keep_that_is_not_possible_is_named(tmp_path: Path, field: str, keep: int) -> None:
    of_config = field.startswith("SOLVER")
    environment = replace(JOB, checkpoint_keep=None if of_config else keep)
    with pytest.raises(ConfigError, match=rf"{field}.*{keep} is not possible: 0 keeps all, else at least 2"):
        CheckPointer(str(tmp_path), keep=keep if of_config else 3, environment=environment)
    assert not (tmp_path / "OWNER").exists()


def test_what_a_run_was_resumed_from_is_kept_beside_the_newest(tmp_path: Path) -> None:
    trained(tmp_path, 1, keep=2)
    run = begin(tmp_path, keep=2)
    for step in range(2, 7):
        run.reach(step)
        run.save()
    assert files(tmp_path) == ["model_iter1.pth", "model_iter5.pth", "model_iter6.pth", "model_latest.pth"]


def test_saving_a_step_twice_writes_once(tmp_path: Path) -> None:
    run = trained(tmp_path, 3)
    before = (tmp_path / "model_iter3.pth").stat()
    again = run.save()
    assert again is not None
    assert again.iteration == 3
    after = (tmp_path / "model_iter3.pth").stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_row_25_the_best_model_takes_the_place_of_the_former_and_leaves_the_latest(tmp_path: Path) -> None:
    run = trained(tmp_path, 3)
    for step, (accuracy, epoch, best) in enumerate(
        [(70.0, 1, "1-70.00"), (69.99, 2, "1-70.00"), (70.0, 3, "3-70.00"), (70.001, 3, "3-70.00"),
         (float("nan"), 4, "3-70.00"), (100.0, 5, "5-100.00"), (9.5, 6, "5-100.00")], start=4,
    ):  # fmt: skip
        run.reach(step)
        saved = run.save_best(accuracy, epoch)
        assert files(tmp_path) == sorted([f"model_epoch{best}.pth", "model_iter3.pth", "model_latest.pth"])
        assert (saved is not None) == (best == f"{epoch}-{accuracy:.2f}")
        assert f"{run.scheduler.info['best_epoch']}-{run.scheduler.info['best_acc']:.2f}" == best
    assert not hidden(tmp_path, "superseded")
    assert (tmp_path / "model_latest.pth").samefile(tmp_path / "model_iter3.pth")
    assert _content(tmp_path / "model_epoch5-100.00.pth")["scheduler"]["info"]["best_acc"] == 100.0


def test_the_best_model_is_never_resumed_from(tmp_path: Path) -> None:
    run = trained(tmp_path, 3)
    run.reach(5)
    run.save_best(80.0, 1)
    assert begin(tmp_path).checkpointer.iteration == 3
    for file in tmp_path.glob("model_iter3.*"):
        file.unlink()
    (tmp_path / "model_latest.pth").unlink()
    assert not begin(tmp_path).checkpointer.resume


def test_the_best_so_far_is_known_after_a_resume(tmp_path: Path) -> None:
    run = trained(tmp_path, 3)
    run.save_best(80.0, 1)
    run.reach(4)
    run.save()
    run = begin(tmp_path)
    run.reach(6)
    assert run.save_best(79.0, 2) is None
    assert run.save_best(81.0, 2) is not None
    assert "model_epoch1-80.00.pth" not in files(tmp_path)


def test_the_weights_at_an_error_are_kept_and_never_resumed_from(tmp_path: Path) -> None:
    run = trained(tmp_path, 3)
    run.reach(5)
    path = run.checkpointer.save_error(run.model, 5)
    assert path == str(tmp_path / "model_error5.pth")
    assert differences(run.state()["model"], _content(Path(path))["model"]) == []
    assert not (tmp_path / "model_error5.manifest.json").exists()
    assert begin(tmp_path).checkpointer.iteration == 3


def test_a_folder_with_nothing_but_the_weights_at_an_error_begins_from_scratch(tmp_path: Path) -> None:
    run = begin(tmp_path)
    run.checkpointer.save_error(run.model, 1)
    assert begin(tmp_path).checkpointer.checkpoint is None
    assert files(tmp_path) == ["model_error1.pth"]


NON_FINITE = [("backbone.conv1.weight", float("nan")), ("head.bias", float("inf")),
              ("backbone.bn1.running_var", float("-inf"))]  # fmt: skip


@pytest.mark.parametrize(("key", "value"), NON_FINITE)
def test_weights_that_are_not_finite_are_never_saved(
        tmp_path: Path, caplog: pytest.LogCaptureFixture, key: str, value: float) -> None:  # fmt: skip
    run = trained(tmp_path, 3)
    run.reach(5)
    run.model.state_dict()[key].view(-1)[-1] = value
    before = sorted(os.listdir(tmp_path))
    with pytest.raises(
        NonFiniteWeights, match=rf"1 of 12 tensors are not finite after iteration 5, among them model.{key}"
    ):
        run.save()
    with pytest.raises(NonFiniteWeights):
        run.save_best(90.0, 1)
    assert run.checkpointer.save_error(run.model, 5) is None
    assert key in caplog.text
    assert sorted(os.listdir(tmp_path)) == before
    assert begin(tmp_path).checkpointer.iteration == 3


@pytest.mark.parametrize("kind", [torch.complex64, torch.float8_e4m3fn, torch.float16, torch.float64])
def test_numbers_of_every_kind_are_looked_at(tmp_path: Path, kind: torch.dtype) -> None:
    run = begin(tmp_path)
    run.model.register_buffer("kept", torch.ones(2).to(kind))
    assert run.save() is not None
    run.model.get_buffer("kept").copy_(torch.tensor([1.0, math.nan]))
    with pytest.raises(NonFiniteWeights, match=r"among them model\.kept"):
        run.save_best(90.0, 1)


def test_large_weights_are_finite(tmp_path: Path) -> None:
    run = begin(tmp_path)
    with torch.no_grad():
        run.model.head.weight.fill_(torch.finfo(torch.float32).max)
    assert run.save() is not None


class _Odd:
    """Something that no checkpoint holds."""


@pytest.mark.parametrize(
    ("options", "place"),
    [({"extra": {"hooks": {"Mine": [1, _Odd()]}}}, r"extra\['hooks'\]\['Mine'\]\[1\]"),
     ({"rank_state": {"rng": {1, 2}}}, r"rank_state\['rng'\] is a builtins.set"),
     ({"extra": {(1, 2): 3}}, r"extra: the key \(1, 2\)")],
    ids=["extra", "rank state", "key"],
)  # fmt: skip
def test_a_state_that_no_load_gives_back_is_refused_by_its_place(
        tmp_path: Path, options: dict[str, Any], place: str) -> None:  # fmt: skip
    run = begin(tmp_path)
    with pytest.raises(TypeError, match=place):
        run.save(**options)
    assert files(tmp_path) == []


class _Kind(torch.Tensor):
    """A class of tensors that a library might bring."""


def test_weights_of_a_class_that_no_load_gives_back_are_refused(tmp_path: Path) -> None:
    run = begin(tmp_path)
    run.model.register_buffer("kept", torch.ones(2).as_subclass(_Kind))
    for action in (run.save, lambda: run.checkpointer.require_savable(run.model, run.optimizer)):
        with pytest.raises(TypeError, match=r"model: kept is a .*_Kind"):
            action()
    assert files(tmp_path) == []


def test_what_an_optimizer_cannot_keep_is_told_before_a_save(tmp_path: Path) -> None:
    run = begin(tmp_path)
    run.optimizer.state[run.model.head.bias]["seen"] = {1, 2}
    with pytest.raises(TypeError, match=r"optimizer\[.*'seen'\] is a builtins.set"):
        run.checkpointer.require_savable(run.model, run.optimizer)


def test_infinities_that_a_model_is_made_with_are_saved(tmp_path: Path) -> None:
    run = begin(tmp_path)
    run.model.register_buffer("mask", torch.tensor([0.0, -math.inf]))
    run.checkpointer.load_model(run.model)
    assert run.save() is not None
    run.model.head.bias.detach()[0] = math.inf
    with pytest.raises(NonFiniteWeights, match=r"1 of \d+ tensors .* model.head.bias"):
        run.save_best(90.0, 1)


@pytest.fixture
def full_disk(monkeypatch: pytest.MonkeyPatch) -> Callable[[], AbstractContextManager[None]]:
    """A context in which the disk takes 2000 bytes and then no more."""

    @contextmanager
    def full() -> Iterator[None]:
        real, budget = os.write, [2000]

        def write(descriptor: int, data: Any) -> int:
            budget[0] -= len(data)
            if budget[0] < 0:
                raise OSError(errno.ENOSPC, "No space left on device")
            return real(descriptor, data)

        with monkeypatch.context() as patch:
            patch.setattr(os, "write", write)
            yield

    return full


def test_a_full_disk_is_said_as_such_and_the_next_save_succeeds(
    tmp_path: Path, full_disk: Callable[[], AbstractContextManager[None]]
) -> None:
    run = trained(tmp_path, 3)
    run.reach(5)
    with full_disk(), pytest.raises(OSError, match="No space left") as raised:
        run.save()
    assert raised.value.errno == errno.ENOSPC
    assert not temporary(tmp_path)
    assert run.save() is not None
    assert begin(tmp_path).checkpointer.iteration == 5


def test_a_disk_that_tells_nothing_of_what_it_has_committed_refuses_no_save(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    run = trained(tmp_path, 3)
    run.reach(5)

    def stale(path: str) -> float:
        raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))

    with monkeypatch.context() as patch:
        patch.setattr(os.path, "getmtime", stale)
        saved = run.save()
    assert saved is not None
    assert saved.iteration == 5
    assert begin(tmp_path).checkpointer.iteration == 5


def test_a_best_model_that_could_not_be_written_is_not_the_best(
    tmp_path: Path, full_disk: Callable[[], AbstractContextManager[None]]
) -> None:
    run = trained(tmp_path, 3)
    with full_disk(), pytest.raises(OSError, match="No space left"):
        run.save_best(90.0, epoch=1)
    assert run.scheduler.info["best_acc"] == 0.0
    assert run.save_best(80.0, epoch=2) is not None


def test_every_start_is_the_owners_next_restart(tmp_path: Path) -> None:
    assert [begin(tmp_path).checkpointer.restart for _ in range(3)] == [0, 1, 2]
    checkpointer = begin(tmp_path, replace(JOB, attempt=2)).checkpointer
    assert (checkpointer.uid, checkpointer.attempt, checkpointer.restart) == ("uid-1", 2, 0)
    assert owner_in(tmp_path).generation == (2, 0)
    assert not hidden(tmp_path, "superseded")
