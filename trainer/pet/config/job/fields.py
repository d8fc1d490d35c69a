"""Reading one mapping of a manifest field by field: typed, with the full path of whatever is wrong."""

from __future__ import annotations

import difflib
import posixpath
import re
from collections.abc import Sequence
from typing import Any, TypeVar

from pet.config.errors import Problem
from pet.config.values import INT64_MAX, control_character, show

Default = TypeVar("Default")

# What Kubernetes holds a whole number in.
INT32_MAX = 2**31 - 1

# Kubernetes' resource.Quantity: a number and a suffix. Sign and exponent are left out: sizes need neither.
_QUANTITY = re.compile(r"(\d+(\.\d*)?|\.\d+)(Ki|Mi|Gi|Ti|Pi|Ei|k|M|G|T|P|E)?")


class Fields:
    """A mapping at `path`; problems are appended to the list that all mappings of one manifest share.

    Every reading method returns the default where the field is absent, null or wrong. `close` reports fields that
    nobody asked for. `readable` is False where a mapping is missing or is none: then nothing is missed in it.
    """

    def __init__(self, content: object, path: str, problems: list[Problem]) -> None:
        self.path = path
        self.readable = content is None or isinstance(content, dict)
        self.problems = problems
        self.content: dict[str, Any] = {}
        self._asked: list[str] = []
        if isinstance(content, dict):
            self.content = {str(name): value for name, value in content.items() if value is not None}
        elif not self.readable:
            problems.append(Problem(path, f"{show(content)} is not a mapping"))

    def __contains__(self, name: str) -> bool:
        return name in self.content

    def report(self, name: str, message: str) -> None:
        """Something is wrong with a field."""
        self.problems.append(Problem(f"{self.path}.{name}" if self.path else name, message))

    def value(self, name: str) -> Any:
        """A field as it is, None where it is absent."""
        self._asked.append(name)
        return self.content.get(name)

    def child(self, name: str, *, required: bool = False) -> Fields:
        """A mapping inside this one; empty where it is absent."""
        child = Fields(self.value(name), f"{self.path}.{name}" if self.path else name, self.problems)
        if required and name not in self:
            self.report(name, "is required")
            child.readable = False
        return child

    def text(self, name: str, default: Default, *, required: bool = False) -> str | Default:
        """A field that holds text, not empty."""
        value = self.value(name)
        if value is None:
            if required and self.readable:
                self.report(name, "is required")
            return default
        if not isinstance(value, str):
            self.report(name, f"{show(value)} is not text; put it in quotes")
        elif not value.strip():
            self.report(name, "is empty")
        elif character := control_character(value):
            self.report(name, f"{show(value)} holds the control character {character}; leave it out")
        else:
            return value
        return default

    def choice(self, name: str, default: str, choices: Sequence[str]) -> str:
        """One of a few words."""
        value = self.text(name, default)
        if value in choices:
            return value
        close = difflib.get_close_matches(value.lower(), [choice.lower() for choice in choices], n=1)
        hint = next((f", did you mean {choice}?" for choice in choices if close and choice.lower() == close[0]), "")
        self.report(name, f"{value!r} is none of {', '.join(choices)}{hint}")
        return default

    def integer(self, name: str, default: Default, *, minimum: int, maximum: int = INT32_MAX) -> int | Default:
        """A whole number within its range."""
        value = self.value(name)
        if value is None:
            return default
        if type(value) is int and minimum <= value <= maximum:
            return value
        largest_matters = maximum < INT32_MAX or (type(value) is int and value > maximum)
        limits = f"from {minimum} to {maximum}" if largest_matters else f"at least {minimum}"
        self.report(name, f"{show(value)} is not a whole number {limits}")
        return default

    def flag(self, name: str, default: bool) -> bool:
        """True or false."""
        value = self.value(name)
        if value is None or isinstance(value, bool):
            return default if value is None else value
        self.report(name, f"{show(value)} is not true or false")
        return default

    def texts(self, name: str) -> tuple[str, ...]:
        """A list of texts."""
        value = self.value(name)
        if value is None:
            return ()
        if not isinstance(value, list):
            self.report(name, f"{show(value)} is not a list")
            return ()
        known = len(self.problems)
        for index, entry in enumerate(value):
            if not isinstance(entry, str):
                self.report(f"{name}[{index}]", f"{show(entry)} is not text; put it in quotes")
            elif character := control_character(entry, but="\n\t"):
                self.report(f"{name}[{index}]", f"{show(entry)} holds the control character {character}; leave it out")
        return tuple(value) if len(self.problems) == known else ()

    def quantity(self, name: str) -> str:
        """A size in Kubernetes' notation, for example 16Gi; empty where it is absent."""
        value = self.value(name)
        if value is None:
            return ""
        text = str(value)
        match = _QUANTITY.fullmatch(text) if not isinstance(value, bool) else None
        if match and 0 < float(match[1]) <= INT64_MAX:
            return text
        self.report(name, f"{show(value)} is not a size; give a number above 0 with a unit, for example 16Gi")
        return ""

    def relative_path(self, name: str, default: str) -> str:
        """A path below some root, normalised as text."""
        value = self.text(name, default)
        if value == default:
            return default
        if (reason := why_not_relative(value)) is not None:
            self.report(name, f"{value!r} {reason}")
            return default
        return posixpath.normpath(value)

    def close(self) -> None:
        """Report every field that was not read."""
        for name in self.content:
            if name not in self._asked:
                close = difflib.get_close_matches(name, self._asked, n=1)
                hint = f", did you mean {close[0]}?" if close else f"; there are {', '.join(sorted(set(self._asked)))}"
                self.report(name, f"no such field{hint}")


def why_not_relative(path: str) -> str | None:
    """Why a path may lead out of the folder it is meant to be in, or None if it cannot."""
    if path.startswith("/"):
        return "is absolute; give a path relative to the volume's root"
    if ".." in path.split("/"):
        return "holds '..'; give a path without it"
    return "names no folder" if posixpath.normpath(path) == "." else None
