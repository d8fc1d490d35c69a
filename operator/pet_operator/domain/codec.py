"""Frozen dataclasses as the API server's JSON and back: camelCase, RFC 3339 times, nothing for None."""

from __future__ import annotations

import dataclasses
import sys
import types
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import cache, partial
from typing import Annotated, Any, TypeVar, Union, cast, get_args, get_origin, get_type_hints

T = TypeVar("T")
Reader = Callable[[Any], Any]


def encode(value: Any) -> Any:
    """JSON values; fields that are None, and empty texts, lists and mappings, are left out."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        pairs = ((key, getattr(value, name)) for name, key in _fields(type(value)).items())
        return {name: encode(content) for name, content in pairs if content is not None and content not in ("", (), {})}
    if isinstance(value, datetime):
        return write_time(value)
    if isinstance(value, tuple | list):
        return [encode(entry) for entry in value]
    if isinstance(value, Mapping):
        return {key: encode(entry) for key, entry in value.items()}
    return value


def decode(form: type[T], data: Any) -> T:
    """A dataclass from JSON. Fields that are absent, unknown or of another type than declared fall to their defaults,
    and so do numbers that the API server would not take: what an older or newer operator wrote, or a pod told, must
    never stop this one. What is `Annotated` with a function (`domain.bounds`) is what that makes of it."""
    values = {}
    content = data if isinstance(data, Mapping) else {}
    for name, (key, fit) in _readers(cast(Any, form)).items():
        value = content.get(key)
        fitted = fit(value) if value is not None else None
        if fitted is not None:
            values[name] = fitted
    return form(**values)


def camel(name: str) -> str:
    """`exit_code` → `exitCode`; a trailing underscore, as in `class_`, goes."""
    first, *rest = name.rstrip("_").split("_")
    return first + "".join(word.capitalize() for word in rest)


def write_time(moment: datetime) -> str:
    """`2026-01-31T12:00:00Z`; years have four digits, which `strftime` does not give to the first ones."""
    return f"{moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec='seconds')}Z"


def read_time(text: object) -> datetime | None:
    """A time as Kubernetes writes it, None if it is none."""
    try:
        return datetime.fromisoformat(str(text)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


@cache
def _fields(form: Any) -> dict[str, str]:
    """The fields of a dataclass: name → key."""
    return {field.name: camel(field.name) for field in dataclasses.fields(form)}


@cache
def _readers(form: Any) -> dict[str, tuple[str, Reader]]:
    """The fields of a dataclass: name → key, and what reads a value as it is declared."""
    hints = get_type_hints(form, include_extras=True)
    return {name: (key, _reader(hints[name])) for name, key in _fields(form).items()}


@cache
def _reader(declared: Any) -> Reader:
    """What reads a JSON value of this type; it gives None for one of another."""
    origin, arguments = get_origin(declared), get_args(declared)
    if origin in (Union, types.UnionType):
        readers = [_reader(argument) for argument in arguments if argument is not types.NoneType]
        return lambda value: next((fitted for read in readers if (fitted := read(value)) is not None), None)
    if origin is Annotated:
        return partial(_read_bounded, _reader(arguments[0]), arguments[1])
    if declared is datetime:
        return read_time
    if origin is tuple:
        return partial(_read_list, _reader(arguments[0]))
    if origin is not None and issubclass(origin, Mapping):
        return partial(_read_mapping, *map(_reader, arguments))
    if dataclasses.is_dataclass(declared):
        return lambda value: decode(declared, value) if isinstance(value, Mapping) else None  # type: ignore[arg-type]
    return _READERS.get(declared) or (lambda value: value if type(value) is declared else None)


def _read_list(read: Reader, value: Any) -> Any:
    entries = value if isinstance(value, list) else ()
    return tuple(fitted for entry in entries if entry is not None and (fitted := read(entry)) is not None)


def _read_mapping(read_key: Reader, read: Reader, value: Any) -> Any:
    pairs = value.items() if isinstance(value, Mapping) else ()
    return {read_key(key): fitted for key, entry in pairs if entry is not None and (fitted := read(entry)) is not None}


def _read_bounded(read: Reader, bound: Reader, value: Any) -> Any:
    fitted = read(value)
    return bound(fitted) if fitted is not None else None


def _read_float(value: Any) -> float | None:
    """Neither infinite nor NaN."""
    return float(value) if type(value) in (int, float) and abs(value) <= sys.float_info.max else None


def _read_int(value: Any) -> int | None:
    return value if type(value) is int and -(2**63) <= value < 2**63 else None


def _read_text(value: Any) -> str | None:
    """No half of a surrogate pair."""
    return value.encode(errors="replace").decode() if type(value) is str else None


_READERS: Mapping[Any, Reader] = {float: _read_float, int: _read_int, str: _read_text}
