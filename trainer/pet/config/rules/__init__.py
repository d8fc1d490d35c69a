"""What has to hold between the keys of a configuration, and what is worth knowing of it. A module for each topic.

A rule is a generator over a `Known`: it yields what it finds, and ends early where it looks at a key that could not be
read. So each judges one thing.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import suppress
from functools import partial
from typing import TypeVar

from pet.config.errors import JobWarning, Problem
from pet.config.known import Known, Unread, known_config
from pet.config.node import Config
from pet.config.rules import classification, data, images, length, training
from pet.config.rules.availability import NOT_AVAILABLE_YET, not_available

__all__ = ["NOT_AVAILABLE_YET", "apply", "check_config", "config_warnings"]

Finding = TypeVar("Finding", Problem, JobWarning)

_RULES = (not_available, *data.RULES, *images.RULES, *length.RULES, *training.RULES)
_RULES_OF_SCRIPT = {"cls": classification.RULES}
_WARNINGS = (*data.WARNINGS, *images.WARNINGS, *length.WARNINGS)


def check_config(cfg: Config, world_size: int | None, problems: Collection[Problem] = ()) -> list[Problem]:
    """Every rule that the configuration breaks.

    Args:
        world_size: None: not known, so nothing is said about it.
        problems: what is known to be wrong with it already; no rule looks at those keys.
    """
    rules = [*_RULES, *_RULES_OF_SCRIPT.get(cfg.schema.script, ())]
    if world_size is not None:
        rules.append(partial(training.batch, world_size))
    return list(apply(rules, known_config(cfg, problems)))


def config_warnings(cfg: Config, problems: Collection[Problem] = ()) -> list[JobWarning]:
    """What the user should know of this configuration; `problems` as in `check_config`."""
    return list(apply(_WARNINGS, known_config(cfg, problems)))


def apply(rules: Iterable[Callable[..., Iterator[Finding]]], *known: Known) -> Iterator[Finding]:
    """What all rules find."""
    for rule in rules:
        with suppress(Unread):
            yield from rule(*known)
