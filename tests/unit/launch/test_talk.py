"""What the launcher says, where nobody reads it."""

from __future__ import annotations

import os
import threading

import pytest

from pet.launch import talk

LIMIT = 10  # seconds; a bound against hanging


def test_output_that_nobody_reads_holds_up_no_launcher_and_what_was_said_comes_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    read_end, write_end = os.pipe()
    os.set_blocking(write_end, False)
    filled = 0
    while (written := _written(write_end)) > 0:
        filled += written
    os.set_blocking(write_end, True)
    monkeypatch.setattr(talk, "_STDERR", write_end)
    saying = threading.Thread(target=lambda: [talk.say(f"message {number}") for number in range(3)], daemon=True)
    saying.start()
    saying.join(LIMIT)
    stuck = saying.is_alive()
    received = b""
    while not received.endswith(b"message 2\n"):
        received += os.read(read_end, 1 << 16)
    assert not stuck
    assert received[filled:] == b"pet: message 0\npet: message 1\npet: message 2\n"


def _written(descriptor: int) -> int:
    try:
        return os.write(descriptor, b"x" * 4096)
    except BlockingIOError:
        return 0
