"""From what a user wrote to a typed value: reading text, and fitting a value to a key's declared type."""

from __future__ import annotations

import ast
import contextlib
import difflib
import json
import re
import reprlib
import types
from typing import Any, Literal, Union, get_args, get_origin

_NAMES = {bool: "true or false", int: "a whole number", float: "a number", str: "text", type(None): "None"}


class _Short(reprlib.Repr):
    """Python refuses to write very long numbers in decimal digits."""

    def repr_int(self, x: int, level: int) -> str:
        return super().repr_int(x, level) if x.bit_length() < 1000 else f"{hex(x)[:20]}..."


_SHORT = _Short()
_SHORT.maxstring = _SHORT.maxother = 80


# What no argument of a program, no file's name and no message can hold: control characters, halves of surrogate pairs.
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
INT64_MAX = 2**63 - 1


class Misfit(Exception):
    """A value that its key's type does not allow; the message says why, and what would be right."""


def read_text(text: str) -> object:
    """What a value on a command line means: JSON, else a Python literal, else the text itself."""
    for read in (json.loads, ast.literal_eval):
        with contextlib.suppress(ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
            return read(text)
    return text


def write_text(value: object) -> str:
    """The inverse of `read_text` for what JSON knows; text stays as it is, anything else (a date) becomes text."""
    return value if isinstance(value, str) else json.dumps(value, default=str)


def show(value: object) -> str:
    """A value for a message, cut to a readable length."""
    return _SHORT.repr(value)


def control_character(text: str, *, but: str = "") -> str | None:
    """The first control character in a text, written as an escape; those in `but` are allowed. None: it has none."""
    found = next((character for character in _CONTROL.findall(text) if character not in but), None)
    return found and ascii(found)


def describe(form: Any) -> str:
    """A declared type in words, for example `a list of numbers`."""
    origin, arguments = get_origin(form), get_args(form)
    if origin is Literal:
        return "one of " + ", ".join(str(choice) for choice in arguments)
    if origin in (Union, types.UnionType):
        return " or ".join(describe(argument) for argument in arguments)
    if origin in (tuple, list):
        if origin is tuple and arguments[-1] is not Ellipsis:
            return "a list of " + " and ".join(describe(argument) for argument in arguments)
        return "a list, each entry " + describe(arguments[0])
    return "a mapping" if origin is dict else _NAMES.get(form, "anything")


def fit(value: object, form: Any) -> Any:
    """The value as the declared type. Text is read where the type is not text; whole numbers fit `float`, lists fit
    tuples and the other way round. Raises Misfit."""
    if form is Any:
        return value
    origin = get_origin(form)
    if origin in (Union, types.UnionType):
        return _fit_any(value, form)
    if origin is Literal:
        return _fit_choice(value, form)
    if form is str:
        return _fit_text(value)
    if isinstance(value, str):
        value = read_text(value)
    if origin in (tuple, list):
        return _fit_sequence(value, form, origin)
    expected: type = origin or form
    if expected is float and type(value) is int and abs(value) < 2**1000:
        return float(value)
    if type(value) is not expected:
        raise Misfit(f"{show(value)} is not {describe(form)}" + _hint(value, expected))
    return value


def numbers(value: object) -> list[float]:
    """Every number inside a value."""
    if isinstance(value, list | tuple):
        return [number for entry in value for number in numbers(entry)]
    return [value] if isinstance(value, int | float) and not isinstance(value, bool) else []


def _fit_any(value: object, form: Any) -> Any:
    for argument in get_args(form):
        try:
            return fit(value, argument)
        except Misfit:
            continue
    raise Misfit(f"{show(value)} is not {describe(form)}")


def _fit_choice(value: object, form: Any) -> Any:
    choices = get_args(form)
    meanings = (value, read_text(value)) if isinstance(value, str) else (value,)
    for choice in choices:
        if any(meaning == choice and type(meaning) is type(choice) for meaning in meanings):
            return choice
    folded = {str(choice).lower(): choice for choice in choices}
    close = difflib.get_close_matches((value if isinstance(value, str) else show(value)).lower(), folded, n=1)
    hint = f", did you mean {folded[close[0]]}?" if close else ""
    raise Misfit(f"{show(value)} is not {describe(form)}{hint}")


def _fit_text(value: object) -> str:
    """Text, out of its quotes if it is still in some."""
    if isinstance(value, str):
        inner = read_text(value)
        if inner is None:
            raise Misfit(f'{show(value)} is not text; give "" for none')
        text = inner if isinstance(inner, str) else value
        if character := control_character(text):
            raise Misfit(f"{show(text)} holds the control character {character}; leave it out")
        return text
    raise Misfit(f"{show(value)} is not text; " + ('give "" for none' if value is None else "put it in quotes"))


def _fit_sequence(value: object, form: Any, origin: type) -> Any:
    arguments = get_args(form)
    if not isinstance(value, list | tuple):
        raise Misfit(f"{show(value)} is not {describe(form)}")
    if origin is list or arguments[-1] is Ellipsis:
        return origin(fit(entry, arguments[0]) for entry in value)
    if len(value) != len(arguments):
        raise Misfit(f"{show(value)} has {len(value)} entries, not {len(arguments)}")
    return tuple(fit(entry, argument) for entry, argument in zip(value, arguments, strict=True))


def _hint(value: object, expected: type) -> str:
    if expected is int and isinstance(value, float) and value.is_integer():
        return f"; write {int(value)}"
    if expected is bool and value in (0, 1):
        return f"; write {'true' if value else 'false'}"
    return ""
