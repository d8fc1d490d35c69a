"""A user's hook as it is written: methods that take fewer keywords than there are, and names that nobody calls."""

from __future__ import annotations

import difflib
import inspect
import logging
from collections.abc import Callable, Sequence
from typing import Any

logger = logging.getLogger(__name__)

Call = Callable[..., None]


def accepting(method: Call) -> Call:
    """The method itself, or, where it does not take every keyword of its point, one that leaves the rest out.

    Users' hooks are written with and without `**kwargs`; epoch mode gives `after_step` two keywords more.
    """
    parameters = inspect.signature(method).parameters
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
        return method
    names = frozenset(parameters)

    def call(**keywords: Any) -> None:
        method(**{name: value for name, value in keywords.items() if name in names})

    return call if method.__name__ == "after_step" and not {"epoch", "max_epoch"} <= names else method


def warn_of_near_misses(hook: Any, points: Sequence[str]) -> None:
    """A method that looks like a point but is none is never called; it may be a helper, so this is no error."""
    for name in sorted({name for kind in type(hook).__mro__ for name in vars(kind)}):
        if name.startswith(("before_", "after_", "on_")) and name not in points and callable(getattr(hook, name)):
            nearest = difflib.get_close_matches(name, points, n=1, cutoff=0.0)[0]
            logger.warning(
                "hook %s: %s is no hook point and is never called; the nearest is %s",
                type(hook).__name__,
                name,
                nearest,
            )
