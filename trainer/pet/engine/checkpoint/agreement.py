"""Deciding together: a result or an error of one rank becomes that of all, so that no rank is left waiting."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import TypeVar

from pet.engine.distributed import all_gather_objects, broadcast_object, gather_objects, is_main_process
from pet.runfiles.failure import text_of

T = TypeVar("T")


def on_rank_0(action: Callable[[], T]) -> T:
    """Run `action` on rank 0; every rank returns its result or raises its error. Collective."""
    result: T | None = None
    error: Exception | None = None
    if is_main_process():
        try:
            result = action()
        except Exception as raised:
            error = raised
    result, portable = broadcast_object((result, _portable(error)))
    if error is not None:
        raise error
    if portable is not None:
        raise portable
    return result  # type: ignore[return-value]


def on_every_rank(action: Callable[[], T]) -> list[T]:
    """Run `action` on every rank; returns all results. Raises the error of the lowest rank on all. Collective."""
    result: T | None = None
    error: Exception | None = None
    try:
        result = action()
    except Exception as raised:
        error = raised
    outcomes = all_gather_objects((result, _portable(error)))
    if error is not None:
        raise error
    for _, portable in outcomes:
        if portable is not None:
            raise portable
    return [value for value, _ in outcomes]  # type: ignore[misc]


def gather_checked(value: T, check: Callable[[T], object]) -> list[T]:
    """Every rank's value, on rank 0; an empty list on the others. Raises on all ranks what `check` raises on one.

    Collective.
    """
    error: Exception | None = None
    try:
        check(value)
    except Exception as raised:
        error = raised
    gathered = gather_objects((None if error else value, _portable(error))) or []

    def first_error() -> None:
        for _, portable in gathered:
            if portable is not None:
                raise portable

    on_rank_0(first_error)
    return [value for value, _ in gathered]  # type: ignore[misc]


def _portable(error: Exception | None) -> Exception | None:
    """The error as other ranks can receive it: itself, or its text where its type cannot be pickled."""
    if error is None:
        return None
    text = text_of(error)
    as_text = RuntimeError(f"{type(error).__name__}: {text}")
    try:
        copy = pickle.loads(pickle.dumps(error))
    except Exception:
        return as_text
    return error if text_of(copy) == text else as_text
