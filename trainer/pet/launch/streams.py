"""The standard streams of a launcher that was started without them, as some programs start what is to run apart.

To be opened before anything else: the next pipe would take their place, and what the ranks print would be read from it.
"""

from __future__ import annotations

import os
import sys

_STDERR = 2


def open_missing_streams() -> None:
    """Where one is closed, let it lead nowhere."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= _STDERR:
        pass  # the lowest that is free
    os.close(descriptor)
    sys.stdout = sys.stdout or open(1, "w", closefd=False)  # noqa: SIM115 - for as long as the process lives
    sys.stderr = sys.stderr or open(_STDERR, "w", closefd=False)  # noqa: SIM115
