"""The rules by which Flux, helm and others read any object: `sigs.k8s.io/cli-utils/pkg/kstatus`, for kinds that it does
not know."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

IN_PROGRESS, FAILED, CURRENT, TERMINATING = "InProgress", "Failed", "Current", "Terminating"


def kstatus(manifest: Mapping[str, Any]) -> str:
    """Of an object as the API server has it; the first rule that applies."""
    metadata, status = manifest["metadata"], manifest.get("status") or {}
    if "deletionTimestamp" in metadata:
        return TERMINATING
    if status.get("observedGeneration", metadata["generation"]) != metadata["generation"]:
        return IN_PROGRESS
    conditions = [(each["type"], each["status"]) for each in status.get("conditions") or ()]
    for condition in conditions:  # in their order
        if condition == ("Reconciling", "True"):
            return IN_PROGRESS
        if condition == ("Stalled", "True"):
            return FAILED
    ready = dict(conditions).get("Ready", "True")
    return CURRENT if ready == "True" else IN_PROGRESS
