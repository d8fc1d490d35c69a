"""One point of the loop, and what becomes of the errors that hooks raise there."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from operator import length_hint
from typing import Any

from pet.engine.errors import EvaluationStopped, says_all
from pet.engine.hooks.methods import Call

logger = logging.getLogger(__name__)


class Point:
    """One point of the loop: the methods of the hooks that do something there, bound once. Calling it calls them."""

    def __init__(self, calls: Sequence[Call], blame: Callable[[int, Exception], None]) -> None:
        """`blame` is told of every error by the place of the call that raised it."""
        self.calls = tuple(calls)
        self._blame = blame

    def __call__(self, **keywords: Any) -> None:
        """Call one after the other; the first error ends it. An evaluation that was left for a stop is raised only
        after all are called: the step is whole, and so is to be what hooks keep of it."""
        left, stopped = iter(self.calls), None
        while True:
            try:
                for call in left:
                    call(**keywords)
            except EvaluationStopped as error:
                stopped = error
            except Exception as error:
                # By what is left: two hooks may have one function, so that the call does not tell its place.
                self._blame(len(self.calls) - length_hint(left) - 1, error)
                raise
            else:
                break
        if stopped is not None:
            raise stopped

    def all(self, **keywords: Any) -> None:
        """Call every one even if some fail; then raise the first error, with the others attached."""
        first: Exception | None = None
        for place, call in enumerate(self.calls):
            try:
                call(**keywords)
            except Exception as error:
                self._blame(place, error)
                if first is None:
                    first = error
                else:
                    attach(first, error)
        if first is not None:
            raise first


def attach(first: BaseException, further: Exception) -> None:
    """Log an error that must not hide the first one, and keep it there: in the ExceptionGroup `first.further`, and as a
    note, since a report keeps the end of a traceback."""
    logger.error("a further hook failed: %r", further, exc_info=None if says_all(further) else further)
    before = getattr(first, "further", None)
    group = ExceptionGroup("hooks that failed after it", [*(before.exceptions if before else ()), further])
    first.further = group  # type: ignore[attr-defined]
    first.add_note(f"then a hook failed as well: {further!r}")
