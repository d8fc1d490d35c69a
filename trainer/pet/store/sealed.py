"""Small JSON files that prove themselves: the form of manifests and of the owner record."""

from __future__ import annotations

import json
import zlib
from typing import Any

from pet.store.errors import Corrupt


def seal(fields: dict[str, Any]) -> bytes:
    """One line of JSON with a `crc` field: the CRC32 of the canonical JSON of all other fields."""
    return _canonical({**fields, "crc": zlib.crc32(_canonical(fields))}) + b"\n"


def unseal(data: bytes) -> dict[str, Any]:
    """The fields without `crc`. Raises Corrupt unless `data` is JSON whose `crc` fits all other fields.

    Fields that this version does not know are covered too, so a newer writer may add some.
    """
    try:
        fields = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise Corrupt(f"not JSON: {error}") from error
    if not isinstance(fields, dict):
        raise Corrupt("not a JSON object")
    crc = fields.pop("crc", None)
    if crc != zlib.crc32(_canonical(fields)):
        raise Corrupt("its checksum does not fit its fields")
    return fields


def take(fields: dict[str, Any], name: str, kind: type) -> Any:
    """The field of exactly this type. Raises Corrupt if it is missing or of another one."""
    value = fields.get(name)
    if type(value) is not kind:
        raise Corrupt(f"field {name!r} is {value!r}, not of type {kind.__name__}")
    return value


def _canonical(fields: dict[str, Any]) -> bytes:
    return json.dumps(fields, sort_keys=True, separators=(",", ":")).encode()
