"""Going on: what is restored, which checkpoint it is restored from, and where a run stops instead."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from harness.corruption import DAMAGES
from harness.runs import ANOTHER, JOB, Run, begin, files, trained
from harness.stores import Picture, hidden, overwrite
from harness.training import differences

from pet.config import ConfigError, JobEnvironment
from pet.engine.errors import CheckpointUnusable, Fenced, exit_code
from pet.store.folder import Folder
from pet.store.owner import ForeignOwner


def _damage(folder: Path, iteration: int, kind: str, other: int = 0, manifest: bool = False) -> None:
    DAMAGES[kind](folder, f"model_iter{iteration}.pth", f"model_iter{other}.pth", manifest, random.Random(kind))


@pytest.mark.parametrize("solver_type", ["SGD", "ADAMW", "ADAM", "RMSPROP"])
@pytest.mark.parametrize("at", [1, 3, 8, 13])
def test_rates_momentum_and_weights_go_on_as_if_never_interrupted(tmp_path: Path, solver_type: str, at: int) -> None:
    overrides = ("SOLVER.OPTIMIZER.TYPE", solver_type)
    whole = begin("", overrides=overrides)
    rates = list(whole.train(18))
    first = begin(tmp_path, overrides=overrides)
    assert list(first.train(at)) == rates[:at]
    first.save()
    second = begin(tmp_path, seed=5, overrides=overrides)
    assert second.scheduler.iteration == at + 1
    assert list(second.train(18)) == rates[at:]
    assert differences(whole.state(), second.state()) == []


def test_the_curve_is_the_configurations_and_only_the_position_is_restored(tmp_path: Path) -> None:
    run = begin(tmp_path)
    run.reach(5)
    run.scheduler.info.update(best_acc=55.0, cur_epoch=3)
    run.save()
    changed = ("SOLVER.OPTIMIZER.BASE_LR", 0.5, "SOLVER.SCHEDULER.STEPS", (5,), "SOLVER.SCHEDULER.GAMMA", 0.01)
    run = begin(tmp_path, overrides=changed)
    assert (run.scheduler.iteration, run.scheduler.milestones) == (6, [5])
    assert run.scheduler.info == {"best_acc": 55.0, "best_epoch": 0, "cur_acc": 0.0, "cur_epoch": 3}
    assert next(run.train(6)) == pytest.approx([0.005, 0.005, 0.01])  # biases have twice the rate


def test_an_optimizer_with_other_groups_is_refused(tmp_path: Path) -> None:
    trained(tmp_path, 3)
    with pytest.raises(ConfigError, match=r"SOLVER\.OPTIMIZER.*set the optimizer's keys back"):
        begin(tmp_path, overrides=("SOLVER.OPTIMIZER.BIAS_LR_FACTOR", 1.0, "SOLVER.OPTIMIZER.WEIGHT_DECAY", 0.0))


TYPE, MOMENTUM = "SOLVER.OPTIMIZER.TYPE", "SOLVER.OPTIMIZER.MOMENTUM"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ((TYPE, "SGD"), (TYPE, "ADAMW")),
        ((TYPE, "SGD"), (TYPE, "RMSPROP")),
        ((TYPE, "ADAMW"), (TYPE, "SGD")),
        ((TYPE, "ADAMW"), (TYPE, "RMSPROP")),
        ((TYPE, "RMSPROP"), (TYPE, "SGD")),
        ((TYPE, "RMSPROP"), (TYPE, "ADAMW")),
        ((TYPE, "RMSPROP", MOMENTUM, 0.0), (TYPE, "RMSPROP", MOMENTUM, 0.9)),
    ],
    ids=str,
)
def test_a_state_that_another_kind_of_optimizer_has_gathered_is_refused(
        tmp_path: Path, before: tuple[Any, ...], after: tuple[Any, ...]) -> None:  # fmt: skip
    first = begin(tmp_path, overrides=before)
    first.reach(3)
    first.save()
    with pytest.raises(
        ConfigError, match=r"SOLVER\.OPTIMIZER\.TYPE: .*model_iter3\.pth holds .*set the optimizer's keys"
    ):
        begin(tmp_path, overrides=after)


@pytest.mark.parametrize(
    ("key", "before", "after", "name"),
    [
        ("MOMENTUM", 0.9, 0.5, "momentum"),
        ("MOMENTUM", 0.0, 0.9, "momentum"),
        ("MOMENTUM", 0.9, 0.0, "momentum"),
        ("NESTEROV", False, True, "nesterov"),
        ("WEIGHT_DECAY", 1e-4, 0.1, "weight_decay"),
    ],
)
def test_what_the_configuration_has_changed_of_the_optimizer_counts(
        tmp_path: Path, key: str, before: Any, after: Any, name: str) -> None:  # fmt: skip
    first = begin(tmp_path, overrides=(f"SOLVER.OPTIMIZER.{key}", before))
    first.reach(3)
    first.save()
    run = begin(tmp_path, overrides=(f"SOLVER.OPTIMIZER.{key}", after))
    assert next(group[name] for group in run.optimizer.param_groups) == after
    run.reach(5)


def test_what_a_hook_has_changed_of_the_optimizer_is_gone_on_with(tmp_path: Path) -> None:
    first = begin(tmp_path, overrides=(MOMENTUM, 0.9))
    first.reach(3)
    for group in first.optimizer.param_groups:
        group.update(momentum=0.8, mine=7)
    first.save()
    groups = begin(tmp_path, overrides=(MOMENTUM, 0.9)).optimizer.param_groups
    assert {(group["momentum"], group["mine"]) for group in groups} == {(0.8, 7)}


def test_what_was_given_to_a_save_comes_back(tmp_path: Path) -> None:
    run = trained(tmp_path)
    extra = {"hooks": {"Timer": {"seconds": 1.5, "none": None}}, "sampler": {"position": (3, [4])}}
    run.reach(2)
    run.save(extra=extra, rank_state={"rng": torch.arange(5)})
    checkpointer = begin(tmp_path).checkpointer
    assert checkpointer.extra == extra
    assert differences({"rng": torch.arange(5)}, checkpointer.rank_state(0)) == []
    assert checkpointer.resumed is not None
    assert (checkpointer.resumed.file, checkpointer.resumed.verified) == ("model_iter2.pth", True)


def test_circumstances_that_change_bits_are_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    trained(tmp_path, 2, config_hash="before")
    caplog.clear()
    begin(tmp_path, config_hash="before")
    assert "not bit-exact" not in caplog.text
    begin(tmp_path, config_hash="after")
    assert "resume is not bit-exact: the hash of the configuration was before, is after" in caplog.text


@pytest.mark.parametrize("manifest", [False, True], ids=["data", "manifest"])
@pytest.mark.parametrize("kind", sorted(DAMAGES))
def test_a_damaged_newest_is_set_aside_and_the_one_before_gone_on_from(
        tmp_path: Path, kind: str, manifest: bool) -> None:  # fmt: skip
    run = begin(tmp_path)
    states: dict[int, dict[str, Any]] = {}
    for step in (1, 2, 3):
        run.reach(step)
        run.save()
        states[step] = run.state()
    # A pair under each other's name is lost twice, so it is swapped with the oldest.
    _damage(tmp_path, 3, kind, other=1, manifest=manifest)
    run = begin(tmp_path, seed=5)
    assert run.checkpointer.iteration == 2
    assert differences(states[2], run.state()) == []
    assert (tmp_path / "model_latest.pth").samefile(tmp_path / "model_iter2.pth")
    # Without its manifest the rest is no checkpoint any more, and lies there until its name is needed.
    assert bool(hidden(tmp_path, "bad")) is not (kind == "missing" and manifest)
    run.reach(3)
    run.save()
    assert begin(tmp_path).checkpointer.iteration == 3


@pytest.mark.parametrize("kind", ["flipped bit", "truncated", "empty"])
def test_where_all_are_damaged_a_run_stops_and_never_begins_from_scratch(tmp_path: Path, kind: str) -> None:
    trained(tmp_path, 1, 2, 3)
    for step in (1, 2, 3):
        _damage(tmp_path, step, kind)
    for _ in range(3):
        with pytest.raises(CheckpointUnusable, match=r"no checkpoint in .* verifies.*--fresh.*resume: Never") as raised:
            begin(tmp_path)
        assert exit_code(raised.value) == 80
    assert len(hidden(tmp_path, "bad")) == 6
    assert not files(tmp_path)


def test_after_such_a_stop_a_new_job_may_begin_anew_by_asking_for_it(tmp_path: Path) -> None:
    trained(tmp_path, 1)
    _damage(tmp_path, 1, "flipped bit")
    with pytest.raises(CheckpointUnusable):
        begin(tmp_path)
    anew = replace(JOB, uid="uid-2", resume="Never")
    run = begin(tmp_path, anew)
    assert run.checkpointer.checkpoint is None
    run.reach(1)
    run.save()
    assert begin(tmp_path, anew).checkpointer.iteration == 1
    assert len(hidden(tmp_path, "bad")) == 2


def test_a_checkpoint_whose_manifest_is_gone_is_not_passed_over(tmp_path: Path) -> None:
    trained(tmp_path, 1)
    (tmp_path / "model_iter1.manifest.json").unlink()
    with pytest.raises(CheckpointUnusable, match="Restore the manifest"):
        begin(tmp_path)


def test_a_committed_file_that_torch_cannot_read_stops_the_run(tmp_path: Path) -> None:
    run = trained(tmp_path, 1)
    tenure = run.checkpointer._writer._tenure  # type: ignore[union-attr]
    entry = Folder(str(tmp_path)).entry("model_iter1.pth")
    assert entry is not None
    assert entry.manifest is not None
    tenure.commit(replace(entry.manifest, iteration=2, file="model_iter2.pth"), lambda stream: stream.write(b"no zip"))
    with pytest.raises(CheckpointUnusable, match=r"model_iter2\.pth"):
        begin(tmp_path)


def test_another_jobs_folder_is_refused_with_the_remedies_and_left_as_it_is(tmp_path: Path) -> None:
    trained(tmp_path, 1)
    before = Picture.of(tmp_path)
    with pytest.raises(ForeignOwner) as raised:
        begin(tmp_path, ANOTHER)
    assert exit_code(raised.value) == 78
    for remedy in ("uid-1", "checkpoint.path", "checkpoint.resume", "pet.dev/take-over: uid-1"):
        assert remedy in str(raised.value)
    assert Picture.of(tmp_path) == before
    assert begin(tmp_path).checkpointer.iteration == 1


def test_a_job_started_by_hand_is_told_its_own_remedies(tmp_path: Path) -> None:
    trained(tmp_path, 1)
    with pytest.raises(ForeignOwner, match=r"MISC\.CKPT.*PETJOB_RESUME.*PETJOB_TAKEOVER_UID=uid-1"):
        begin(tmp_path, JobEnvironment())


def test_a_named_predecessor_is_taken_over(tmp_path: Path) -> None:
    trained(tmp_path, 1)
    run = begin(tmp_path, replace(ANOTHER, takeover_uid="uid-1"))
    assert (run.checkpointer.iteration, run.checkpointer.uid) == (1, "uid-9")


def test_the_same_job_applied_again_goes_on(tmp_path: Path) -> None:
    trained(tmp_path, 1)
    run = begin(tmp_path, replace(JOB, uid="uid-2"))
    assert (run.checkpointer.iteration, run.checkpointer.uid, run.checkpointer.attempt) == (1, "uid-2", 1)


def test_a_run_by_hand_goes_on_under_the_uid_it_finds(tmp_path: Path) -> None:
    first = trained(tmp_path, 1, environment=JobEnvironment()).checkpointer
    second = begin(tmp_path, JobEnvironment()).checkpointer
    assert first.uid.startswith("local-")
    assert (second.uid, second.attempt, second.iteration) == (first.uid, 2, 1)


def test_an_older_attempt_is_fenced_at_its_start(tmp_path: Path) -> None:
    trained(tmp_path, 1, environment=replace(JOB, attempt=3))
    before = Picture.of(tmp_path)
    with pytest.raises(Fenced, match="attempt 2 came too late") as raised:
        begin(tmp_path, replace(JOB, attempt=2))
    assert exit_code(raised.value) == 93
    assert Picture.of(tmp_path) == before


@pytest.mark.parametrize("newer", [JOB, replace(JOB, attempt=2), replace(JOB, uid="uid-2")],
                         ids=["restart", "attempt", "uid"])  # fmt: skip
def test_a_run_that_was_replaced_can_write_nothing(tmp_path: Path, newer: JobEnvironment) -> None:
    zombie = trained(tmp_path, 1)
    begin(tmp_path, newer)
    before = Picture.of(tmp_path)
    zombie.reach(2)
    for write in (zombie.save, lambda: zombie.save_best(90.0, 1),
                  lambda: zombie.checkpointer.save_error(zombie.model, 2)):  # fmt: skip
        with pytest.raises(Fenced, match="is used by"):
            write()
    assert Picture.of(tmp_path) == before


def _elsewhere(path: Path) -> tuple[Run, Path]:
    """Another job's run at step 2 in a folder of its own."""
    return trained(path / "other", 1, 2, environment=ANOTHER), path / "other"


@pytest.mark.parametrize("what", ["folder", "file"])
def test_resume_from_a_path_takes_the_model_and_begins_at_step_one(tmp_path: Path, what: str) -> None:
    other, folder = _elsewhere(tmp_path)
    before = Picture.of(folder)
    path = folder / "model_iter2.pth" if what == "file" else folder
    environment = replace(JOB, resume=str(path))
    run = begin(tmp_path / "mine", environment, seed=5)
    assert differences(other.state()["model"], run.state()["model"]) == []
    assert (run.checkpointer.retrain, run.checkpointer.resume, run.checkpointer.iteration) == (True, False, 0)
    assert run.scheduler.iteration == 1
    assert not run.optimizer.state
    assert Picture.of(folder) == before
    run.reach(1)
    run.save()
    again = begin(tmp_path / "mine", environment)
    assert (again.checkpointer.resume, again.checkpointer.iteration) == (True, 1)


def test_a_damaged_path_to_resume_from_stops_the_run_before_anything_is_made(tmp_path: Path) -> None:
    _, folder = _elsewhere(tmp_path)
    overwrite(folder / "model_iter2.pth", b"damaged")
    with pytest.raises(CheckpointUnusable, match="does not verify"):
        begin(tmp_path / "mine", replace(JOB, resume=str(folder / "model_iter2.pth")))
    assert not (tmp_path / "mine").exists()


@pytest.mark.parametrize(("resume", "auto_resume"), [("Auto", False), ("Never", True)])
def test_never_begins_from_scratch_and_keeps_the_former_files(tmp_path: Path, resume: str, auto_resume: bool) -> None:
    options: dict[str, Any] = {"environment": replace(JOB, uid="uid-2", resume=resume), "auto_resume": auto_resume}
    trained(tmp_path, 1)
    before = (tmp_path / "model_iter1.pth").read_bytes()
    run = begin(tmp_path, **options)
    assert (run.checkpointer.checkpoint, run.scheduler.iteration) == (None, 1)
    assert (tmp_path / ".superseded-uid-1-0-model_iter1.pth").read_bytes() == before
    run.reach(1)
    run.save()
    assert begin(tmp_path, **options).checkpointer.iteration == 1
