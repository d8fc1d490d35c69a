"""A container's variables, as its pod asks for them: nothing of this machine is in them yet."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from testbed.process_node.api import Manifest
from testbed.process_node.expansion import expand
from testbed.process_node.fields import field_of
from testbed.process_node.sources import Sources

_REFERENCES = {"configMapKeyRef": "configmaps", "secretKeyRef": "secrets"}
_WHOLE_REFERENCES = {"configMapRef": "configmaps", "secretRef": "secrets"}


async def variables(container: Manifest, pod: Manifest, sources: Sources) -> dict[str, str]:
    """`envFrom`, then `env` over it, each value expanded with those before it. Raises NotYet, Unsupported."""
    found: dict[str, str] = {}
    for source in container.get("envFrom") or ():
        prefix = source.get("prefix", "")
        for field, kind in _WHOLE_REFERENCES.items():
            if field in source:
                data = await sources.data(kind, source[field])
                found |= {f"{prefix}{name}": value.decode() for name, value in data.items()}
    for item in container.get("env") or ():
        if "valueFrom" in item:
            value = await _referred(item["valueFrom"], pod, sources)
        else:
            value = expand(item.get("value") or "", found)
        if value is not None:
            found[item["name"]] = value
    return found


async def _referred(source: Mapping[str, Any], pod: Manifest, sources: Sources) -> str | None:
    for field, kind in _REFERENCES.items():
        if field in source:
            return await sources.key(kind, source[field])
    return field_of(pod, source)
