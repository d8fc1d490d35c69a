"""What is wrong with a user's input: every problem at once, each with its field and its remedy."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Problem:
    """One fault in a job or a configuration.

    `field` is the dotted path the user wrote (`spec.nodes`, `SOLVER.OPTIMIZER.BASE_LR`); `message` holds the
    offending value and says what would be right.
    """

    field: str
    message: str

    def __str__(self) -> str:
        return f"{self.field}: {self.message}" if self.field else self.message


@dataclass(frozen=True)
class UnknownKey(Problem):
    """A key that the schema does not have; the trainer of a foreign image may know it. `near`: what may be meant."""

    near: str | None = None


@dataclass(frozen=True)
class ClusterProblem(Problem):
    """What a job lacks in a cluster, and not on a single machine."""


@dataclass(frozen=True)
class JobWarning:
    """Something the user should know that does not stop the job. `reason` is CamelCase, as events have it."""

    reason: str
    field: str
    message: str

    def __str__(self) -> str:
        return f"{self.field}: {self.message}"


class ConfigError(Exception):
    """The user's input cannot be used; `problems` lists everything that was found (exit code 78)."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))

    def __reduce__(self) -> tuple[type[ConfigError], tuple[tuple[Problem, ...]]]:
        # By its problems, not by its text: ranks hand each other their errors.
        return type(self), (self.problems,)

    @classmethod
    def of(cls, field: str, message: str) -> ConfigError:
        """A single problem."""
        return cls([Problem(field, message)])
