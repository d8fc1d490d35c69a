"""A user's pod template with the operator's own fields on top; fields that are not known here stay as they are."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from typing import Any

from pet_operator.domain.constants import CONTAINER

# Lists whose entries Kubernetes tells apart by this field.
_KEYS = {"containers": "name", "env": "name", "volumes": "name", "volumeMounts": "mountPath", "ports": "name"}


def overlay(base: Mapping[str, Any], top: Mapping[str, Any]) -> dict[str, Any]:
    """`top` over `base`: mappings are merged, and containers by their name. Entries of other keyed lists replace those
    with their key as a whole, since half of one volume's source beside another's is none. So does all else.

    What is not merged is shared with both, and never to be changed: eight pods of a job are mostly one and the same."""
    result = dict(base)
    for name, value in top.items():
        below = result.get(name)
        if isinstance(value, Mapping) and isinstance(below, Mapping):
            result[name] = overlay(below, value)
        elif name in _KEYS and isinstance(value, list) and isinstance(below, list):
            result[name] = _overlay_list(name, below, value)
        else:
            result[name] = value
    return result


def trainer_of(template: Mapping[str, Any]) -> Mapping[str, Any]:
    """The user's own words on the trainer's container; empty if there are none."""
    containers = (template.get("spec") or {}).get("containers") or []
    return next((container for container in containers if container.get("name") == CONTAINER), {})


def mounts(container: Mapping[str, Any], path: str) -> bool:
    """Whether the user has put a volume of their own there."""
    return any(_identity(mount, "mountPath") == path for mount in container.get("volumeMounts") or ())


def _overlay_list(name: str, base: list[Any], top: list[Any]) -> list[Any]:
    key, result = _KEYS[name], list(base)
    for entry in top:
        at = next((i for i, below in enumerate(base) if _identity(below, key) == _identity(entry, key)), None)
        if at is None:
            result.append(entry)
        else:
            result[at] = overlay(base[at], entry) if name == "containers" else entry
    return result


def _identity(entry: Mapping[str, Any], key: str) -> object:
    value = entry.get(key)
    return posixpath.normpath(value) if key == "mountPath" and isinstance(value, str) else value
