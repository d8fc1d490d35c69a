"""Hooks that note what the loop does with them, or spoil it at an exact step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pet.engine.events import EventStorage
from pet.engine.hooks.base import POINTS


class Everywhere:
    """Notes every point that is called."""

    def __init__(self) -> None:
        self.calls: list[str] = []


def _noting(point: str) -> Callable[..., None]:
    def call(self: Everywhere, **keywords: Any) -> None:
        self.calls.append(point)

    return call


for _point in POINTS:
    setattr(Everywhere, _point, _noting(_point))


def mute(kind: type[Exception]) -> Exception:
    """An error of this kind whose text cannot be made."""

    class Mute(kind):  # type: ignore[misc, valid-type]
        def __str__(self) -> str:
            raise LookupError

    error: Exception = Mute()
    return error


class Bad:
    """Raises an error at a point of a step."""

    def __init__(self, step: int, error: BaseException) -> None:
        self.step, self.error = step, error

    def after_step(self, storage: EventStorage) -> None:
        if storage.iter == self.step:
            raise self.error
