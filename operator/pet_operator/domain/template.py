"""A user's pod template with the operator's own fields on top; fields that are not known here stay as they are."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

from pet_operator.domain.constants import CONTAINER

# Lists whose entries Kubernetes tells apart by this field.
_KEYS = {
    "containers": "name",
    "env": "name",
    "volumes": "name",
    "volumeMounts": "mountPath",
    "ports": "name",
    "tolerations": "key",
}


def overlay(base: Mapping[str, Any], top: Mapping[str, Any]) -> dict[str, Any]:
    """`top` over `base`: mappings are merged, entries of keyed lists by their key, all else is replaced."""
    result = copy.deepcopy(dict(base))
    for name, value in top.items():
        below = result.get(name)
        if isinstance(value, Mapping) and isinstance(below, Mapping):
            result[name] = overlay(below, value)
        elif name in _KEYS and isinstance(below, list) and isinstance(value, Sequence):
            result[name] = _overlay_list(below, value, _KEYS[name])
        else:
            result[name] = copy.deepcopy(value)
    return result


def trainer_of(template: Mapping[str, Any]) -> Mapping[str, Any]:
    """The user's own words on the trainer's container; empty if there are none."""
    containers = (template.get("spec") or {}).get("containers") or []
    return next((container for container in containers if container.get("name") == CONTAINER), {})


def _overlay_list(base: list[Any], top: Sequence[Any], key: str) -> list[Any]:
    result = list(base)
    for entry in top:
        at = next((index for index, below in enumerate(result) if below.get(key) == entry.get(key)), None)
        if at is None:
            result.append(copy.deepcopy(entry))
        else:
            result[at] = overlay(result[at], entry)
    return result
