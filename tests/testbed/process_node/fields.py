"""What a pod may ask of itself: `fieldRef` of variables and of downward API files."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from testbed.process_node.api import Manifest
from testbed.process_node.errors import Unsupported

_PLAIN = {
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.serviceAccountName",
    "status.hostIP",
    "status.podIP",
}
_ENTRY = re.compile(r"metadata\.(labels|annotations)\['([^']+)'\]")


def field_of(pod: Manifest, source: Mapping[str, Any]) -> str:
    """The value of one item with a `fieldRef`. Raises Unsupported."""
    path = (source.get("fieldRef") or {}).get("fieldPath", "")
    if path in _PLAIN:
        part, name = path.split(".")
        return str(pod[part].get(name, ""))
    if path in ("metadata.labels", "metadata.annotations"):
        entries = pod["metadata"].get(path.split(".")[1]) or {}
        return "".join(f'{name}="{value}"\n' for name, value in sorted(entries.items()))
    if entry := _ENTRY.fullmatch(path):
        return str((pod["metadata"].get(entry[1]) or {}).get(entry[2], ""))
    raise Unsupported(f"a process node reads no {path or 'resourceFieldRef'}")
