"""The failure file: a rank's own account of its end, small enough for every reader."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from harness.hooks import mute
from hypothesis import given
from hypothesis import strategies as st

from pet.runfiles.exits import ExitCode
from pet.runfiles.failure import (
    MESSAGE_BYTES,
    TRACEBACK_BYTES,
    Failure,
    head,
    read_failure,
    reserve_failure,
    tail,
    write_failure,
)


def account(error: BaseException) -> Failure:
    try:
        raise error
    except type(error) as raised:
        return Failure.of(raised, exit_code=ExitCode.APP_ERROR, attempt=2, restart=1, rank=3, iteration=7)


def nested(depth: int) -> None:
    if depth == 0:
        raise ValueError("the innermost")
    nested(depth - 1)


def test_account_of_an_exception_is_read_as_it_was_written(tmp_path: Path) -> None:
    failure = account(KeyError("boxes"))
    write_failure(tmp_path / "failure", failure)
    assert read_failure(tmp_path / "failure") == failure
    assert (failure.type, failure.message, failure.exit_code, failure.exit_class) == (
        "KeyError",
        "'boxes'",
        1,
        "AppError",
    )
    assert (failure.attempt, failure.restart, failure.rank, failure.iteration) == (2, 1, 3, 7)
    assert os.listdir(tmp_path) == ["failure"]


def test_rank_that_wrote_none_has_none(tmp_path: Path) -> None:
    assert read_failure(tmp_path / "failure") is None


def test_of_a_long_traceback_the_end_is_kept() -> None:
    failure = account(ValueError("\n".join(f"row {number} ✗" for number in range(2000))))
    assert TRACEBACK_BYTES - 4 <= len(failure.traceback.encode()) <= TRACEBACK_BYTES
    assert failure.traceback.startswith("…")
    assert failure.traceback.endswith("row 1999 ✗\n")


def test_traceback_names_the_place_and_the_error() -> None:
    with pytest.raises(ValueError, match="innermost") as raised:
        nested(5)
    failure = account(raised.value)
    assert "nested(depth - 1)" in failure.traceback
    assert failure.traceback.endswith("ValueError: the innermost\n")


def test_of_a_long_message_the_beginning_is_kept() -> None:
    failure = account(RuntimeError("shapes differ: " + "×" * 10_000))
    assert failure.message.startswith("shapes differ: ×")
    assert MESSAGE_BYTES - 2 <= len(failure.message.encode()) <= MESSAGE_BYTES


def test_text_that_is_no_unicode_does_not_keep_a_rank_from_telling(tmp_path: Path) -> None:
    write_failure(tmp_path / "failure", account(OSError("no file b\udcffd")))
    assert "no file b" in json.loads((tmp_path / "failure").read_text())["message"]


@given(text=st.text(), limit=st.integers(8, 64))
def test_cut_texts_fit_and_are_unchanged_if_they_fitted(text: str, limit: int) -> None:
    for cut, kept in ((head(text, limit), text.startswith), (tail(text, limit), text.endswith)):
        assert len(cut.encode()) <= limit
        assert (cut == text) if len(text.encode()) <= limit else kept(cut.strip("…"))


def test_an_error_that_cannot_tell_its_text_is_told_all_the_same() -> None:
    failure = account(mute(ValueError))
    assert (failure.type, failure.message) == ("Mute", "its text cannot be made: LookupError in Mute.__str__")
    assert "in account" in failure.traceback


@pytest.mark.parametrize("size", [1, 10**6])
def test_a_report_needs_no_room_that_was_not_reserved(tmp_path: Path, size: int) -> None:
    path = tmp_path / "failure"
    reserve_failure(path)
    assert read_failure(path) is None
    room = sum(file.stat().st_size for file in tmp_path.iterdir())
    failure = account(ValueError("\x01" * size))
    write_failure(path, failure)
    assert read_failure(path) == failure
    assert sum(file.stat().st_size for file in tmp_path.iterdir()) <= room
    assert os.listdir(tmp_path) == ["failure"]
