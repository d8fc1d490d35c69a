"""Frozen dataclasses as the API server's JSON and back: camelCase, RFC 3339 times, nothing for None."""

from __future__ import annotations

import dataclasses
import sys
import types
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from typing import Any, TypeVar, Union, cast, get_args, get_origin, get_type_hints

T = TypeVar("T")


def encode(value: Any) -> Any:
    """JSON values; fields that are None, and empty texts, lists and mappings, are left out."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        pairs = ((key, getattr(value, name)) for name, (key, _) in _fields(type(value)).items())
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
    never stop this one."""
    values = {}
    content = data if isinstance(data, Mapping) else {}
    for name, (key, declared) in _fields(cast(Any, form)).items():
        fitted = _fit(declared, content.get(key))
        if fitted is not None:
            values[name] = fitted
    return form(**values)


def camel(name: str) -> str:
    """`exit_code` → `exitCode`; a trailing underscore, as in `class_`, goes."""
    first, *rest = name.rstrip("_").split("_")
    return first + "".join(word.capitalize() for word in rest)


def write_time(moment: datetime) -> str:
    """`2026-01-31T12:00:00Z`."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def read_time(text: object) -> datetime | None:
    """A time as Kubernetes writes it, None if it is none."""
    try:
        return datetime.fromisoformat(str(text)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


@cache
def _fields(form: Any) -> dict[str, tuple[str, Any]]:
    hints = get_type_hints(form)
    return {field.name: (camel(field.name), hints[field.name]) for field in dataclasses.fields(form)}


def _fit(declared: Any, value: Any) -> Any:
    """The value as declared, None where it is absent or of another type."""
    if value is None:
        return None
    origin, arguments = get_origin(declared), get_args(declared)
    if origin in (Union, types.UnionType):
        return next((fitted for argument in arguments if (fitted := _fit(argument, value)) is not None), None)
    if declared is datetime:
        return read_time(value)
    if origin is tuple:
        entries = value if isinstance(value, list) else ()
        return tuple(fitted for entry in entries if (fitted := _fit(arguments[0], entry)) is not None)
    if origin is not None and issubclass(origin, Mapping):
        pairs = value.items() if isinstance(value, Mapping) else ()
        return {str(key): fitted for key, entry in pairs if (fitted := _fit(arguments[1], entry)) is not None}
    if dataclasses.is_dataclass(declared):
        return decode(declared, value) if isinstance(value, Mapping) else None  # type: ignore[arg-type]
    if declared is float and type(value) in (int, float):
        return float(value) if abs(value) <= sys.float_info.max else None  # neither infinite nor NaN
    if type(value) is not declared:
        return None
    if declared is int:
        return value if -(2**63) <= value < 2**63 else None
    return value.encode(errors="replace").decode() if declared is str else value  # no half of a surrogate pair
