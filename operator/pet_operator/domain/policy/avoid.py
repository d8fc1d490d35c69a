"""Nodes on which the next attempt's pods are better not placed, by how the attempts before it ended."""

from __future__ import annotations

from collections import Counter

from pet_operator.domain.ends import CRASH, HANG, NODE_LOST, OUT_OF_MEMORY
from pet_operator.domain.status import JobStatus

_SUSPICIOUS = (CRASH, HANG, OUT_OF_MEMORY)
_TOO_OFTEN = 2


def avoided(status: JobStatus) -> tuple[str, ...]:
    """The node that the attempt before this one was lost with, and those on which two attempts ended in a way that may
    be the machine's fault."""
    ended = [record for record in status.attempts[:-1] if record.node]
    suspects = Counter(record.node for record in ended if record.reason in _SUSPICIOUS)
    nodes = {node for node, times in suspects.items() if times >= _TOO_OFTEN}
    if ended and ended[-1] is status.attempts[-2] and ended[-1].reason == NODE_LOST:
        nodes.add(ended[-1].node)
    return tuple(sorted(nodes))


def words(status: JobStatus) -> str:
    """For the end of a sentence; empty if no node is avoided."""
    nodes = avoided(status)
    return f"; avoiding node{'s' if len(nodes) > 1 else ''} {', '.join(nodes)}" if nodes else ""
