"""How commands answer: exit codes, results to stdout as text or JSON, everything else to stderr."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from enum import IntEnum, StrEnum
from functools import cache
from typing import Any

from rich.console import Console
from rich.text import Text

from pet.config import Problem


class Exit(IntEnum):
    """The exit codes of every command. They are public API."""

    GOOD = 0
    FAILED = 1  # the job failed, or a check found something
    USAGE = 2  # also what cannot be answered: no cluster, no such job
    INVALID = 78  # job or configuration
    STOPPED = 130  # by the user, after a save


class Format(StrEnum):
    """The forms of a result. JSON is an API: one object per line, fields are only added."""

    TEXT = "text"
    JSON = "json"


class _Console(Console):
    """Leaves it to the command what becomes of it when its reader is gone."""

    def on_broken_pipe(self) -> None:
        raise  # it is called while the BrokenPipeError is handled


@cache
def console(*, stderr: bool = False) -> Console:
    """The terminal: colours only where there is one, lines never broken."""
    return _Console(stderr=stderr, soft_wrap=True, highlight=False)


def print_json(result: Mapping[str, Any]) -> None:
    """One result as one line of JSON, in ASCII: any terminal and any pipe takes it."""
    print(json.dumps(result))


def line(*parts: str | tuple[str, str], stderr: bool = False) -> None:
    """One line of text; a part is plain, or (text, style). What a file brings along cannot steer the terminal."""
    plain = (_visible(part) if isinstance(part, str) else (_visible(part[0]), part[1]) for part in parts)
    console(stderr=stderr).print(Text.assemble(*plain))


def fact(label: str, *values: str) -> None:
    """What is known about one thing, under its name: each value, and each line of it, on a line of its own."""
    for text in (text for value in values for text in value.splitlines()):
        line(f"  {label:<14}{text}")
        label = ""


def _visible(text: str) -> str:
    """The text with control characters, and what no encoding has, as escapes."""
    return "".join(
        character if character.isprintable() or character in "\n\t" else ascii(character)[1:-1] for character in text
    )


def count(number: int, noun: str) -> str:
    """`1 rank`, `2 ranks`."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def report(problems: Iterable[Problem]) -> None:
    """Problems that keep a command from its work."""
    for problem in problems:
        line(("error  ", "red"), str(problem), stderr=True)
