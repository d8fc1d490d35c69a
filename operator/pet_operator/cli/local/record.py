"""The record of a local run, `run.json`: whose folder it is, how far it came, and its last result."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

# What a result holds, once there is one.
_RESULT: dict[str, tuple[type, ...]] = {
    "name": (str,),
    "phase": (str,),
    "iteration": (int, type(None)),
    "metrics": (dict,),
    "checkpoint": (dict, type(None)),
    "resumedFrom": (int, type(None)),
    "failure": (dict, type(None)),
    "output": (str,),
}


@dataclass
class RunRecord:
    """`phase` is empty before the first attempt, then Running, Succeeded, Suspended or Failed."""

    name: str
    spec_hash: str
    uid: str = field(default_factory=lambda: f"local-{uuid.uuid4()}")
    attempt: int = 0
    phase: str = ""
    result: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> str:
        """The text of the file."""
        return json.dumps(asdict(self), indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str) -> RunRecord:
        """Read the file's text. Raises ValueError if it is no record."""
        content = json.loads(text)
        kinds = {name: (type(value),) for name, value in asdict(cls("", "")).items()}
        _check(content, kinds)
        record = cls(**content)
        if record.result or record.phase == "Succeeded":
            _check(record.result, _RESULT, "result.")
        return record


def _check(content: object, kinds: Mapping[str, tuple[type, ...]], prefix: str = "") -> None:
    if not isinstance(content, dict):
        raise ValueError("it is no mapping")
    if odd := sorted(content.keys() ^ kinds.keys()):
        raise ValueError(f"{prefix}{odd[0]} {'is missing' if odd[0] in kinds else 'is no field of it'}")
    for name, kind in kinds.items():
        if type(content[name]) not in kind:
            raise ValueError(f"{prefix}{name} is {content[name]!r}")
