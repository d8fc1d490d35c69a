"""What the launcher itself says: single lines on stderr, apart from the ranks' own output."""

from __future__ import annotations

import sys


def say(text: str) -> None:
    """Print one message."""
    print(f"pet: {text}", file=sys.stderr, flush=True)
