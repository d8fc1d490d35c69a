"""What a configuration may hold: every key's default, type, range and meaning, declared once per script.

The declarations are in `pet.config.defaults`; `pet.config.node` merges the user's values by them.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from pet.config.nearest import nearest
from pet.config.values import INT64_MAX

FINITE = sys.float_info.max


@dataclass(frozen=True)
class Key:
    """One configuration key.

    `type` is a Python type: `int`, `float`, `bool`, `str`, `Any`, `Literal[…]` for a choice, `tuple[…]`, `list[…]`,
    `dict[str, Any]`, or a union of these. The range holds for every number in the value; only a maximum of infinity
    lets infinity in, and nothing lets NaN in.
    """

    default: Any
    type: Any
    comment: str
    minimum: float = -FINITE
    maximum: float = FINITE

    def limits(self, number: float) -> tuple[float, float]:
        """The least and the most that this number of the value may be. Whole ones fit 64 bits: tensors hold them."""
        if isinstance(number, int):
            return max(self.minimum, -INT64_MAX), min(self.maximum, INT64_MAX)
        return self.minimum, self.maximum


# Nested like the YAML: section names lead to sections, key names to keys.
Declaration = Mapping[str, "Key | Declaration"]


class Schema:
    """All keys of one script, by dotted name, in the order of their declaration."""

    def __init__(self, script: str, *declarations: Declaration) -> None:
        """Later declarations add keys to earlier ones or replace them."""
        self.script = script
        self.keys: dict[str, Key] = {}
        for declaration in declarations:
            self.keys.update(_flatten(declaration))

    @cached_property
    def sections(self) -> tuple[str, ...]:
        """The dotted names of everything that holds keys, in the same order."""
        paths = [name.split(".") for name in self.keys]
        return tuple(dict.fromkeys(".".join(path[:depth]) for path in paths for depth in range(1, len(path))))

    def defaults(self) -> dict[str, Any]:
        """The default values, nested like the YAML."""
        root: dict[str, Any] = {}
        for name, key in self.keys.items():
            *path, last = name.split(".")
            section = root
            for part in path:
                section = section.setdefault(part, {})
            section[last] = key.default
        return root

    def nearest(self, name: str) -> str | None:
        """The section or key a user most likely meant by an unknown name, None if nothing is alike."""
        return nearest(name, [*self.sections, *self.keys])


def _flatten(declaration: Declaration, prefix: str = "") -> Iterator[tuple[str, Key]]:
    for name, value in declaration.items():
        if isinstance(value, Key):
            yield prefix + name, value
        else:
            yield from _flatten(value, f"{prefix}{name}.")
