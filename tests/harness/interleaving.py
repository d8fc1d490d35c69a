"""Two processes in one folder, in one: at a chosen disk call of the one the other does all that it has to do."""

from __future__ import annotations

import os
from collections.abc import Callable
from unittest.mock import patch

from harness.dying import _real as real


def interleaved(action: Callable[[], object], call: int | None, other: Callable[[], object]) -> int:
    """Run `action`, and `other` just before its disk call of this number, from 1 (None: not at all).

    Returns how many calls `action` made; what it raises passes.
    """
    count, inside = 0, False

    def counted(name: str) -> Callable[..., object]:
        def run(*args: object, **options: object) -> object:
            nonlocal count, inside
            if not inside:
                count += 1
                if count == call:
                    inside = True
                    try:
                        other()
                    finally:
                        inside = False
            return real[name](*args, **options)

        return run

    with patch.multiple(os, **{name: counted(name) for name in real}):
        action()
    return count
