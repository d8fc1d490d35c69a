"""The lines of `metrics.json` before a start goes on with it: other jobs' records and a user's notes are left alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pet.runfiles.atomic import replace_bytes


def drop_records(path: Path, uid: str, after: int) -> int:
    """Drop the records of job `uid` for iterations later than `after`, and a last line that was cut off.

    Returns the newest iteration among those dropped, 0 if there was none. Raises OSError.
    """
    before = path.read_bytes()
    *lines, unfinished = before.split(b"\n")
    if _record(unfinished):
        lines.append(unfinished)
    kept, newest = [], 0
    for line in lines:
        record = _record(line)
        iteration = record.get("iteration")
        if record.get("uid") == uid and isinstance(iteration, int) and iteration > after:
            newest = max(newest, iteration)
        else:
            kept.append(line + b"\n")
    if b"".join(kept) != before:
        replace_bytes(path, b"".join(kept))
    return newest


def _record(line: bytes) -> dict[str, Any]:
    """The record in a line, empty if it holds none: a note, or what a machine left that died while it wrote."""
    try:
        record = json.loads(line)
    except ValueError:
        return {}
    return record if isinstance(record, dict) else {}
