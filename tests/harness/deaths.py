"""One scenario, cut off at every call to the disk, each time in a fresh copy of the same folder."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from harness.dying import Death, Report, live
from harness.stores import hidden, iteration_of, opened, save, saved, temporary


def two_saved(path: Path) -> None:
    """A folder with iterations 10 and 20."""
    saved(path, 10, 20)


def saving_a_new_iteration(where: Path, kind: str) -> int:
    """Returns the number of calls. Raises AssertionError if an acknowledged checkpoint is lost."""

    def action(path: Path, report: Report) -> None:
        tenure, _ = opened(path)
        save(tenure, 30, keep=2)
        report(30)

    def check(path: Path, reports: list[int]) -> None:
        _, selected = opened(path)
        assert iteration_of(selected) in ({30} if reports else {20, 30})
        assert not temporary(path)
        assert not hidden(path, "bad")

    return every_death(two_saved, action, where, kind, check)


def saving_an_existing_iteration(where: Path, kind: str) -> int:
    """Returns the number of calls. Raises AssertionError if the checkpoint that was there is lost."""

    def action(path: Path, report: Report) -> None:
        tenure, _ = opened(path)
        save(tenure, 20)

    def check(path: Path, reports: list[int]) -> None:
        assert iteration_of(opened(path)[1]) == 20

    return every_death(two_saved, action, where, kind, check)


KINDS: dict[str, dict[str, Any]] = {
    "clean": {},
    "torn": {"torn": True},
    "names lost": {"loses_names": True},
    "data lost": {"loses_data": True},
    "both lost": {"loses_names": True, "loses_data": True},
}


def every_death(prepare: Callable[[Path], None], action: Callable[[Path, Report], object], tmp_path: Path, kind: str,
            check: Callable[[Path, list[int]], None]) -> int:  # fmt: skip
    """Let `action` die at every call, in a fresh copy of what `prepare` made; `check` sees what it had reported."""
    prepared = tmp_path / "prepared"
    prepared.mkdir()
    prepare(prepared)
    whole = _copy(prepared, tmp_path / "whole")
    calls = live(lambda report: action(whole, report)).calls
    for call in [*range(1, calls + 1), None]:
        path = _copy(prepared, tmp_path / f"run{call}" / "folder")
        life = live(lambda report, path=path: action(path, report), Death(call, **KINDS[kind]))
        assert life.died is (call is not None)
        check(path, life.reports)
    return calls


def _copy(source: Path, target: Path) -> Path:
    """With hard links kept as such."""
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copytree(source, target)
    latest = target / "model_latest.pth"
    for file in source.glob("model_iter*.pth"):
        if latest.exists() and file.samefile(source / "model_latest.pth"):
            latest.unlink()
            latest.hardlink_to(target / file.name)
    return target
