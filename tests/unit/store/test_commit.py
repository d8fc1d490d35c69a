"""Committing a checkpoint: the fence, and the rule that a committed name is never written again."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from harness.stores import (
    JOB,
    Picture,
    attempt,
    content,
    draft,
    hidden,
    iteration_of,
    opened,
    overwrite,
    owner_in,
    save,
    temporary,
)

from pet.store.errors import Fenced
from pet.store.owner import encode_owner

SUCCESSOR = replace(JOB, uid="uid-2")


def test_the_manifest_holds_what_was_written(tmp_path: Path) -> None:
    tenure, _ = opened(tmp_path)
    manifest = save(tenure, 10)
    assert manifest.bytes == len(content(10))
    entry = tenure.folder.entry("model_iter10.pth")
    assert entry is not None
    assert entry.manifest == manifest


def test_data_is_flushed_before_its_name_and_the_name_before_the_manifests(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    tenure, _ = opened(tmp_path)
    calls: list[str] = []
    for name in ("open", "fsync", "rename"):
        real = getattr(os, name)

        def spy(*args: Any, name: str = name, real: Callable[..., Any] = real) -> Any:
            calls.append(f"{name} {os.path.basename(str(args[-1]))}" if name == "rename" else name)
            return real(*args)

        monkeypatch.setattr(os, name, spy)
    tenure.commit(draft(tenure, 10), lambda stream: stream.write(b"x"))
    assert calls == ["open", "fsync", "open", "fsync", "rename model_iter10.pth", "open", "fsync",
                     "rename model_iter10.manifest.json", "open", "fsync"]  # fmt: skip


@pytest.mark.parametrize("newer", [JOB, attempt(2), SUCCESSOR], ids=["restart", "attempt", "uid"])
def test_a_newer_start_fences_the_older_one(tmp_path: Path, newer: Any) -> None:
    tenure, _ = opened(tmp_path)
    save(tenure, 10)
    opened(tmp_path, newer)
    before = Picture.of(tmp_path)
    with pytest.raises(Fenced, match="is used by job ns/job"):
        save(tenure, 20)
    assert Picture.of(tmp_path) == before


def test_the_fence_is_looked_at_again_right_before_the_commit(tmp_path: Path) -> None:
    tenure, _ = opened(tmp_path)
    save(tenure, 10)

    def slow(stream: Any) -> None:
        stream.write(content(20))
        opened(tmp_path, attempt(2))

    with pytest.raises(Fenced):
        tenure.commit(draft(tenure, 20), slow)
    assert not (tmp_path / "model_iter20.pth").exists()
    assert not temporary(tmp_path)


@pytest.mark.parametrize("damage", ["removed", "unreadable"])
def test_without_a_readable_owner_nothing_is_written(tmp_path: Path, damage: str) -> None:
    tenure, _ = opened(tmp_path)
    (tmp_path / "OWNER").unlink()
    if damage == "unreadable":
        (tmp_path / "OWNER").write_bytes(b"?")
    with pytest.raises(Fenced, match="gone or unreadable"):
        save(tenure, 10)
    assert not list(tmp_path.glob("model_*"))


def test_a_disk_that_reads_no_owner_for_a_while_is_an_error_of_the_disk(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    tenure, _ = opened(tmp_path)

    def broken(path: Any, *args: Any, **options: Any) -> Any:
        if Path(path).name == "OWNER":
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return open(path, *args, **options)

    with monkeypatch.context() as patch:
        patch.setattr("pet.store.files.RETRY_SECONDS", 0.0)
        patch.setattr("pet.store.files.open", broken, raising=False)
        with pytest.raises(OSError, match="whose the folder is, is not known") as raised:
            save(tenure, 10)
    assert raised.value.errno == errno.EIO
    assert not list(tmp_path.glob("model_*"))
    save(tenure, 10)


def test_who_was_fenced_out_deletes_nothing_that_is_being_written(tmp_path: Path) -> None:
    old, _ = opened(tmp_path)
    new, _ = opened(tmp_path, attempt(2))
    old.fence = lambda: None  # type: ignore[method-assign]  # it had looked just before

    def write(stream: Any) -> None:
        stream.write(content(20)[:50])
        save(old, 10)
        stream.write(content(20)[50:])

    new.commit(draft(new, 20), write)
    assert iteration_of(opened(tmp_path, attempt(3))[1]) == 20


def test_who_was_fenced_out_deletes_no_data_that_waits_for_its_manifest(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    old, _ = opened(tmp_path)
    rename, data = os.rename, tmp_path / "model_iter10.pth"

    def late(source: str, target: str) -> None:
        if not target.endswith("iter10.manifest.json"):
            return rename(source, target)
        monkeypatch.undo()
        opened(tmp_path, attempt(2))
        data.unlink()
        data.write_bytes(b"of attempt 2")
        return rename(source, target)

    monkeypatch.setattr(os, "rename", late)
    with pytest.raises(FileNotFoundError):
        save(old, 10)
    assert data.read_bytes() == b"of attempt 2"


def test_another_tools_folder_of_such_a_name_is_in_nobodys_way(tmp_path: Path) -> None:
    theirs = tmp_path / ".tmp-of-another-tool"
    theirs.mkdir()
    tenure, _ = opened(tmp_path)
    like_ours = tmp_path / f".tmp-{tenure.owner.attempt}-{tenure.owner.restart}-{os.getpid()}"
    like_ours.mkdir()
    save(tenure, 10)
    assert (tmp_path / "model_iter10.manifest.json").exists()
    assert theirs.is_dir()
    assert like_ours.is_dir()


def test_an_older_record_put_back_by_a_fenced_process_is_replaced(tmp_path: Path) -> None:
    old, _ = opened(tmp_path)
    new, _ = opened(tmp_path, attempt(2))
    (tmp_path / "OWNER").unlink()
    (tmp_path / "OWNER").write_bytes(encode_owner(old.owner))
    save(new, 10)
    assert owner_in(tmp_path) == new.owner
    with pytest.raises(Fenced):
        save(old, 20)


def test_an_iteration_that_this_run_wrote_is_not_written_again(tmp_path: Path) -> None:
    tenure, _ = opened(tmp_path)
    first = save(tenure, 10)
    before = os.stat(tmp_path / "model_iter10.pth")
    assert save(tenure, 10, salt="of the same state") == first
    assert os.stat(tmp_path / "model_iter10.pth").st_ino == before.st_ino


def test_an_iteration_at_or_after_the_resumed_one_of_the_same_uid_is_not_written_again(tmp_path: Path) -> None:
    tenure, _ = opened(tmp_path)
    earlier = save(tenure, 10)
    late, _ = opened(tmp_path)
    zombie = save(late, 20)
    # A run that went on from 10 and did not see the 20 of its predecessor comes to the same 20.
    again, _ = opened(tmp_path)
    again.resumed = earlier
    assert save(again, 20) == zombie
    assert not hidden(tmp_path, "superseded")


def test_another_history_is_moved_aside_not_overwritten(tmp_path: Path) -> None:
    tenure, _ = opened(tmp_path)
    save(tenure, 20)
    fresh, _ = opened(tmp_path)
    fresh.resumed = None  # as if it had begun anew
    save(fresh, 20, salt=" of another history")
    assert (tmp_path / ".superseded-uid-1-0-model_iter20.pth").read_bytes() == content(20)
    assert iteration_of(opened(tmp_path)[1], " of another history") == 20


def test_an_epoch_of_another_length_leaves_the_name_to_the_one_that_has_it(tmp_path: Path) -> None:
    tenure, _ = opened(tmp_path)
    save(tenure, 10, "model_epoch1.pth")
    again, _ = opened(tmp_path)
    assert save(again, 15, "model_epoch1.pth").file == "model_iter15.pth"
    assert save(again, 15, "model_epoch1.pth").file == "model_iter15.pth"  # not written again
    assert iteration_of(opened(tmp_path)[1]) == 15
    assert (tmp_path / "model_epoch1.pth").read_bytes() == content(10)
    assert not hidden(tmp_path, "superseded")


def test_a_predecessors_pair_is_moved_aside_under_its_uid(tmp_path: Path) -> None:
    predecessor, _ = opened(tmp_path)
    save(predecessor, 10)
    tenure, _ = opened(tmp_path, SUCCESSOR)
    predecessor.fence = lambda: None  # type: ignore[method-assign]  # it had looked just before it was fenced
    save(predecessor, 20)
    save(tenure, 20, salt=" of uid-2")
    assert hidden(tmp_path, "superseded") == [
        ".superseded-uid-1-0-model_iter20.manifest.json", ".superseded-uid-1-0-model_iter20.pth",
    ]  # fmt: skip
    assert iteration_of(opened(tmp_path, SUCCESSOR)[1], " of uid-2") == 20


def test_the_very_checkpoint_that_was_taken_over_counts_as_saved(tmp_path: Path) -> None:
    predecessor, _ = opened(tmp_path)
    first = save(predecessor, 10)
    tenure, _ = opened(tmp_path, SUCCESSOR)
    assert save(tenure, 10) == first


def test_a_pair_that_does_not_verify_is_quarantined_and_the_name_written_anew(tmp_path: Path) -> None:
    tenure, _ = opened(tmp_path)
    save(tenure, 10)
    overwrite(tmp_path / "model_iter10.pth", b"damaged")
    save(tenure, 10)
    assert (tmp_path / ".bad-uid-1-0-model_iter10.pth").read_bytes() == b"damaged"
    assert iteration_of(opened(tmp_path)[1]) == 10


def test_data_that_was_never_committed_is_moved_aside(tmp_path: Path) -> None:
    tenure, _ = opened(tmp_path)
    (tmp_path / "model_iter10.pth").write_bytes(b"never committed")
    save(tenure, 10)
    assert (tmp_path / ".superseded-uid-1-0-model_iter10.pth").read_bytes() == b"never committed"


@pytest.mark.parametrize("call", ["write", "fsync", "rename"])
def test_a_disk_that_refuses_leaves_the_older_checkpoint_and_no_temporary_file(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str) -> None:  # fmt: skip
    tenure, _ = opened(tmp_path)
    save(tenure, 10)

    def full(*args: Any) -> Any:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, call, full)
        with pytest.raises(OSError, match="No space left"):
            save(tenure, 20)
    assert not temporary(tmp_path)
    assert iteration_of(opened(tmp_path)[1]) == 10


def test_the_weights_at_the_last_error_are_whole_have_no_manifest_and_are_the_only_ones(tmp_path: Path) -> None:
    tenure, _ = opened(tmp_path)
    save(tenure, 3)
    for iteration, data in ((5, b"first"), (5, b"second"), (8, b"third")):
        path = tenure.keep_error(f"model_error{iteration}.pth", lambda stream, data=data: stream.write(data))
        assert Path(path).read_bytes() == data
        assert [each.name for each in tmp_path.glob("*error*")] == [Path(path).name]
    assert iteration_of(opened(tmp_path)[1]) == 3
