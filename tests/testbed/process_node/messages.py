"""Termination messages: from the container's file, or from the end of its log."""

from __future__ import annotations

from pathlib import Path

from testbed.process_node.api import Manifest

_FILE_BYTES = 4096
_LOG_BYTES, _LOG_LINES = 2048, 80


def termination_message(container: Manifest, file: Path, log: Path, code: int) -> str:
    """What a kubelet would report, empty for nothing."""
    message = _end(file, _FILE_BYTES)
    if not message and code and container.get("terminationMessagePolicy") == "FallbackToLogsOnError":
        message = "".join(_end(log, _LOG_BYTES).splitlines(keepends=True)[-_LOG_LINES:])
    return message


def _end(file: Path, size: int) -> str:
    if not file.is_file():
        return ""
    with file.open("rb") as opened:
        opened.seek(max(0, file.stat().st_size - size))
        return opened.read(size).decode(errors="replace")
