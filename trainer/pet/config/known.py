"""What a rule may look at: a job or a configuration without the parts that could not be read.

Where a value is broken its default stands in the tree. What a rule would say about that is not the user's doing: one
cause is one problem.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from dataclasses import is_dataclass
from functools import cache, reduce
from typing import Any

from pet.config.errors import Problem, UnknownKey
from pet.config.job import PetTrainingJob
from pet.config.node import Config

# What a JobSpec works out, and the fields that it takes for that.
_DERIVED = {
    "spec.worldSize": {"spec.nodes", "spec.gpusPerNode", "spec.procsPerNode"},
    "spec.ranksPerNode": {"spec.gpusPerNode", "spec.procsPerNode"},
    "spec.overrideArgs": {"spec.overrides"},
}


class Unread(Exception):
    """This could not be read, so nothing can be concluded from it."""


class Known:
    """A job, a configuration, or a section of one: read by attribute, which raises Unread for what is broken."""

    def __init__(self, source: object, unread: Collection[str], prefix: str = "") -> None:
        """`unread` holds the fields in which problems were found; `prefix` is where `source` stands."""
        self._source, self._unread, self._prefix = source, unread, prefix

    def __getattr__(self, name: str) -> Any:
        path = self._prefix + _in_manifest(name)
        if path in self._unread:
            raise Unread(path)
        value = getattr(self._source, name)
        return Known(value, self._unread, f"{path}.") if isinstance(value, Config) or is_dataclass(value) else value

    def at(self, name: str) -> Any:
        """The value of a dotted name. Raises Unread."""
        return reduce(getattr, name.split("."), self)


def known_job(job: PetTrainingJob, problems: Iterable[Problem]) -> Known:
    """The job without the fields that `problems` are about."""
    unread = _fields(problems)
    return Known(job, unread | {name for name, fields in _DERIVED.items() if unread & fields})


def known_config(cfg: Config, problems: Collection[Problem]) -> Known:
    """The configuration without the keys that `problems` are about, and without those that were only misspelt."""
    near = {problem.near for problem in problems if isinstance(problem, UnknownKey) and problem.near}
    return Known(cfg, _fields(problems) | {name for name in near if _is_default(cfg, name)})


def _fields(problems: Iterable[Problem]) -> set[str]:
    """A list with a broken entry is broken as a whole."""
    return {problem.field.partition("[")[0] for problem in problems}


def _is_default(cfg: Config, name: str) -> bool:
    """Whether nobody set this key, or any key of this section."""
    values = ((key, value) for key, value in cfg.leaves() if f"{key}.".startswith(f"{name}."))
    return all(value == cfg.schema.keys[key].default for key, value in values)


@cache
def _in_manifest(name: str) -> str:
    """A field's name in a manifest: `gpus_per_node` is `gpusPerNode`. Configuration keys stay as they are."""
    return re.sub(r"_([a-z])", lambda match: match[1].upper(), name)
