"""What a rank writes, on its way through the launcher."""

from __future__ import annotations

import errno
import io
import os
import select
from collections.abc import Iterator
from typing import Any

import pytest

from pet.launch.output import RankOutput

LIMIT = 60  # seconds; a bound against hanging


def test_nothing_is_lost_where_the_launcher_s_output_is_non_blocking_and_its_reader_slow() -> None:
    """Another program on the same terminal or pipe may have switched it."""
    read_end, write_end = os.pipe()
    os.set_blocking(write_end, False)
    written = b"".join(b"line %06d\n" % number for number in range(50_000))
    output = RankOutput(io.BytesIO(written), write_end, 0)
    while output.is_alive() and select.select([], [write_end], [], 0)[1]:
        pass  # until the pipe is full
    received = b""
    while len(received) < len(written) and select.select([read_end], [], [], LIMIT if output.is_alive() else 0)[0]:
        received += os.read(read_end, 1 << 16)
    output.join(LIMIT)
    os.close(read_end)
    os.close(write_end)
    assert received == written


def test_a_disk_that_is_full_for_a_while_costs_the_lines_of_that_while(monkeypatch: pytest.MonkeyPatch) -> None:
    read_end, write_end = os.pipe()
    errors: Iterator[int | None] = iter([None, errno.ENOSPC, errno.ENOSPC, None])
    real = os.write

    def write(descriptor: int, data: Any) -> int:
        if (error := next(errors)) is not None:
            raise OSError(error, os.strerror(error))
        return real(descriptor, data)

    monkeypatch.setattr(os, "write", write)
    RankOutput(io.BytesIO(b"one\ntwo\nthree\nfour\n"), write_end, 0).join(LIMIT)
    os.close(write_end)
    with os.fdopen(read_end, "rb") as received:
        assert received.read() == b"one\nfour\n"
