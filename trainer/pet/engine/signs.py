"""Signs of life for the launcher's watchdog, from code that knows no session: what the launcher hears least of is what
it takes for hung."""

from __future__ import annotations

from pet.runfiles.heartbeat import HeartbeatWriter

_heartbeat: HeartbeatWriter | None = None


def send_signs_to(heartbeat: HeartbeatWriter) -> None:
    """From now on this process's signs go there."""
    global _heartbeat
    _heartbeat = heartbeat


def begin_collective() -> None:
    """To be called before every collective, or group of them, that all ranks run in the same order.

    By their number a rank that waits for others is told from the one that it waits for.
    """
    if _heartbeat is not None:
        _heartbeat.begin_collective()


def beat() -> None:
    """Work goes on, in a section that may last."""
    if _heartbeat is not None:
        _heartbeat.beat()
