"""What the launcher itself says: single lines on stderr, apart from the ranks' own output."""

from __future__ import annotations

import contextlib
import os

_STDERR = 2


def say(text: str) -> None:
    """Print one message, in one write: lines of the ranks come through other threads."""
    # A terminal may be closed, a reader gone. The ranks are to be stopped with a checkpoint all the same.
    with contextlib.suppress(OSError):
        os.write(_STDERR, f"pet: {text}\n".encode(errors="replace"))
