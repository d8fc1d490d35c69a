"""`resume: Never` and `resume: <path>`: what others left is moved aside, what they have elsewhere is only read."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from harness.stores import (
    JOB,
    Picture,
    attempt,
    content,
    hidden,
    iteration_of,
    old_checkpoint,
    opened,
    overwrite,
    owner_in,
    save,
    saved,
)

from pet.config.errors import ConfigError
from pet.store.errors import CheckpointUnusable
from pet.store.foreign import select_foreign, select_weights
from pet.store.opening import is_owner
from pet.store.owner import Identity

SUCCESSOR = replace(JOB, uid="uid-2")


def _filled(path: Path) -> None:
    """A predecessor's folder with everything that a run leaves."""
    tenure, _ = opened(path)
    save(tenure, 10)
    save(tenure, 10, "model_epoch1-88.00.pth", link=False)
    save(tenure, 20)
    (path / "metrics.json").write_text("{}\n")
    (path / "config.yaml").write_text("x: 1\n")
    for folder in ("log", "tensorboard_log"):
        (path / folder).mkdir()
        (path / folder / "file").write_text(folder)


def test_never_moves_a_predecessors_files_aside_and_deletes_nothing(tmp_path: Path) -> None:
    _filled(tmp_path)
    before = Picture.of(tmp_path).files
    assert opened(tmp_path, SUCCESSOR, own_only=True)[1] is None
    after = Picture.of(tmp_path).files
    prefix = ".superseded-uid-1-0-"
    moved = {name.removeprefix(prefix) for name in after if name.startswith(prefix)}
    assert moved == set(before) - {"OWNER", "config.yaml"}
    assert all(after[prefix + name] == before[name] for name in moved)
    assert owner_in(tmp_path).uid == "uid-2"


def test_never_acts_at_the_first_start_only(tmp_path: Path) -> None:
    _filled(tmp_path)
    tenure, _ = opened(tmp_path, SUCCESSOR, own_only=True)
    (tmp_path / "metrics.json").write_text("of uid-2")
    save(tenure, 5)
    for later in (SUCCESSOR, attempt(2, SUCCESSOR)):
        assert iteration_of(opened(tmp_path, later, own_only=True)[1]) == 5
    assert (tmp_path / "metrics.json").read_text() == "of uid-2"


def test_never_by_hand_begins_anew_each_time_it_is_asked_for(tmp_path: Path) -> None:
    first, _ = opened(tmp_path, Identity())
    save(first, 10)
    second, selected = opened(tmp_path, Identity(), own_only=True)
    assert selected is None
    assert second.owner.uid != first.owner.uid
    save(second, 3)
    assert iteration_of(opened(tmp_path, Identity())[1]) == 3


def test_never_does_not_look_at_what_was_corrupt_before(tmp_path: Path) -> None:
    tenure, _ = opened(tmp_path)
    save(tenure, 10)
    overwrite(tmp_path / "model_iter10.pth", b"damaged")
    with pytest.raises(CheckpointUnusable):
        opened(tmp_path)
    assert opened(tmp_path, SUCCESSOR, own_only=True)[1] is None
    assert opened(tmp_path, SUCCESSOR, own_only=True)[1] is None


def test_never_stops_at_its_own_corrupt_checkpoints(tmp_path: Path) -> None:
    tenure, _ = opened(tmp_path, own_only=True)
    save(tenure, 10)
    overwrite(tmp_path / "model_iter10.manifest.json", b"damaged")
    for _ in range(2):
        with pytest.raises(CheckpointUnusable):
            opened(tmp_path, own_only=True)


def test_never_passes_over_what_a_fenced_predecessor_commits_late(tmp_path: Path) -> None:
    zombie, _ = opened(tmp_path)
    opened(tmp_path, SUCCESSOR, own_only=True)
    zombie.fence = lambda: None  # type: ignore[method-assign]  # it had looked just before it was fenced
    save(zombie, 30, link=False)
    assert opened(tmp_path, SUCCESSOR, own_only=True)[1] is None


def test_never_moves_a_legacy_file_aside(tmp_path: Path) -> None:
    old_checkpoint(tmp_path / "model_latest.pth")
    tenure, selected = opened(tmp_path, own_only=True)
    assert selected is None
    assert tenure.owner.legacy is None
    assert hidden(tmp_path, "superseded") == [".superseded-legacy-0-model_latest.pth"]


def test_auto_links_past_a_legacy_file_without_deleting_it(tmp_path: Path) -> None:
    old_checkpoint(tmp_path / "model_latest.pth")
    tenure, _ = opened(tmp_path)
    save(tenure, 10)
    assert (tmp_path / "model_latest.pth").read_bytes() == content(10)
    assert hidden(tmp_path, "superseded") == [".superseded-legacy-0-model_latest.pth"]


def test_a_launcher_can_ask_whether_the_folder_is_the_jobs_own(tmp_path: Path) -> None:
    assert not is_owner(str(tmp_path / "none"), JOB)
    opened(tmp_path)
    assert is_owner(str(tmp_path), JOB)
    assert not is_owner(str(tmp_path), SUCCESSOR)


def _other(path: Path) -> Path:
    return saved(path, 10, 20, identity=replace(JOB, uid="uid-9", name="other"))


def test_another_jobs_folder_gives_its_newest_that_verifies_and_stays_as_it_is(tmp_path: Path) -> None:
    other = _other(tmp_path / "other")
    overwrite(other / "model_iter20.pth", content(20)[:-1])
    before = Picture.of(other)
    assert iteration_of(select_foreign(str(other), str(tmp_path / "own"))) == 10
    assert Picture.of(other) == before


def test_another_jobs_file_is_verified_by_its_manifest(tmp_path: Path) -> None:
    other = _other(tmp_path / "other")
    path = other / "model_iter10.pth"
    assert iteration_of(select_foreign(str(path), "")) == 10
    overwrite(path, content(10)[:-1] + b"?")
    with pytest.raises(CheckpointUnusable, match="does not verify"):
        select_foreign(str(path), "")


@pytest.mark.parametrize("name", ["model_iter20.pth", "model_latest.pth", "model_epoch1-88.00.pth"])
def test_weights_from_a_checkpoint_folder_are_verified_by_their_manifest(tmp_path: Path, name: str) -> None:
    _filled(tmp_path)
    path = tmp_path / name
    assert select_weights(str(path)).manifest is not None
    overwrite(path, path.read_bytes()[:-1] + b"?")
    with pytest.raises(CheckpointUnusable, match="does not verify"):
        select_weights(str(path))


def test_the_newest_checkpoint_s_link_may_be_named_from_inside_its_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _filled(tmp_path)
    monkeypatch.chdir(tmp_path)
    assert iteration_of(select_weights("model_latest.pth")) == 20


@pytest.mark.parametrize("name", ["weights.pth", "model_latest.pth", "model_iter20.pth"])
def test_weights_without_a_manifest_are_taken_as_they_are(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"not even an archive")
    assert select_weights(str(tmp_path / name)).manifest is None


def test_weights_that_are_not_there_are_a_config_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"TRAIN\.WEIGHTS: there is no file"):
        select_weights(str(tmp_path / "weights.pth"))


def test_a_file_without_a_manifest_is_verified_by_its_archive(tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    old_checkpoint(path)
    assert select_foreign(str(path), "").manifest is None
    path.write_bytes(path.read_bytes().replace(b"old weights", b"olD weights"))
    with pytest.raises(CheckpointUnusable, match="damaged"):
        select_foreign(str(path), "")


def test_a_legacy_folder_gives_its_model_latest(tmp_path: Path) -> None:
    old_checkpoint(tmp_path / "model_latest.pth")
    assert select_foreign(str(tmp_path), "").path == str(tmp_path / "model_latest.pth")


def test_a_folder_in_which_nothing_verifies_is_unusable(tmp_path: Path) -> None:
    other = _other(tmp_path / "other")
    for iteration in (10, 20):
        (other / f"model_iter{iteration}.pth").unlink()
    with pytest.raises(CheckpointUnusable):
        select_foreign(str(other), "")


@pytest.mark.parametrize("where", [".", "model_iter10.pth", "sub/../model_iter10.pth"])
def test_a_path_inside_the_jobs_own_folder_is_a_config_error(tmp_path: Path, where: str) -> None:
    tenure, _ = opened(tmp_path)
    save(tenure, 10)
    (tmp_path / "sub").mkdir()
    with pytest.raises(ConfigError, match="own folder"):
        select_foreign(str(tmp_path / where), str(tmp_path))


@pytest.mark.parametrize("name", ["absent", "empty"])
def test_a_path_that_holds_no_checkpoint_is_a_config_error(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError, match=r"spec\.checkpoint\.resume: there is no"):
        select_foreign(str(tmp_path / name), "")
