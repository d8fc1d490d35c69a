"""stdout and stderr of a command when they cannot be written: a full disk, a reader that is gone.

A result that is lost is an error. What is said beside it is not: no training ends because nobody listens.
"""

from __future__ import annotations

import os
import sys
from io import TextIOWrapper


class ResultLost(Exception):
    """stdout cannot be written; the message says why."""


class _Stream(TextIOWrapper):
    """Takes over a standard stream, and shows what its encoding lacks as escapes."""

    def __init__(self, stream: TextIOWrapper) -> None:
        encoding = stream.encoding
        # By lines: an error comes up where the line is written.
        super().__init__(stream.detach(), encoding=encoding, errors="backslashreplace", line_buffering=True)

    def write(self, text: str) -> int:
        """Write text, or deal with it."""
        try:
            return super().write(text)
        except OSError as error:
            self._close_eyes()
            self._lost(error)
            return len(text)

    def flush(self) -> None:
        """Flush, or deal with it."""
        try:
            super().flush()
        except OSError as error:
            self._close_eyes()
            self._lost(error)

    def _close_eyes(self) -> None:
        """From now on everything goes nowhere; what is still buffered must not fail again at the end of the program."""
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self.fileno())
        os.close(nowhere)

    def _lost(self, error: OSError) -> None:
        raise NotImplementedError


class Results(_Stream):
    """stdout: an error is one of the command."""

    def _lost(self, error: OSError) -> None:
        if isinstance(error, BrokenPipeError):
            raise error  # the command line's library ends without a word
        raise ResultLost(f"{error.strerror}: the result is lost; write it somewhere else") from error


class Remarks(_Stream):
    """stderr: an error changes nothing."""

    def _lost(self, error: OSError) -> None:
        """Nobody is left to be told."""


def take_over() -> None:
    """Replace the program's stdout and stderr."""
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout = Results(sys.stdout)
    if isinstance(sys.stderr, TextIOWrapper):
        sys.stderr = Remarks(sys.stderr)
