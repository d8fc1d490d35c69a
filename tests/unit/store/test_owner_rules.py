"""Who may use a checkpoint folder: each rule of ownership, as a rule and on the disk."""

from __future__ import annotations

import os
import re
from dataclasses import replace
from pathlib import Path

import pytest
from harness.stores import JOB, Picture, attempt, iteration_of, opened, owner_in, save, temporary

from pet.config.environment import JobEnvironment
from pet.config.errors import ConfigError
from pet.store.errors import CheckpointUnusable, Fenced
from pet.store.opening import owner_for
from pet.store.owner import ForeignOwner, Identity, Owner, succeed

FOUND = Owner("c1", "ns", "job", "uid-1", 3, 2)
LOCAL = Owner("", "", "local", "local-7", 3, 2)
BY_HAND = Identity()


def test_an_ownerless_folder_belongs_to_who_comes_first() -> None:
    assert succeed(JOB, None) == Owner("c1", "ns", "job", "uid-1", 1, 0)


@pytest.mark.parametrize(("number", "generation"), [(3, (3, 3)), (4, (4, 0)), (9, (9, 0))])
def test_an_attempt_counts_its_restarts_from_zero(number: int, generation: tuple[int, int]) -> None:
    assert succeed(attempt(number), FOUND).generation == generation


def test_an_older_attempt_is_fenced() -> None:
    with pytest.raises(Fenced, match="attempt 2 came too late"):
        succeed(attempt(2), FOUND)


def test_the_deleted_predecessor_of_the_same_name_is_taken_over() -> None:
    assert succeed(replace(JOB, uid="uid-2"), FOUND) == Owner("c1", "ns", "job", "uid-2", 1, 0)


@pytest.mark.parametrize("other", [
    replace(JOB, uid="uid-2", name="another"),
    replace(JOB, uid="uid-2", namespace="elsewhere"),
])  # fmt: skip
def test_another_job_is_refused_with_the_owner_and_the_remedies(other: Identity) -> None:
    with pytest.raises(ForeignOwner) as refused:
        succeed(other, FOUND)
    text = str(refused.value)
    assert "job ns/job (uid uid-1, attempt 3, restart 2)" in text
    for remedy in ("checkpoint.path", "checkpoint.resume", "pet.dev/take-over: uid-1"):
        assert remedy in text


def test_a_folder_whose_owner_is_named_for_take_over_is_taken_over() -> None:
    other = replace(JOB, uid="uid-2", name="another", takeover_uid="uid-1")
    assert succeed(other, FOUND) == Owner("c1", "ns", "another", "uid-2", 1, 0)
    with pytest.raises(ForeignOwner):
        succeed(replace(other, takeover_uid="uid-9"), FOUND)


def test_a_job_of_another_cluster_may_live_whoever_is_named_for_take_over() -> None:
    elsewhere = replace(JOB, uid="uid-2", cluster="c2", takeover_uid="uid-1")
    with pytest.raises(ForeignOwner, match="nobody in this cluster sees whether it has ended") as refused:
        succeed(elsewhere, FOUND)
    assert "pet.dev/take-over" not in str(refused.value)


def test_by_hand_the_uid_is_kept_in_the_folder_and_the_attempt_is_the_next() -> None:
    first = succeed(BY_HAND, None)
    assert first.uid.startswith("local-")
    assert first.generation == (1, 0)
    second = succeed(BY_HAND, replace(first, restart=4))
    assert (second.uid, second.generation) == (first.uid, (2, 0))


def test_by_hand_a_clusters_folder_is_foreign_and_the_other_way_round() -> None:
    with pytest.raises(ForeignOwner, match="PETJOB_TAKEOVER_UID=uid-1"):
        succeed(BY_HAND, FOUND)
    with pytest.raises(ForeignOwner):
        succeed(replace(JOB, cluster="", namespace="", name="local"), LOCAL)


def test_by_hand_a_launcher_may_have_chosen_uid_and_attempt() -> None:
    chosen = Identity(uid="local-7", attempt=4)
    assert succeed(chosen, LOCAL).generation == (4, 0)
    assert succeed(chosen, succeed(chosen, LOCAL)).generation == (4, 1)
    assert succeed(Identity(uid="local-8", attempt=4), LOCAL).uid == "local-8"


def test_by_hand_a_new_uid_is_made_on_demand() -> None:
    renewed = succeed(BY_HAND, LOCAL, new_uid=True)
    assert renewed.uid.startswith("local-")
    assert renewed.uid != LOCAL.uid
    assert renewed.generation == (4, 0)


def test_the_environment_gives_the_identity() -> None:
    environment = JobEnvironment(cluster_uid="c1", namespace="ns", name="job", uid="uid-1", attempt=1)
    assert Identity.of(environment) == JOB


def test_a_uid_that_could_not_stand_in_a_file_name_is_refused() -> None:
    with pytest.raises(ConfigError, match="PETJOB_UID"):
        Identity(uid="../uid")


def test_every_start_is_recorded_in_the_folder(tmp_path: Path) -> None:
    seen = []
    for number in (1, 1, 1, 2, 5, 5):
        opened(tmp_path, attempt(number))
        seen.append(owner_in(tmp_path).generation)
    assert seen == [(1, 0), (1, 1), (1, 2), (2, 0), (5, 0), (5, 1)]


def test_a_foreign_folder_is_left_exactly_as_it_was(tmp_path: Path) -> None:
    tenure, _ = opened(tmp_path)
    save(tenure, 10)
    (tmp_path / ".tmp-11-1-0-9.pth").write_bytes(b"half")
    (tmp_path / "model_iter20.manifest.json").write_bytes(b"broken")
    before = Picture.of(tmp_path)
    for own_only in (False, True):
        with pytest.raises(ForeignOwner):
            opened(tmp_path, replace(JOB, uid="uid-2", name="another"), own_only=own_only)
    with pytest.raises(Fenced):
        opened(tmp_path, attempt(0))
    assert Picture.of(tmp_path) == before


def test_a_predecessors_checkpoint_is_resumed_and_said_so(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    tenure, _ = opened(tmp_path)
    save(tenure, 10)
    _, selected = opened(tmp_path, replace(JOB, uid="uid-2"))
    assert iteration_of(selected) == 10
    assert "taken over from job ns/job (uid uid-1" in caplog.text


def test_two_jobs_that_meet_in_a_new_folder_get_one_owner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, rival = os.open, replace(JOB, uid="uid-2", name="another")

    def opening(path: str, flags: int, *args: int) -> int:
        if path.endswith("/OWNER"):
            monkeypatch.setattr(os, "open", real)
            opened(tmp_path, rival)
        return real(path, flags, *args)

    monkeypatch.setattr(os, "open", opening)
    with pytest.raises(ForeignOwner, match="uid-2"):
        opened(tmp_path)
    assert owner_in(tmp_path).uid == "uid-2"


@pytest.mark.parametrize("data", [b"", b"{", b"\0" * 90])
def test_an_unreadable_record_in_an_empty_folder_is_a_death_in_the_first_start(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "OWNER").write_bytes(data)
    opened(tmp_path)
    assert owner_in(tmp_path).generation == (1, 0)


@pytest.mark.parametrize("data", [b"", b"{", b"\0" * 90])
def test_an_unreadable_record_beside_checkpoints_stops_the_run_with_the_remedy(tmp_path: Path, data: bytes) -> None:
    tenure, _ = opened(tmp_path)
    save(tenure, 10)
    (tmp_path / "OWNER").unlink()
    (tmp_path / "OWNER").write_bytes(data)
    with pytest.raises(CheckpointUnusable, match="delete that file"):
        opened(tmp_path)
    (tmp_path / "OWNER").unlink()
    assert iteration_of(opened(tmp_path)[1]) == 10


def test_half_written_files_of_dead_processes_are_swept_at_the_start(tmp_path: Path) -> None:
    for name in (".tmp-10-1-0-77.pth", ".tmp-10-1-0-77.json", ".tmp-owner-1-0-77", ".tmp-latest"):
        (tmp_path / name).write_bytes(b"half")
    opened(tmp_path)
    assert not temporary(tmp_path)


def test_a_launcher_learns_uid_and_attempt_without_writing(tmp_path: Path) -> None:
    assert owner_for(str(tmp_path / "new"), BY_HAND).generation == (1, 0)
    assert not (tmp_path / "new").exists()
    opened(tmp_path, BY_HAND)
    before = Picture.of(tmp_path)
    planned = owner_for(str(tmp_path), BY_HAND)
    assert (planned.uid, planned.attempt) == (owner_in(tmp_path).uid, 2)
    assert owner_for(str(tmp_path), BY_HAND, own_only=True).uid != planned.uid
    assert Picture.of(tmp_path) == before


def test_a_folder_that_cannot_be_made_is_a_config_error_on_what_named_it(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for identity, field in ((BY_HAND, "MISC.CKPT"), (JOB, "spec.checkpoint.path")):
        with pytest.raises(ConfigError, match=rf"^{re.escape(field)}: .*Not a directory"):
            opened(tmp_path / "file" / "folder", identity)
