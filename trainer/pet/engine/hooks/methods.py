"""A user's hook as it is written: methods that take fewer keywords than there are, and names that nobody calls."""

from __future__ import annotations

import difflib
import inspect
import logging
from collections.abc import Callable, Collection, Sequence
from functools import cached_property
from typing import Any

from pet.config.errors import ConfigError

logger = logging.getLogger(__name__)

Call = Callable[..., None]


def accepting(method: Call, place: str, given: Collection[str]) -> Call:
    """The method itself, or, where it does not take every keyword that is `given` at its point, one that leaves the
    rest out.

    Users' hooks are written with and without `**kwargs`; epoch mode gives `after_step` two keywords more. Raises
    ConfigError for one that could not be called; `place` names it.
    """
    parameters = inspect.signature(method).parameters.values()
    various = (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
    for parameter in parameters:
        by_name = parameter.kind is not parameter.POSITIONAL_ONLY and parameter.name in given
        if not by_name and parameter.default is parameter.empty and parameter.kind not in various:
            there = f"it is given {', '.join(sorted(given))}, by name" if given else "it is given nothing"
            raise ConfigError.of("TRAIN.HOOKS", f"{place} takes {parameter.name!r}: {there}")
    names, kinds = frozenset(given) & {parameter.name for parameter in parameters}, {p.kind for p in parameters}
    if len(names) == len(given) or inspect.Parameter.VAR_KEYWORD in kinds:
        return method
    if not names and inspect.Parameter.VAR_POSITIONAL in kinds:
        raise ConfigError.of("TRAIN.HOOKS", f"{place} takes arguments by place: given are {', '.join(given)}, by name")

    def call(**keywords: Any) -> None:
        method(**{name: value for name, value in keywords.items() if name in names})

    return call


def warn_of_near_misses(hook: Any, points: Sequence[str]) -> None:
    """A method that looks like a point but is none is never called; it may be a helper, so this is no error."""
    for name in sorted({name for kind in type(hook).__mro__ for name in vars(kind)}):
        if not name.startswith(("before_", "after_", "on_")) or name in points:
            continue
        if isinstance(inspect.getattr_static(hook, name), (property, cached_property)):
            continue  # it would run the user's code, before there is a trainer
        if callable(getattr(hook, name)):
            nearest = difflib.get_close_matches(name, points, n=1, cutoff=0.0)[0]
            logger.warning(
                "hook %s: %s is no hook point and is never called; the nearest is %s",
                type(hook).__name__,
                name,
                nearest,
            )
