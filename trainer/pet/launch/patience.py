"""How long ranks may go on after one of them has ended badly, and after they were asked to leave."""

from __future__ import annotations

from collections.abc import Collection

from pet.runfiles.exits import ExitCode

ERROR_SECONDS = 2.0
# A rank that lost a peer ends before the one that caused it: wait for that one's report.
PEER_SECONDS = 5.0
# The checkpoint under way is the one that the restart needs.
SAVE_SECONDS = 30.0
_REPORT_SECONDS = 5.0
# A killed rank ends once the kernel lets go of it. A disk may be slow; one that is away may be so for ever.
_DEATH_SECONDS = 60.0
_DEATH_SECONDS_AT_A_STOP = 2.0


def stop_seconds(grace: float) -> float:
    """When ranks that were asked to leave are ended: early enough to report before the grace period is over."""
    return max(grace - _REPORT_SECONDS, grace / 2)


def death_seconds(*, leaving: bool) -> float:
    """How long a killed rank may take to end. Where the container's own end is near, the report comes first."""
    return _DEATH_SECONDS_AT_A_STOP if leaving else _DEATH_SECONDS


def patience(codes: Collection[ExitCode], *, saving: bool, leaving: bool, grace: float) -> float:
    """Seconds that running ranks have after the first bad end.

    `codes` are the classes of the bad ends on this node so far, none if it is another node that reported one. `saving`
    says that a running rank writes a checkpoint, `leaving` that this node or another was asked to stop.
    """
    kinds = set(codes)
    if kinds <= {ExitCode.PREEMPTED} and (kinds or leaving):
        return stop_seconds(grace)  # they save too, and leave by themselves
    if saving:
        return SAVE_SECONDS
    return PEER_SECONDS if kinds <= {ExitCode.PREEMPTED, ExitCode.PEER_LOST} else ERROR_SECONDS
