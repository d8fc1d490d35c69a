"""The termination message: how the launcher ended, for the operator, in at most 4 KB of JSON."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

from pet.launch.plan import Plan
from pet.launch.record import Snapshot
from pet.launch.status import SCHEMA, checkpoint_document, iteration, progress, restart
from pet.launch.talk import say
from pet.launch.verdict import Verdict
from pet.runfiles.failure import head, tail
from pet.runfiles.metrics import finite_or_none

LIMIT_BYTES = 4096
_DEFAULT_PATH = "/dev/termination-log"
_METRICS = 16
_TEXT_BYTES = (1024, 256, 64)


def termination_message(
    verdict: Verdict, plan: Plan | None, snapshot: Snapshot | None, *, restarts_left: int | None = None
) -> str:
    """The JSON text. Without a plan the launcher ended before it knew what to start.

    `restarts_left`: starts in place that it would still have granted.
    """
    metrics = snapshot.observation.metrics if snapshot else None
    checkpoint = metrics.checkpoint if metrics else None
    message: dict[str, Any] = {
        "schema": SCHEMA,
        "class": verdict.code.exit_class,
        "exitCode": int(verdict.code),
        "attempt": plan.environment.attempt if plan else None,
        "restart": restart(snapshot) if snapshot else None,
        "restartsLeft": restarts_left,
        "spent": dict(zip(("reason", "message"), verdict.spent, strict=True)) if verdict.spent else None,
        "rank": verdict.rank,
        "iteration": verdict.iteration if verdict.iteration is not None or not snapshot else iteration(snapshot),
        "type": verdict.type,
        "message": verdict.message,
        "traceback": verdict.traceback,
        "signalledByUs": list(verdict.signalled),
        "savedIteration": snapshot.checkpoint if snapshot else None,
        "checkpoint": checkpoint_document(checkpoint) if checkpoint else None,
        "metrics": dict(list(metrics.metrics.items())[:_METRICS]) if metrics else None,
        "progress": progress(snapshot) if snapshot else None,
    }
    return _fitted(finite_or_none(message))


def reserve_termination_message(environ: Mapping[str, str]) -> None:
    """Take the room for it before the run fills its disk with checkpoints; the file holds spaces until it is written.

    Not at the kubelet's own path: that is on no disk of ours, and the kubelet goes by whether it is empty.
    """
    path = _path(environ)
    if path != _DEFAULT_PATH:
        _write(path, " " * LIMIT_BYTES)


def write_termination_message(text: str, environ: Mapping[str, str]) -> None:
    """Write it where the kubelet looks: in one write, in place, since that file may be a mount of its own."""
    path = _path(environ)
    if path == _DEFAULT_PATH and not os.access(path, os.W_OK):
        return  # no container
    _write(path, text)


def _path(environ: Mapping[str, str]) -> str:
    return environ.get("PETJOB_TERMINATION_LOG") or _DEFAULT_PATH


def _write(path: str, text: str) -> None:
    """Over what is there, and cut off only afterwards: a full disk would not give the room back."""
    data = text.encode()
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT, 0o644)
        try:
            os.write(descriptor, data)
            if os.fstat(descriptor).st_size > len(data):
                os.ftruncate(descriptor, len(data))
        finally:
            os.close(descriptor)
    except OSError as error:
        say(f"the termination message was not written: {error}")


def _fitted(message: dict[str, Any]) -> str:
    """Cut the traceback first, then what a user's names and texts may have made too long."""
    excess = _size(message) - LIMIT_BYTES
    if excess > 0:
        # JSON writes some characters in several bytes: halve until it fits, rather than guess how many.
        while message["traceback"] and _size(message) > LIMIT_BYTES:
            kept = len(message["traceback"].encode(errors="replace")) // 2
            message["traceback"] = tail(message["traceback"], kept) if kept > 8 else ""
    for limit in _TEXT_BYTES:
        if _size(message) > LIMIT_BYTES:
            message["message"] = head(message["message"], limit)
            message["signalledByUs"] = message["signalledByUs"][:limit]
    if _size(message) > LIMIT_BYTES and message["progress"]:
        message["progress"]["losses"] = None
    if _size(message) > LIMIT_BYTES:
        message["metrics"] = None
    return json.dumps(message)


def _size(message: dict[str, Any]) -> int:
    return len(json.dumps(message).encode())
