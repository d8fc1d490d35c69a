"""Writing and reading single files."""

from __future__ import annotations

import errno
import os
import stat
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pet.store.errors import Corrupt
from pet.store.files import ChecksumWriter, Digest, digest_of, make_directory, read_bytes, write_durably


def _write(*parts: bytes) -> Callable[[ChecksumWriter], None]:
    return lambda stream: [stream.write(part) for part in parts] and None


def test_size_and_checksum_are_counted_as_the_bytes_pass(tmp_path: Path) -> None:
    path = str(tmp_path / "file")
    digest = write_durably(path, _write(b"abc", b"", b"defg"))
    assert digest == Digest(7, zlib.crc32(b"abcdefg")) == digest_of(path)


def test_a_written_file_is_read_only(tmp_path: Path) -> None:
    write_durably(str(tmp_path / "file"), _write(b"abc"))
    assert stat.S_IMODE(os.stat(tmp_path / "file").st_mode) == 0o444


def test_a_short_write_of_the_system_is_continued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: real(descriptor, data[:3]))
    write_durably(str(tmp_path / "file"), _write(b"0123456789"))
    assert (tmp_path / "file").read_bytes() == b"0123456789"


def test_the_first_error_of_a_write_is_raised_whatever_the_writer_makes_of_it(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    def full(descriptor: int, data: Any) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    def write(stream: ChecksumWriter) -> None:
        try:
            stream.write(b"abc")
        except OSError:
            raise RuntimeError("unexpected pos 64 vs 0") from None

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(OSError, match="No space left") as caught:
        write_durably(str(tmp_path / "file"), write)
    assert caught.value.errno == errno.ENOSPC
    assert not (tmp_path / "file").exists()


def test_a_writer_that_raises_leaves_no_file(tmp_path: Path) -> None:
    def write(stream: ChecksumWriter) -> None:
        stream.write(b"abc")
        raise KeyError("x")

    with pytest.raises(KeyError):
        write_durably(str(tmp_path / "file"), write)
    assert not list(tmp_path.iterdir())


def test_an_existing_file_is_neither_written_nor_removed(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"old")
    with pytest.raises(FileExistsError):
        write_durably(str(tmp_path / "file"), _write(b"new"))
    assert (tmp_path / "file").read_bytes() == b"old"


def _failing_reads(monkeypatch: pytest.MonkeyPatch, times: int, number: int = errno.EIO) -> list[float]:
    """`open` fails so many times; returns the list that the pauses between are added to."""
    pauses: list[float] = []
    left = [times]
    real = open

    def opening(*args: Any, **options: Any) -> Any:
        if left[0]:
            left[0] -= 1
            raise OSError(number, os.strerror(number))
        return real(*args, **options)

    monkeypatch.setattr("builtins.open", opening)
    monkeypatch.setattr("time.sleep", pauses.append)
    return pauses


@pytest.mark.parametrize("read", [read_bytes, digest_of])
def test_an_input_output_error_is_tried_again_three_times(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch, read: Callable[[str], Any]) -> None:  # fmt: skip
    path = tmp_path / "file"
    path.write_bytes(b"abc")
    pauses = _failing_reads(monkeypatch, times=3)
    assert read(str(path)) in (b"abc", Digest(3, zlib.crc32(b"abc")))
    assert pauses == [1.0, 1.0, 1.0]


def test_an_input_output_error_that_stays_counts_as_corrupt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_bytes(b"abc")
    _failing_reads(monkeypatch, times=4)
    with pytest.raises(Corrupt, match="Input/output error"):
        digest_of(str(tmp_path / "file"))


def test_a_file_that_may_not_be_read_is_not_taken_for_corrupt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_bytes(b"abc")
    pauses = _failing_reads(monkeypatch, times=1, number=errno.EACCES)
    with pytest.raises(PermissionError):
        digest_of(str(tmp_path / "file"))
    assert not pauses


def test_a_folder_is_made_with_those_above_it(tmp_path: Path) -> None:
    make_directory(str(tmp_path / "a" / "b"))
    make_directory(str(tmp_path / "a" / "b"))
    assert (tmp_path / "a" / "b").is_dir()
