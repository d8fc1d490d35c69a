"""Two processes that use one folder at the same time, with one's work put before every disk call of the other's."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from harness.interleaving import interleaved
from harness.stores import JOB, Picture, attempt, hidden, iteration_of, opened, owner_in, save, saved, temporary

from pet.store.errors import Corrupt, Fenced
from pet.store.folder import Folder
from pet.store.owner import ForeignOwner

OTHER = replace(JOB, name="other", uid="uid-9")


def _everywhere(
    path: Path, other: Callable[[Path], object], check: Callable[[Path, BaseException | None], None]
) -> int:
    """A save of iteration 30 with `other` put before each of its calls; returns how many there are. `check` sees how
    the save ended."""
    undisturbed, _ = opened(saved(path / "undisturbed", 10, 20))
    calls = interleaved(lambda: save(undisturbed, 30, keep=2), None, lambda: None)
    for call in range(1, calls + 1):
        where = path / str(call)
        tenure, _ = opened(saved(where, 10, 20))
        error = None
        try:
            interleaved(lambda: save(tenure, 30, keep=2), call, lambda: other(where))  # noqa: B023
        except (Fenced, OSError) as raised:
            error = raised
        check(where, error)
    return calls


def _all_verify(path: Path) -> None:
    folder = Folder(str(path))
    for entry in folder.entries():
        try:
            folder.verify(entry)
        except Corrupt as problem:
            raise AssertionError(f"{entry.file}: {problem}") from problem
    assert not hidden(path, "bad")


@pytest.mark.parametrize("saves", [(), (30,), (30, 40)], ids=["starts", "saves the same step", "is ahead"])
def test_a_zombie_that_commits_late_spoils_nothing_of_its_successor(memory_path: Path, saves: tuple[int, ...]) -> None:
    def successor(path: Path) -> None:
        tenure, _ = opened(path, attempt(2))
        for iteration in saves:
            save(tenure, iteration, keep=2)

    def check(path: Path, error: BaseException | None) -> None:
        assert owner_in(path).attempt == 2
        _all_verify(path)
        tenure, selected = opened(path, attempt(3))
        newest = iteration_of(selected)
        assert newest is not None
        assert newest >= max(saves, default=20)
        assert newest in (20, 30, 40)
        save(tenure, 50)
        assert not temporary(path)

    assert _everywhere(memory_path, successor, check) > 20


def test_a_stranger_is_refused_at_any_moment_of_a_save_and_changes_nothing(memory_path: Path) -> None:
    def stranger(path: Path) -> None:
        before = Picture.of(path)
        with pytest.raises(ForeignOwner):
            opened(path, OTHER)
        assert Picture.of(path) == before

    def check(path: Path, error: BaseException | None) -> None:
        assert error is None
        assert iteration_of(opened(path)[1]) == 30

    _everywhere(memory_path, stranger, check)


def test_of_two_strangers_that_claim_a_new_folder_at_once_one_has_it(memory_path: Path) -> None:
    def second(path: Path) -> None:
        tenure, _ = opened(path, OTHER)
        save(tenure, 10)

    def check(path: Path, error: BaseException | None) -> None:
        assert isinstance(error, ForeignOwner), error
        assert owner_in(path).uid == OTHER.uid
        assert iteration_of(opened(path, OTHER)[1]) == 10

    # Up to the call that makes the record; what comes after it is refused to the second.
    claimed = _calls_until_claimed(memory_path / "counted")
    assert claimed > 0
    for call in range(1, claimed + 1):
        path = memory_path / str(call)
        path.mkdir()
        error = None
        try:
            interleaved(lambda: opened(path), call, lambda: second(path))  # noqa: B023
        except ForeignOwner as raised:
            error = raised
        check(path, error)


def _calls_until_claimed(path: Path) -> int:
    """At which disk call of a first start the owner's record appears, the one that makes it included."""
    path.mkdir()
    for call in range(1, 100):
        seen: list[bool] = []
        where = path / str(call)
        where.mkdir()
        interleaved(lambda: opened(where), call, lambda: seen.append((where / "OWNER").exists()))  # noqa: B023
        if seen and seen[0]:
            return call - 1
    raise AssertionError("it never appears")
