"""Registries: dicts from the names in configurations to what builds the part."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from typing import TypeVar

from pet.config.errors import ConfigError

T = TypeVar("T")


class Registry(dict[str, T]):
    """A dict with a `register("name")` decorator. `key` is the configuration key that its names are written in."""

    def __init__(self, key: str) -> None:
        super().__init__()
        self.key = key

    def register(self, name: str) -> Callable[[T], T]:
        """Decorator: enter the object under `name`. Raises ValueError if the name is taken."""

        def enter(value: T) -> T:
            if name in self:
                raise ValueError(f"{name!r} is registered for {self.key} already, as {self[name]!r}")
            self[name] = value
            return value

        return enter

    def find(self, name: str) -> T:
        """The object of that name; raises ConfigError with the nearest names otherwise."""
        if name in self:
            return self[name]
        near = difflib.get_close_matches(name, self, n=1)
        hint = f"did you mean {near[0]}? " if near else ""
        raise ConfigError.of(self.key, f"no {name!r} is registered; {hint}There are: {', '.join(sorted(self))}")
