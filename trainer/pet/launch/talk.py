"""What the launcher itself says: single lines on stderr, apart from the ranks' own output."""

from __future__ import annotations

import contextlib
import os

from pet.launch.line import Line

_STDERR = 2
_WAIT_SECONDS = 1.0
_line = Line("talk")


def say(text: str) -> None:
    """Print one message, in one write: lines of the ranks come through other threads."""
    # A terminal may be closed or held, a reader gone or stuck. The ranks are to be watched and stopped all the same.
    with contextlib.suppress(OSError):  # a TimeoutError is one
        seconds = 0.0 if _line.blocked else _WAIT_SECONDS
        _line.call(seconds, os.write, _STDERR, f"pet: {text}\n".encode(errors="replace"))
